"""Receipts: a piece of work is done when, and only when, its receipt exists.

A stage writes its files first and its receipt, `<name>.json` beside them, last. The receipt holds a key: the digest of
all inputs that the work depends on. A receipt with another key belongs to other inputs and counts as absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeVar

from gpts_data.pipelines.errors import GptsDataError
from gpts_data.pipelines.storage.atomic_files import pretty_json, write_json
from gpts_data.pipelines.storage.paths import AnyPath, create, is_store, overwrite, store_errors

Receipt = TypeVar("Receipt", bound=Mapping[str, object])
"""The TypedDict of a stage's receipt, defined beside the stage. It has a `key`."""


def write_receipt(path: AnyPath, receipt: Receipt) -> Receipt:
    """Write a receipt, its `key` and the stage's results (counts, file names, digests), and return it.

    In a store, when another worker already wrote a receipt for the same key, that one stays and is returned.
    """
    if not is_store(path):
        write_json(path, receipt)
    elif not create(path, pretty_json(receipt)):
        if earlier := read_receipt(path, str(receipt["key"]), type(receipt)):
            return earlier
        overwrite(path, pretty_json(receipt))
    return receipt


def read_receipt(path: AnyPath, key: str, kind: type[Receipt]) -> Receipt | None:
    """The receipt at `path`, or None when there is none or it has another key. `kind` is for the type checker only."""
    try:
        with store_errors(path):
            receipt: Receipt = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return receipt if receipt["key"] == key else None


def require_receipt(path: AnyPath, key: str, kind: type[Receipt]) -> Receipt:
    """The receipt of a task that has run. Raises `GptsDataError` when it is missing, which is an internal error."""
    receipt = read_receipt(path, key, kind)
    if receipt is None:
        raise GptsDataError(
            f"{path}: internal error: the task that writes this receipt has run, but the receipt is missing or belongs "
            "to other inputs; run the same command again, and report it if this repeats"
        )
    return receipt
