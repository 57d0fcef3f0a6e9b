"""Receipts: the only meaning of "done".

A stage writes its files first and its receipt last, `<name>.json` beside them. The receipt holds the key of the inputs
that the work is a pure function of; a receipt with another key is somebody else's work and counts as absent.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpts_data.pipelines.storage.atomic_files import pretty_json, write_json
from gpts_data.pipelines.storage.paths import create, is_store, overwrite, store_errors


def write_receipt(path: Path, key: str, **facts: Any) -> dict[str, Any]:
    """Write the receipt and return it: `key` plus the stage's facts (counts, names, digests)."""
    receipt = {"key": key, **facts}
    if not is_store(path):
        write_json(path, receipt)
    elif not create(path, pretty_json(receipt)):
        if there := read_receipt(path, key):  # the same work done twice: the first one counts
            return there
        overwrite(path, pretty_json(receipt))
    return receipt


def read_receipt(path: Path, key: str) -> dict[str, Any] | None:
    """The receipt under `path`, or None when there is none for these inputs."""
    try:
        with store_errors(path):
            receipt = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return receipt if receipt["key"] == key else None
