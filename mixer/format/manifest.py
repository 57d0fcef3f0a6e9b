"""manifest.json: what a mix contains. It is written last, so a folder that has one holds a finished mix.

`root_digest` covers the contents: two mixes with the same root digest have the same recipe, counts, windows, documents
and tokenizer. It does not cover how a library encodes them: of a file with a digest of its values (`content`, see
content_digest.py) it covers that digest, not the size and sha256. Nor does it cover the two files that only describe
the mix (DESCRIPTIONS) and `environment` (library versions, encoders, machine). `checksum` covers the whole manifest,
and so the sha256 of every file.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any, cast

from gpts_data.mixer.format.check_manifest import check_consistency
from gpts_data.mixer.format.listed_files import OutsideError, size_inside
from gpts_data.mixer.format.manifest_types import Manifest, ManifestContent
from gpts_data.pipelines.environment import libraries
from gpts_data.pipelines.errors import LockedError, UsageError, VerificationError
from gpts_data.pipelines.storage.atomic_files import json_digest, pretty_json, write_json
from gpts_data.pipelines.storage.paths import AnyPath, create, is_store
from gpts_data.pipelines.storage.typed_json import JsonError, check_type, parse_json, read_regular_file

FORMAT = "gpts-data mix"
FORMAT_VERSION = 2
"""2: the root digest covers `content`, and document tables list all documents. 1: it covered the sha256 of files."""
NAME = "manifest.json"
DESCRIPTIONS = ("README.md", "croissant.json")
"""Files that are written from the manifest alone."""
_NOT_IN_ROOT_DIGEST = ("root_digest", "environment", "checksum")
_OF_ENCODING = ("bytes", "sha256")


def write_manifest(folder: AnyPath, content: ManifestContent, encoders: Sequence[str] = ()) -> Manifest:
    """Add the digests to `content`, write the manifest and return it.

    encoders: library and version of each encoder that made token ids of the mix.

    Raises `LockedError` when a store already has a manifest there.
    """
    manifest: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION, **content}
    manifest["root_digest"] = root_digest(manifest)
    manifest["environment"] = {**environment(), "encoders": list(encoders)}
    manifest["checksum"] = checksum(manifest)
    if not is_store(folder):
        write_json(folder / NAME, manifest)
    elif not create(folder / NAME, pretty_json(manifest)):
        raise LockedError(f"{folder / NAME} already exists: another build finished first; run the same command again")
    return cast(Manifest, manifest)


def read_manifest(folder: AnyPath) -> Manifest:
    """Read the manifest of a mix and check it against its own digests.

    Raises `UsageError` when there is none, `VerificationError` when it is damaged.
    """
    path = folder / NAME
    try:
        size_inside(path, folder)
        content = read_regular_file(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{folder} is not a finished mix: {_why_no_mix(folder)}") from error
    except (JsonError, OutsideError) as error:
        raise VerificationError(f"{path}: {error}; expected the manifest of a mix") from error
    try:
        return _parse(path, content)
    except (JsonError, RecursionError) as error:
        raise VerificationError(f"{path}: {error}; the file is damaged, or no build-mix wrote it") from error


def _why_no_mix(folder: AnyPath) -> str:
    if not folder.exists():
        return f"there is no such folder; gpts-data build-mix --recipe RECIPE --out {folder} makes it"
    if not folder.is_dir():
        return "it is a file; expected the folder that build-mix wrote"
    unfinished = f"; a half-finished build is there: gpts-data status {folder} says how to continue it"
    return f"no {NAME} in it{unfinished if (folder / '.build').exists() else ''}"


def _parse(path: AnyPath, content: bytes) -> Manifest:
    values = parse_json(content, dict[str, Any])
    if values.get("format") != FORMAT:
        raise VerificationError(f"{path}: not the manifest of a mix (format {str(values.get('format'))[:60]!r})")
    if (version := values.get("format_version")) != FORMAT_VERSION or isinstance(version, bool):
        raise VerificationError(
            f"{path}: format version {str(version)[:60]}, this gpts-data reads {FORMAT_VERSION}; read the mix with the "
            "version of gpts-data that built it, or build it again with this one in a new folder"
        )
    if pretty_json(values) != content or values.get("checksum") != checksum(values):
        raise VerificationError(f"{path}: the content does not match its checksum; the file was changed")
    manifest = check_type(values, Manifest)
    if manifest["root_digest"] != root_digest(manifest):
        raise VerificationError(f"{path}: the content does not match its root digest; the file was changed")
    check_consistency(manifest)
    return manifest


def root_digest(manifest: Mapping[str, Any]) -> str:
    """Digest of the contents of a mix: of the manifest without its digests, environment and what only encodes them."""
    covered = {key: value for key, value in manifest.items() if key not in _NOT_IN_ROOT_DIGEST}
    for key in covered.keys() & {"shards", "files"}:
        covered[key] = [_content(entry) for entry in covered[key] if entry["file"] not in DESCRIPTIONS]
    return json_digest(covered)


def _content(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the root digest covers of a file's entry."""
    return {key: value for key, value in entry.items() if "content" not in entry or key not in _OF_ENCODING}


def checksum(manifest: Mapping[str, Any]) -> str:
    """Digest of the whole manifest except the checksum itself."""
    return json_digest({key: value for key, value in manifest.items() if key != "checksum"})


def environment() -> dict[str, Any]:
    """Library versions and machine facts. No time and no host name: a second run on this machine gives the same."""
    return {
        "libraries": libraries(),
        "python": platform.python_version(),
        "machine": {"system": platform.system(), "architecture": platform.machine(), "cores": os.cpu_count()},
    }
