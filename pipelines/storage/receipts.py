"""Receipts: a piece of work is done when, and only when, its receipt exists.

A stage writes its files first and its receipt, `<name>.json` beside them, last. The receipt holds a key: the digest of
all inputs that the work depends on. A receipt with another key belongs to other inputs and counts as absent.
"""

from __future__ import annotations

import json
from typing import Any

from gpts_data.pipelines.errors import GptsDataError
from gpts_data.pipelines.storage.atomic_files import pretty_json, write_json
from gpts_data.pipelines.storage.paths import AnyPath, create, is_store, overwrite, store_errors


def write_receipt(path: AnyPath, key: str, **results: Any) -> dict[str, Any]:
    """Write a receipt of `key` and the stage's results (counts, file names, digests), and return it.

    In a store, when another worker already wrote a receipt for the same key, that one stays and is returned.
    """
    receipt = {"key": key, **results}
    if not is_store(path):
        write_json(path, receipt)
    elif not create(path, pretty_json(receipt)):
        if earlier := read_receipt(path, key):
            return earlier
        overwrite(path, pretty_json(receipt))
    return receipt


def read_receipt(path: AnyPath, key: str) -> dict[str, Any] | None:
    """The receipt at `path`, or None when there is none or it has another key."""
    try:
        with store_errors(path):
            receipt = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return receipt if receipt["key"] == key else None


def require_receipt(path: AnyPath, key: str) -> dict[str, Any]:
    """The receipt of a task that has run. Raises `GptsDataError` when it is missing, which is an internal error."""
    receipt = read_receipt(path, key)
    if receipt is None:
        raise GptsDataError(
            f"{path}: internal error: the task that writes this receipt has run, but the receipt is missing or belongs "
            "to other inputs; run the same command again, and report it if this repeats"
        )
    return receipt
