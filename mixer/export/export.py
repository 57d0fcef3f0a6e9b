"""EXPORT: write a mix in the format of another trainer.

    export(mix, "nanogpt", out) ── .export/plan.json ── the files, one by one ── export.json

A file with the same bytes as a file of the mix is a hard link to it, which saves 50 GB for 25B tokens; on another file
system it is a copy. Files appear only when they are complete, so after a kill the same command continues with the next
one. export.json is written last and lists the mix's root digest and every file with its sha256.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from gpts_data.mixer.export.formats import FORMATS, ExportFile, export_files
from gpts_data.mixer.export.window_files import count, validation
from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import ForeignFolderError, UsageError
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.storage.atomic_files import atomic_write, file_digest, hard_link, storage_errors, write_json
from gpts_data.pipelines.storage.lock import folder_lock, remove_temporaries
from gpts_data.pipelines.storage.paths import is_inside, is_store
from gpts_data.pipelines.storage.typed_json import Count, JsonError, Sha256, read_json_file

NAME = "export.json"
WORK = ".export"


@dataclass(frozen=True, repr=False)
class Exported:
    """A finished export."""

    manifest: dict[str, Any]
    """The content of export.json."""
    linked: tuple[str, ...]
    """Names of the files that are hard links to files of the mix."""
    created: bool
    """False when the folder already held this export."""

    def __repr__(self) -> str:
        files = len(self.manifest["files"])
        return f"Exported({self.manifest['export_format']!r}, {files} files, {len(self.linked)} of them links)"


def export(mix: Mix, name: str, out: Path, progress: Progress = lambda *_: None) -> Exported:
    """Write the mix in the format `name`, a key of FORMATS, into the folder `out`; continues an interrupted export.

    Checks the sizes of the mix's files but not their digests; `verify` does that. Raises `UsageError` when the format
    cannot hold the mix, `ForeignFolderError` when `out` has other files in it, `VerificationError` when a file of the
    mix has another size than its manifest says, `StorageError`, and `LockedError` when another export writes to `out`.
    """
    if name not in FORMATS:
        raise UsageError(f"no format is called {name!r}; expected one of {', '.join(FORMATS)}")
    identity = _identity(mix, name)
    files = export_files(mix, name)
    if _is_done(mix, out, identity, files):
        manifest = _read(out / NAME) or {}
        return Exported(manifest, _linked(out, files), created=False)
    with folder_lock(out / WORK, f"another export is writing to {out}; wait for it, or choose another --out"):
        write_json(out / WORK / "plan.json", identity)
        remove_temporaries(out)
        _write_all(out, files, progress)
        manifest = {**identity, "files": [_entry(out, file.name) for file in files]}
        write_json(out / NAME, manifest)
        shutil.rmtree(out / WORK)
    return Exported(manifest, _linked(out, files), created=True)


def _identity(mix: Mix, name: str) -> dict[str, Any]:
    """What the content of an export depends on, and the numbers that its reader needs."""
    return {
        "format": "gpts-data export",
        "format_version": 1,
        "export_format": name,
        "mix_root_digest": mix.manifest["root_digest"],
        "window": mix.window,
        "windows": mix.windows,
        "tokens": mix.tokens,
        **({"stages": mix.manifest["stages"]} if "stages" in mix.manifest else {}),
        "validation_windows": count(validation(mix)),
        "vocab_size": mix.vocab_size,
        "eos_id": mix.eos_id,
    }


def _is_done(mix: Mix, out: Path, identity: dict[str, Any], files: Sequence[ExportFile]) -> bool:
    """Whether `out` holds this export, finished. Raises `ForeignFolderError` when it holds anything else."""
    if is_inside(out, mix.path):
        raise ForeignFolderError(
            f"{out}: inside the mix, where verify would report its files as extra; choose another --out"
        )
    if out.exists() and not out.is_dir():
        raise ForeignFolderError(f"{out}: a file; expected a folder for the export")
    finished, begun = _read(out / NAME), _read(out / WORK / "plan.json")
    if finished is None and begun is None:
        if out.exists() and any(path.name != WORK for path in out.iterdir()):
            raise ForeignFolderError(f"{out}: has other files in it; choose another --out")
        return False
    existing = {key: value for key, value in (finished or begun or {}).items() if key != "files"}
    if existing != identity:
        raise ForeignFolderError(
            f"{out}: holds an export of format {existing.get('export_format')} of mix "
            f"{str(existing.get('mix_root_digest'))[:16]}, expected {identity['export_format']} of "
            f"{identity['mix_root_digest'][:16]}; choose another --out"
        )
    names = {file.name for file in files}
    if finished is None or {entry["file"] for entry in finished.get("files", ())} != names:
        return False
    return all(_is_complete(out, entry) for entry in finished["files"])


class ExportedFile(TypedDict):
    """A file in export.json."""

    file: str
    bytes: Count
    sha256: Sha256


class ExportManifest(TypedDict):
    """What is read again of export.json, and of plan.json, which has no files yet."""

    files: NotRequired[list[ExportedFile]]


def _read(path: Path) -> dict[str, Any] | None:
    """The content of export.json or plan.json; None when there is no such file, {} when it holds anything else."""
    try:
        return dict(read_json_file(path, ExportManifest))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except JsonError:
        return {}


def _is_complete(out: Path, entry: ExportedFile) -> bool:
    """Whether a file of a finished export exists. Raises `ForeignFolderError` when its size has changed."""
    path = out / entry["file"]
    if not path.exists():
        return False
    if (size := path.stat().st_size) != entry["bytes"]:
        raise ForeignFolderError(
            f"{path}: {size:,} bytes, expected {entry['bytes']:,}; remove it, then run the same command"
        )
    return True


def _write_all(out: Path, files: list[ExportFile], progress: Progress) -> None:
    done, total = 0, sum(file.windows for file in files)
    for file in files:
        for windows in _write(file, out / file.name):
            done += windows
            if windows:  # an index has none
                progress("export", "", done, total)


def _write(export_file: ExportFile, path: Path) -> Iterator[int]:
    """Link or write a file unless it exists; yields the number of windows, chunk by chunk."""
    with storage_errors(path):
        same = export_file.same_bytes_as
        is_complete = path.exists() or (same and hard_link(same, path))
    if is_complete:
        yield export_file.windows
        return
    with atomic_write(path) as file:
        yield from export_file.write(file)


def _entry(out: Path, name: str) -> dict[str, Any]:
    path = out / name
    return {"file": name, "bytes": path.stat().st_size, "sha256": file_digest(path)}


def _linked(out: Path, files: list[ExportFile]) -> tuple[str, ...]:
    linkable = [(file.name, file.same_bytes_as) for file in files if file.same_bytes_as]
    return tuple(name for name, same in linkable if not is_store(same) and same.samefile(out / name))
