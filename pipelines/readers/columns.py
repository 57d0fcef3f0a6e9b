"""The columns that a recipe names, in Arrow batches and JSON objects, and their values as documents.

`a.b` names field b of column a, unless a column has this name, dot included.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.readers import damage
from gpts_data.pipelines.readers.source import Columns

BATCH_ROWS = 1000
BATCH_BYTES = 16 << 20  # of text: a thousand of the longest documents would be 8 GB
NO_LABEL = ("", "nan", "NaN")  # how pandas and JSON write a missing id or URL, besides null
UUID_BYTES = 16


def column_names(schema: pa.Schema) -> set[str]:
    """The names of columns that hold one plain value per row and whose name occurs once; fields of structs as `a.b`."""
    names = (name for field in schema for name in _leaf_names(field))
    return {name for name in names if plain_type(schema, name) is not None}


def why_unusable(schema: pa.Schema, name: str) -> str | None:
    """Why a column of this name is not among `column_names` although the schema has it; None when it has none."""
    if len(schema.get_all_field_indices(name)) > 1:
        return f"column {name!r} occurs more than once"
    kind: pa.DataType | pa.Schema = schema
    for part in _path(schema, name):
        kind = kind.field(kind.get_field_index(part)).type
    return None if isinstance(kind, pa.Schema) else f"column {name!r} holds {kind}, expected one plain value per row"


def plain_type(schema: pa.Schema, name: str) -> pa.DataType | None:
    """The type of a column with one plain value per row; None if there is no such column, or more than one."""
    kind: pa.DataType | pa.Schema = schema
    for part in _path(schema, name):
        kind = kind.field(kind.get_field_index(part)).type
    return None if isinstance(kind, pa.Schema) or pa.types.is_nested(kind) else kind


def find(batch: pa.RecordBatch, name: str) -> pa.Array | None:
    """The column of a batch, None if there is none. A null struct has null fields."""
    path = _path(batch.schema, name)
    if not path:
        return None
    column = batch.column(batch.schema.get_field_index(path[0]))
    for part in path[1:]:
        column = pc.struct_field(column, [column.type.get_field_index(part)])
    return column


def json_value(row: Mapping[str, Any], name: str) -> Any:
    """The value of a column in a JSON object; None where it is left out."""
    if name in row:
        return row[name]
    for head, rest in _splits(name):
        value = json_value(row[head], rest) if isinstance(row.get(head), dict) else None
        if value is not None:
            return value
    return None


def json_names(row: Mapping[str, Any], wanted: Sequence[str]) -> set[str]:
    """The keys of a JSON object, those of the objects in it as `a.b`, and deeper ones if they are wanted."""
    inner = {f"{key}.{field}" for key, value in row.items() if isinstance(value, dict) for field in value}
    return {*row, *inner, *(name for name in wanted if json_value(row, name) is not None)}


def json_label(value: Any) -> str | None:
    """An id or URL of a JSON object as a string; None for what is none (NO_LABEL)."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    label = str(value)
    return None if label.strip() in NO_LABEL else label


def is_text(kind: pa.DataType | None) -> bool:
    """Whether a column of this type can be read as text."""
    kind = _stored(kind)
    return kind is not None and (_is_string(kind) or _is_bytes(kind))


def is_score(kind: pa.DataType | None) -> bool:
    """Whether a column of this type can hold scores: numbers, or strings of numbers."""
    kind = _stored(kind)
    if kind is None or _is_string(kind):
        return kind is not None
    is_kind = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean, pa.types.is_null
    return any(check(kind) for check in is_kind)


def slices(batch: pa.RecordBatch, text: str) -> Iterator[pa.RecordBatch]:
    """`batch` in slices of at most BATCH_ROWS rows and BATCH_BYTES bytes of column `text`, or of one row."""
    ends = np.cumsum(_lengths(find(batch, text), batch.num_rows))
    start = 0
    while start < batch.num_rows:
        most = (ends[start - 1] if start else 0) + BATCH_BYTES
        stop = int(np.searchsorted(ends, most, side="right"))
        stop = min(max(stop, start + 1), start + BATCH_ROWS)
        yield batch.slice(start, stop - start)
        start = stop


def check_schema(schema: pa.Schema, name: str, names: Columns, scores: Sequence[str]) -> None:
    """Raise `DataError` when the file `name` lacks a column for id, url or scores, or one of the scores has no numbers.

    Without their ids, documents would be deduplicated and held out differently. A file without its column of text is no
    error: each of its rows has the fault damage.DRIFT.
    """
    for column in filter(None, (*names[1:], *scores)):
        if plain_type(schema, column) is None:
            found = ", ".join(sorted(column_names(schema)))
            raise DataError(
                f"{name}: no column {column!r} of plain values for id, url, at_least or below; found {found}"
            )
    for column in scores:
        kind = plain_type(schema, column)
        if not is_score(kind):
            raise DataError(f"{name}: at_least or below: column {column!r} holds {kind}, expected numbers")


