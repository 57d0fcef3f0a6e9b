"""Many small files as one: a unit for each would cost more in fsyncs and receipts than its text does.

Neighbours of one kind are joined, in canonical order. What is joined depends on the listing only, so that units are the
same for every budget and machine. Parquet and Arrow files stay apart: only their footers say how much text they have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpts_data.pipelines.readers.kinds import COLUMNAR, compression_of, format_of
from gpts_data.pipelines.readers.source import SourceFile
from gpts_data.pipelines.storage.atomic_files import json_digest

MANY = 100  # small files in a source; fewer stay apart
SMALL_BYTES = 256 << 10
JOINED_BYTES = 4 << 20


def join_small_files(files: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
    """The files of a source, of which many small ones are joined; `members` of a joined file has them in order."""
    if sum(_is_small(file) for file in files) < MANY:
        return tuple(files)
    return tuple(_joined(run) for run in _runs(files))


def _is_small(file: SourceFile) -> bool:
    return 0 < file.size < SMALL_BYTES and format_of(file.name) not in (None, *COLUMNAR)


def _runs(files: Sequence[SourceFile]) -> Iterator[list[SourceFile]]:
    """Neighbours of one kind, up to JOINED_BYTES; other files by themselves."""
    run: list[SourceFile] = []
    size = 0
    for file in files:
        is_next = run and _is_small(file) and _is_small(run[-1]) and _kind(file) == _kind(run[-1])
        if run and not (is_next and size + file.size <= JOINED_BYTES):
            yield run
            run, size = [], 0
        run.append(file)
        size += file.size
    if run:
        yield run


def _kind(file: SourceFile) -> tuple[str | None, str | None]:
    return format_of(file.name), compression_of(file.name)


def _joined(run: Sequence[SourceFile]) -> SourceFile:
    if len(run) == 1:
        return run[0]
    digests = [[file.name, file.size, file.sha256] for file in run]
    sha256 = json_digest(digests) if all(file.sha256 for file in run) else None
    name = f"{run[0].name}..{len(run)}..{run[-1].name}"
    return SourceFile(name, run[0].location, sum(file.size for file in run), sha256, tuple(run))
