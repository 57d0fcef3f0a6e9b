"""Sign a changed mix again, as one who also computes the digests can."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpts_data.mixer.format.content_digest import content_digest
from gpts_data.mixer.format.manifest import FORMAT, FORMAT_VERSION, NAME, checksum, environment, root_digest
from gpts_data.pipelines.errors import VerificationError
from gpts_data.pipelines.storage.atomic_files import file_digest, write_json

SEALS = ("format", "format_version", "root_digest", "environment", "checksum")


def reseal(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Change the manifest of a mix, then give every file that is there its size and digests, and write a new seal."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for key in SEALS:
        manifest.pop(key, None)
    change(manifest)
    for entry in [*manifest["shards"], *manifest["files"]]:
        path = folder / entry["file"]
        if path.is_file():
            entry.update(bytes=path.stat().st_size, sha256=file_digest(path))
            if "content" in entry:
                with suppress(VerificationError):  # no array or table: its digest stays
                    entry["content"] = content_digest(path)
    seal(folder, manifest)


def seal(folder: Path, content: dict[str, Any]) -> None:
    """Write a manifest with the digests of its content, whatever that is."""
    manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, **content, "root_digest": "0" * 64}
    with suppress(KeyError, TypeError, AttributeError):  # its list of files is no such list
        manifest["root_digest"] = root_digest(manifest)
    manifest["environment"] = environment()
    manifest["checksum"] = checksum(manifest)
    write_json(folder / NAME, manifest)
