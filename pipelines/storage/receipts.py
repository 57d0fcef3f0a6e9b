"""Receipts: a piece of work is done when, and only when, its receipt exists.

A stage writes its files first and its receipt, `<name>.json` beside them, last. The receipt holds a key: the digest of
all inputs that the work depends on. A receipt with another key belongs to other inputs and counts as absent. So does
one that differs from its own checksum, because the disk or somebody changed it: the work is then done again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar, cast

from gpts_data.pipelines.errors import GptsDataError
from gpts_data.pipelines.storage.atomic_files import json_digest, pretty_json, storage_errors, write_json
from gpts_data.pipelines.storage.paths import AnyPath, create, is_store, overwrite, remove_file
from gpts_data.pipelines.storage.typed_json import check_type, parse_json, read_regular_file

log = logging.getLogger("gpts_data")
CHECKSUM = "checksum"  # the receipt's entry with the digest of all others

Receipt = TypeVar("Receipt", bound=Mapping[str, object])
"""The TypedDict of a stage's receipt, defined beside the stage. It has a `key`."""


def write_receipt(path: AnyPath, receipt: Receipt) -> Receipt:
    """Write a receipt, its `key` and the stage's results (counts, file names, digests), and return it.

    In a store, when another worker already wrote a receipt for the same key, that one stays and is returned.
    """
    content = {**receipt, CHECKSUM: json_digest(receipt)}
    if not is_store(path):
        write_json(path, content)
    elif not create(path, pretty_json(content)):
        if earlier := read_receipt(path, str(receipt["key"]), type(receipt)):
            return earlier
        overwrite(path, pretty_json(content))
    return receipt


def read_receipt(path: AnyPath, key: str, kind: type[Receipt]) -> Receipt | None:
    """The receipt at `path`, or None when there is none, it has another key, or it was changed since it was written.

    A changed receipt, one of another type than `kind`, a pipe or a device is logged and counts as none.
    """
    try:
        return _read(path, key, kind)
    except FileNotFoundError:
        return None


def _read(path: AnyPath, key: str, kind: type[Receipt]) -> Receipt | None:
    """Read a receipt like `read_receipt`, but raise `FileNotFoundError` when there is none."""
    receipt = _intact(path, kind)
    if receipt is None:
        log.warning("%s was changed since it was written; the work that it records is done again", path)
    return cast(Receipt, receipt) if receipt is not None and receipt["key"] == key else None


def accepted_receipt(
    path: AnyPath, key: str, kind: type[Receipt], accepts: Callable[[Receipt], bool]
) -> Receipt | None:
    """The receipt at `path` of work that need not be done again: `read_receipt` finds it and `accepts` says so.

    Else None, and no receipt is left at `path`: it must not outlive the files of which it tells.
    """
    try:
        receipt = _read(path, key, kind)
    except FileNotFoundError:
        return None
    if receipt is not None and accepts(receipt):
        return receipt
    with storage_errors(path) if isinstance(path, Path) else nullcontext():  # a folder, perhaps
        remove_file(path)
    return None


def read_any_receipt(path: AnyPath, kind: type[Receipt]) -> Receipt | None:
    """The receipt at `path` whatever its key, to count work; None when there is none or it is damaged."""
    try:
        return cast(Receipt | None, _intact(path, kind))
    except FileNotFoundError:
        return None


def _intact(path: AnyPath, kind: Any) -> dict[str, Any] | None:
    """The receipt at `path` without its checksum; None if that is missing or wrong, its type is, or it is no file."""
    try:
        receipt = parse_json(read_regular_file(path), dict[str, Any])
        checksum = receipt.pop(CHECKSUM)
        is_intact = json_digest(receipt) == checksum and "key" in receipt
        return check_type(receipt, kind) if is_intact else None
    except (ValueError, KeyError, RecursionError):  # not TypeError, which says that msgspec cannot check `kind` at all
        return None


def require_receipt(path: AnyPath, key: str, kind: type[Receipt]) -> Receipt:
    """The receipt of a task that has run. Raises `GptsDataError` when it is missing, which is an internal error."""
    receipt = read_receipt(path, key, kind)
    if receipt is None:
        raise GptsDataError(
            f"{path}: internal error: the task that writes this receipt has run, but the receipt is missing or belongs "
            "to other inputs; run the same command again, and report it if this repeats"
        )
    return receipt
