"""The footer of a parquet file: its columns, and which bytes of the file hold them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from gpts_data.pipelines.errors import DataError, SourceUnavailableError
from gpts_data.pipelines.hub.remote_file import Span, prefetcher

MAGIC = b"PAR1"
GAP = 16 << 10  # bytes between two columns: fewer cost less than another request,
GAP_SHARE = 1 / 50  # if they are also less than this share of the bytes that are needed


class Encrypted(DataError):
    """The file is encrypted as a whole."""


class Footer:
    """The footer of the file `name`.

    Raises `DataError` for a file that is cut or encrypted as a whole. Damage inside the footer raises Arrow's errors,
    here or in a method. The methods raise `DataError` for a column that is encrypted; other columns can be read.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        self.metadata = _metadata(file, name)
        self.schema: pa.Schema = self.metadata.schema.to_arrow_schema()
        self.n_groups: int = self.metadata.num_row_groups
        self._readable: set[str] = set()

    def n_rows(self, group: int) -> int:
        """Rows of a row group."""
        return int(self.metadata.row_group(group).num_rows)

    def column_bytes(self, group: int, columns: Sequence[str]) -> int:
        """Uncompressed bytes of the columns of a row group."""
        return sum(chunk.total_uncompressed_size for chunk in self._chunks(group, columns))

    def spans(self, group: int, columns: Sequence[str]) -> list[Span]:
        """The byte ranges of the columns of a row group, in file order; close neighbours are joined."""
        chunks = sorted(map(_chunk_span, self._chunks(group, columns))) if self.n_rows(group) else []
        gap = min(GAP, GAP_SHARE * sum(stop - start for start, stop in chunks))
        spans: list[Span] = []
        for start, stop in chunks:
            if spans and start - spans[-1][1] <= gap:
                start, stop = spans[-1][0], max(stop, spans.pop()[1])
            spans.append((start, stop))
        return spans

    def check_encryption(self, columns: Sequence[str]) -> None:
        """Raise `DataError` for a column that is encrypted."""
        for column in columns:
            if column not in self._readable and self.n_groups and _is_encrypted(self.metadata, column):
                raise DataError(f"{self.name}: an encrypted parquet file (column {column!r}); decrypt it first")
            self._readable.add(column)

    def _chunks(self, group: int, columns: Sequence[str]) -> list[pq.ColumnChunkMetaData]:
        """The column chunks of a row group that hold the columns."""
        self.check_encryption(columns)  # Arrow aborts the process when it is asked for the chunk of an encrypted column
        row_group, schema = self.metadata.row_group(group), self.metadata.schema
        return [row_group.column(i) for i in range(row_group.num_columns) if _is_within(schema.column(i).path, columns)]


def _is_encrypted(metadata: pq.FileMetaData, column: str) -> bool:
    """Whether Arrow asks for a key to read a column. It does so before it reads any page, so an empty file will do."""
    reader = pq.ParquetFile(pa.BufferReader(MAGIC), metadata=metadata, pre_buffer=False)
    try:
        next(reader.iter_batches(1, row_groups=[0], columns=[column]), None)
    except (pa.ArrowException, OSError) as error:
        return "decrypt" in str(error)
    return False


def _metadata(file: IO[bytes], name: str) -> pq.FileMetaData:
    """The footer of the file; a remote one that is not readable is fetched a second time.

    Raises `SourceUnavailableError` when that is not readable either.
    """
    try:
        return _read_metadata(file, name)
    except (DataError, pa.ArrowException, OSError) as error:
        if isinstance(error, Encrypted) or not prefetcher(file).evict():
            raise
    try:
        return _read_metadata(file, name)
    except (DataError, pa.ArrowException, OSError) as error:
        raise SourceUnavailableError(
            f"{name}: its footer came damaged twice ({str(error)[:200]}); run the same command again, or leave the "
            "file out of the recipe if it is damaged in the dataset"
        ) from error


def _read_metadata(file: IO[bytes], name: str) -> pq.FileMetaData:
    """The footer. Exactly its bytes are read: Arrow would fetch the last 64 KiB, mostly of a column not needed."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 8, 0))
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] == b"PARE":
        raise Encrypted(f"{name}: an encrypted parquet file; decrypt it first")
    if tail[4:] != MAGIC or length + 12 > size:
        raise DataError(f"{name}: not readable as parquet: no footer at the end of its {size:,} bytes; it may be cut")
    file.seek(size - 8 - length)
    footer = file.read(length)
    metadata = pq.read_metadata(pa.BufferReader(MAGIC + footer + tail))
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    if min(rows, default=0) < 0 or sum(rows) != metadata.num_rows:
        raise pa.ArrowInvalid(f"{metadata.num_rows:,} rows in all, {sum(rows):,} in row groups")
    return metadata


def _chunk_span(chunk: pq.ColumnChunkMetaData) -> Span:
    first: int = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:  # some old writers put 0 here
        first = min(first, chunk.dictionary_page_offset)
    stop: int = first + chunk.total_compressed_size
    if not 0 < first < stop:
        raise pa.ArrowInvalid(f"a column chunk from byte {first:,} to {stop:,}")
    return first, stop


def _is_within(path: str, columns: Sequence[str]) -> bool:
    """Whether a leaf is one of the columns or inside one of them. A column's own name may contain dots."""
    return any(path == column or path.startswith(column + ".") for column in columns)
