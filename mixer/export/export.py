"""EXPORT: a mix in the files that another trainer reads.

    export(mix, "nanogpt", out) ── .export/plan.json ── the files, one by one ── export.json

A file whose bytes the mix has already is a hard link to it, so 50 GB are not doubled; across file systems, a copy. A
file that is there is whole: the same command after a kill goes on with the next one. export.json is written last and
names the mix, every file and its sha256.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpts_data.mixer.export.formats import FORMATS, ExportFile, export_files
from gpts_data.mixer.export.window_files import count, validation
from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import ForeignFolderError, UsageError
from gpts_data.pipelines.storage.atomic_files import atomic_write, file_digest, hard_link, storage_errors, write_json
from gpts_data.pipelines.storage.lock import folder_lock, remove_temporaries
from gpts_data.pipelines.storage.paths import is_inside, is_store

NAME = "export.json"
WORK = ".export"
Progress = Callable[[str, str, int, int], object]


@dataclass(frozen=True)
class Exported:
    """A finished export."""

    manifest: dict[str, Any] = field(repr=False)
    """export.json, parsed."""
    linked: tuple[str, ...]
    """The files that share their bytes with the mix."""
    created: bool
    """False when the folder already held this very export."""


def export(mix: Mix, name: str, out: Path, progress: Progress = lambda *_: None) -> Exported:
    """Write the mix in format `name`, one of FORMATS, into the folder `out`, or go on with it.

    The mix's sizes are checked, its digests are not: that is verify's work. Raises `UsageError`, `ForeignFolderError`
    for an `out` with anything else in it, `VerificationError`, `StorageError`, `LockedError`.
    """
    if name not in FORMATS:
        raise UsageError(f"no format is called {name!r}; expected one of {', '.join(FORMATS)}")
    identity = _identity(mix, name)
    if _is_done(mix, out, identity):
        facts = json.loads((out / NAME).read_bytes())
        return Exported(facts, _linked(out, export_files(mix, name)), created=False)
    wanted = export_files(mix, name)
    with folder_lock(out / WORK, f"another export is at work in {out}; wait for it, or choose another --out"):
        write_json(out / WORK / "plan.json", identity)
        remove_temporaries(out)
        _write_all(out, wanted, progress)
        facts = {**identity, "files": [_file(out, piece.name) for piece in wanted]}
        write_json(out / NAME, facts)
        shutil.rmtree(out / WORK)
    return Exported(facts, _linked(out, wanted), created=True)


def _identity(mix: Mix, name: str) -> dict[str, Any]:
    """What an export is a function of, and what its reader must know."""
    return {
        "format": "gpts-data export",
        "format_version": 1,
        "export_format": name,
        "mix_root_digest": mix.manifest["root_digest"],
        "window": mix.window,
        "windows": mix.windows,
        "tokens": mix.tokens,
        "validation_windows": count(validation(mix)),
        "vocab_size": mix.vocab_size,
        "eos_id": mix.eos_id,
    }


def _is_done(mix: Mix, out: Path, identity: dict[str, Any]) -> bool:
    """Whether `out` is this very export, finished. Raises `ForeignFolderError` when it is anything but this one."""
    if is_inside(out, mix.path):
        raise ForeignFolderError(f"{out}: inside the mix, which verify would then refuse; choose another --out")
    if out.exists() and not out.is_dir():
        raise ForeignFolderError(f"{out}: a file; expected a folder for the export")
    done, begun = _read(out / NAME), _read(out / WORK / "plan.json")
    if done is None and begun is None:
        if out.exists() and any(path.name != WORK for path in out.iterdir()):
            raise ForeignFolderError(f"{out}: has other files in it; choose another --out")
        return False
    there = {key: value for key, value in (done or begun or {}).items() if key != "files"}
    if there != identity:
        raise ForeignFolderError(
            f"{out}: holds an export of format {there.get('export_format')} of mix "
            f"{str(there.get('mix_root_digest'))[:16]}, expected {identity['export_format']} of "
            f"{identity['mix_root_digest'][:16]}; choose another --out"
        )
    return done is not None and all(_is_whole(out, entry) for entry in done["files"])


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _is_whole(out: Path, entry: dict[str, Any]) -> bool:
    """Whether a file of a finished export is there. Raises `ForeignFolderError` for one of another size."""
    path = out / entry["file"]
    if not path.exists():
        return False
    if (size := path.stat().st_size) != entry["bytes"]:
        raise ForeignFolderError(
            f"{path}: {size:,} bytes, expected {entry['bytes']:,}; remove it, then run the same command"
        )
    return True


def _write_all(out: Path, wanted: list[ExportFile], progress: Progress) -> None:
    done, total = 0, sum(piece.windows for piece in wanted)
    for piece in wanted:
        for windows in _write(piece, out / piece.name):
            done += windows
            if windows:  # an index has none
                progress("export", "", done, total)


def _write(piece: ExportFile, path: Path) -> Iterator[int]:
    """Link or write a file, or leave it as it is; how many windows went in, some at a time."""
    with storage_errors(path):
        there = path.exists() or (piece.same and hard_link(piece.same, path))
    if there:
        yield piece.windows
        return
    with atomic_write(path) as file:
        yield from piece.write(file)


def _file(out: Path, name: str) -> dict[str, Any]:
    path = out / name
    return {"file": name, "bytes": path.stat().st_size, "sha256": file_digest(path)}


def _linked(out: Path, wanted: list[ExportFile]) -> tuple[str, ...]:
    here = [(piece.name, piece.same) for piece in wanted if piece.same and not is_store(piece.same)]
    return tuple(name for name, same in here if same.samefile(out / name))
