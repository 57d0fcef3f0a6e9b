"""manifest.json: what a mix is, written last. Its presence means the mix is finished.

`root_digest` is over everything a mix is a function of and every file's sha256; two mixes with one root digest are the
same bytes. `environment` (library versions, encoders, machine) is outside it. `checksum` covers the whole file, it too.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from typing import Any

from gpts_data.pipelines.environment import libraries
from gpts_data.pipelines.errors import LockedError, UsageError, VerificationError
from gpts_data.pipelines.storage.atomic_files import json_digest, pretty_json, write_json
from gpts_data.pipelines.storage.paths import AnyPath, create, is_store, store_errors

FORMAT = "gpts-data mix"
FORMAT_VERSION = 1
NAME = "manifest.json"
_OUTSIDE = ("root_digest", "environment", "checksum")


def write_manifest(folder: AnyPath, content: dict[str, Any], encoders: Sequence[str] = ()) -> dict[str, Any]:
    """Seal and write `content`; returns the manifest. `encoders`: library and version of those that made the ids.

    Raises `LockedError` when a store has one already.
    """
    manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, **content}
    manifest["root_digest"] = root_digest(manifest)
    manifest["environment"] = {**environment(), "encoders": list(encoders)}
    manifest["checksum"] = checksum(manifest)
    if not is_store(folder):
        write_json(folder / NAME, manifest)
    elif not create(folder / NAME, pretty_json(manifest)):
        raise LockedError(f"{folder / NAME} is there already: another build was faster; run the same command again")
    return manifest


def read_manifest(folder: AnyPath) -> dict[str, Any]:
    """The manifest of a mix, checked against its own digests.

    Raises `UsageError` when there is none, `VerificationError` when it is damaged.
    """
    path = folder / NAME
    try:
        with store_errors(path):
            content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        half = " (a build is half-finished there: run the same build-mix command again)"
        raise UsageError(
            f"{folder} is not a finished mix: no {NAME}{half if (folder / '.build').exists() else ''}"
        ) from error
    manifest = _parse(path, content)
    if pretty_json(manifest) != content or manifest["checksum"] != checksum(manifest):
        raise VerificationError(f"{path}: the content does not match its checksum; the file was changed")
    if manifest["root_digest"] != root_digest(manifest):
        raise VerificationError(f"{path}: the content does not match its root digest; the file was changed")
    return manifest


def _parse(path: AnyPath, content: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
        missing = {"format", "format_version", "checksum", "root_digest"} - manifest.keys()
    except (ValueError, AttributeError) as error:
        raise VerificationError(f"{path}: not readable as JSON: {error}") from error
    if missing or manifest["format"] != FORMAT:
        raise VerificationError(f"{path}: not the manifest of a mix (format {manifest.get('format')!r})")
    if manifest["format_version"] != FORMAT_VERSION:
        raise VerificationError(
            f"{path}: format version {manifest['format_version']!r}, this gpts-data reads {FORMAT_VERSION}"
        )
    return dict(manifest)


def root_digest(manifest: dict[str, Any]) -> str:
    return json_digest({key: value for key, value in manifest.items() if key not in _OUTSIDE})


def checksum(manifest: dict[str, Any]) -> str:
    return json_digest({key: value for key, value in manifest.items() if key != "checksum"})


def environment() -> dict[str, Any]:
    """Library versions and machine facts; no clock, no name, nothing that a second run here would change."""
    return {
        "libraries": libraries(),
        "python": platform.python_version(),
        "machine": {"system": platform.system(), "architecture": platform.machine(), "cores": os.cpu_count()},
    }
