"""Arrow files, which are feather files too, and Arrow streams, which `datasets.save_to_disk` writes.

A unit of a local file holds its record batches `start..stop`. Local files are mapped into memory: nothing is read of
batches and columns that are not asked for. A remote file is one unit, read from its beginning to its end.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

import pyarrow as pa

from gpts_data.pipelines.errors import DataError, is_out_of_memory
from gpts_data.pipelines.readers import damage
from gpts_data.pipelines.readers.columns import (
    check_schema,
    column_names,
    documents,
    find,
    is_text,
    plain_type,
    slices,
)
from gpts_data.pipelines.readers.source import Columns

FILE_MAGIC = b"ARROW1"
FEATHER_1 = b"FEA1"


def columns(file: IO[bytes], name: str, wanted: Sequence[str] = ()) -> set[str]:
    """The names of columns that hold one plain value per row and whose name occurs once; fields of structs as `a.b`."""
    return column_names(_schema(file, name))


def schema(file: IO[bytes], name: str) -> pa.Schema:
    """The columns of the file with their types."""
    return _schema(file, name)


def batch_runs(file: IO[bytes], name: str, text: str, unit_bytes: int) -> list[tuple[int, int, int]]:
    """Consecutive record batches, divided into runs of at least `unit_bytes` bytes of text; the last may have fewer.

    Returns for each run its first record batch, one past its last, and its bytes of text.
    """
    runs: list[tuple[int, int, int]] = []
    start = total = stop = 0
    for number, batch in _batches(file, name, [text], 0, None):
        total, stop = total + _text_bytes(batch, text), number + 1
        if total >= unit_bytes:
            runs.append((start, stop, total))
            start, total = stop, 0
    return [*runs, (start, stop, total)] if start < stop else runs


def read(
    file: IO[bytes],
    name: str,
    start: int,
    stop: int,
    names: Columns,
    max_document_bytes: int = damage.MAX_DOCUMENT_BYTES,
    buckets: Sequence[damage.ScoreBounds] = (damage.ANY_SCORE,),
) -> Iterator[pa.RecordBatch]:
    """Record batches `start..stop` as batches of text, id, url, place, fault (see `reader.read`).

    Raises `DataError` for a file that is damaged, or that lacks a column for id, url or a score.
    """
    schema = _schema(file, name)
    scores = damage.score_columns(buckets)
    check_schema(schema, name, names, scores)
    has_text = is_text(plain_type(schema, names[0]))
    wanted = [column for column in (*names, *scores) if column]
    for number, batch in _batches(file, name, wanted, start, stop):
        row = 0
        for part in slices(batch, names[0]):
            places = [f"{name}:{number}:{row + i}" for i in range(part.num_rows)]
            row += part.num_rows
            with _as_data_error(name):
                if has_text:
                    rows = documents(part, names, places, max_document_bytes, buckets)
                else:
                    rows = [_drift(places)] * len(buckets)
            yield from rows


def _drift(places: list[str]) -> pa.RecordBatch:
    """Rows of a file without a text column."""
    nulls = pa.nulls(len(places), pa.string())
    faults = pa.array([damage.DRIFT] * len(places), pa.string())
    return pa.RecordBatch.from_arrays([nulls, nulls, nulls, pa.array(places), faults], schema=damage.SCHEMA)


def _text_bytes(batch: pa.RecordBatch, text: str) -> int:
    """Bytes of the column of text, without a look at its values where that is possible."""
    column = find(batch, text)
    if column is None or not is_text(column.type):
        return 0
    if pa.types.is_dictionary(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    return int(column.nbytes)


def _batches(
    file: IO[bytes], name: str, columns: list[str], start: int, stop: int | None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Record batches with their numbers, with only the columns of these names and the parents of nested ones."""
    schema = _schema(file, name)
    fields = [
        i for i, field in enumerate(schema.names) if any(c == field or c.startswith(f"{field}.") for c in columns)
    ]
    options = pa.ipc.IpcReadOptions(included_fields=fields or None)
    with _as_data_error(name):
        reader = _open(file, options)
        if isinstance(reader, pa.RecordBatchFileReader):
            numbers = range(start, min(reader.num_record_batches, stop or reader.num_record_batches))
            batches = ((number, reader.get_batch(number)) for number in numbers)
        else:
            batches = ((number, batch) for number, batch in enumerate(reader) if number >= start)
        for number, batch in batches:
            if stop is not None and number >= stop:
                return
            for array in batch.columns:
                _check_offsets(array)
            yield number, batch


def _check_offsets(column: pa.Array) -> None:
    """Raise `ArrowInvalid` for an array that points outside its buffers, which would end the process."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):  # one string that is not UTF-8 costs only its own document
            raise


def _schema(file: IO[bytes], name: str) -> pa.Schema:
    with _as_data_error(name):
        return _open(file, None).schema


def _open(
    file: IO[bytes], options: pa.ipc.IpcReadOptions | None
) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
    source = _mapped(file)
    source.seek(0)
    magic = source.read(len(FILE_MAGIC))
    source.seek(0)
    if magic[: len(FEATHER_1)] == FEATHER_1:
        raise pa.ArrowInvalid("feather version 1; write it again with pyarrow.feather.write_feather")
    return (
        pa.ipc.open_file(source, options=options)
        if magic == FILE_MAGIC
        else pa.ipc.open_stream(source, options=options)
    )


def _mapped(file: IO[bytes]) -> pa.NativeFile:
    """A local file mapped into memory, a remote one as it is."""
    try:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except io.UnsupportedOperation:
        return pa.PythonFile(file, mode="r")
    except ValueError as error:  # an empty file cannot be mapped
        raise pa.ArrowInvalid(str(error)) from error
    return pa.BufferReader(pa.py_buffer(content))


@contextmanager
def _as_data_error(name: str) -> Iterator[None]:
    """Turn Arrow's errors about a damaged file into `DataError` with the file's name."""
    try:
        yield
    except (pa.ArrowException, KeyError, OSError) as error:
        if is_out_of_memory(error):  # or of threads, which Arrow says in an ArrowException, too
            raise
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk
        raise DataError(f"{name}: not readable as an Arrow file: {error}") from error