def documents(
    batch: pa.RecordBatch,
    names: Columns,
    places: Sequence[str],
    max_document_bytes: int,
    buckets: Sequence[damage.ScoreBounds],
) -> list[pa.RecordBatch]:
    """The rows of a batch as documents of damage.SCHEMA, with their faults (see `reader.read`), for each bucket.

    places: the place of each row. The schema has passed `check_schema`. Without a column of text, the text is null.
    """
    nulls = pa.nulls(batch.num_rows, pa.string())
    fault, strings = nulls, []
    for name, what in zip(names, (damage.NOT_UTF8, damage.INVALID_ID, damage.INVALID_URL), strict=True):
        column = find(batch, name) if name else None
        values, bad = (nulls, None) if column is None else (_strings if what == damage.NOT_UTF8 else _labels)(column)
        strings.append(values)
        fault = fault if bad is None else pc.if_else(pa.array(bad), what, fault)
    if fault.null_count < len(fault):
        strings[0] = pc.if_else(pc.is_null(fault), strings[0], pa.scalar(None, pa.string()))
    rows = pa.RecordBatch.from_arrays([*strings, pa.array(places, pa.string()), fault], schema=damage.SCHEMA)
    rows = damage.flag_faults(rows, max_document_bytes)
    scores = {column: _numbers(find(batch, column)) for column in damage.score_columns(buckets)}
    return [damage.flag_scores(rows, scores, bounds) for bounds in buckets]


def _path(fields: pa.Schema | pa.StructType, name: str) -> list[str]:
    """The names that lead to a column: its own, or those of the structs around it first. Empty if there is none."""
    if fields.get_field_index(name) >= 0:  # -1 also for a name that occurs twice
        return [name]
    for head, rest in _splits(name):
        index = fields.get_field_index(head)
        if index >= 0 and pa.types.is_struct(fields.field(index).type):
            path = _path(fields.field(index).type, rest)
            if path:
                return [head, *path]
    return []


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """The name, divided at each of its dots."""
    parts = name.split(".")
    return ((".".join(parts[:i]), ".".join(parts[i:])) for i in range(1, len(parts)))


def _leaf_names(field: pa.Field) -> Iterator[str]:
    if not pa.types.is_struct(field.type):
        yield field.name
        return
    yield from (f"{field.name}.{name}" for inner in field.type for name in _leaf_names(inner))


def _stored(kind: pa.DataType | None) -> pa.DataType | None:
    """The type of the values that an extension or dictionary type stands for."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind.value_type if kind is not None and pa.types.is_dictionary(kind) else kind


def _is_string(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _is_bytes(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view))


def _lengths(column: pa.Array | None, n_rows: int) -> NDArray[np.int64]:
    """Bytes of each value of a column of text."""
    if column is None or not is_text(column.type):
        return np.zeros(n_rows, np.int64)
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        lengths = pa.array(_lengths(column.dictionary, len(column.dictionary)))
        return np.asarray(pc.fill_null(lengths.take(column.indices), 0), np.int64)
    if pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type):
        column = column.cast(pa.large_binary())  # views have no kernel for their lengths
    return np.asarray(pc.fill_null(pc.binary_length(column), 0), np.int64)


def _values(column: pa.Array) -> pa.Array:
    """The plain values of a column of an extension or dictionary type."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _strings(column: pa.Array) -> tuple[pa.StringArray, NDArray[np.bool_] | None]:
    """A column as strings, and a mask of those that are not UTF-8 and became null (None if all are valid).

    Arrow does not validate UTF-8 when it reads parquet.
    """
    column = _values(column)
    if pa.types.is_fixed_size_binary(column.type):
        column = column.cast(pa.binary())
    # A safe cast of bytes fails if one string is invalid.
    strings = column.cast(pa.string(), safe=not _is_bytes(column.type))
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        values = strings.cast(pa.binary()).to_pylist()
        bad = np.array([value is not None and not _is_utf8(value) for value in values])
        valid = [None if is_bad else value for value, is_bad in zip(values, bad, strict=True)]
        return pa.array(valid, pa.binary()).cast(pa.string()), bad
    return strings, None


def _labels(column: pa.Array) -> tuple[pa.StringArray, NDArray[np.bool_] | None]:
    """A column of ids or URLs as strings, null for what is none (NO_LABEL); else as `_strings`."""
    column = _values(column)
    if pa.types.is_fixed_size_binary(column.type) and column.type.byte_width == UUID_BYTES:
        return pa.array([None if value is None else _uuid(value) for value in column.to_pylist()], pa.string()), None
    strings, bad = _strings(column)
    if pa.types.is_integer(column.type):
        return strings, bad
    none = pc.is_in(pc.utf8_trim_whitespace(strings), pa.array(NO_LABEL))
    return pc.if_else(none, pa.scalar(None, pa.string()), strings), bad


def _uuid(value: bytes) -> str:
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _numbers(column: pa.Array) -> pa.Array:
    """Scores as numbers, for `damage.flag_scores`; strings stay as they are."""
    column = _values(column)
    if _is_string(column.type):
        return _strings(column)[0]
    return column.cast(pa.float64(), safe=False)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
