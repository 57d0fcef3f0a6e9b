"""Lines: every document once, in order, at its true byte; a damaged file is named, never read short."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpts_data.pipelines.readers import jsonl
from gpts_data.pipelines.readers.compression import CHUNK_BYTES

NAMES = ("text", "id", "url")
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
BLANK = st.sampled_from([b"", b" ", b"\t", b"\r"])


def line(text: str, escaped: bool) -> bytes:
    return json.dumps({"text": text}, ensure_ascii=escaped).encode()


LINES = st.lists(BLANK | st.builds(line, TEXT, st.booleans()), max_size=12)


def read(content: bytes, name: str = "a.jsonl", start: int = 0, stop: int | None = None) -> list[dict[str, Any]]:
    stop = len(content) if stop is None else stop
    batches = jsonl.read(io.BytesIO(content), name, start, stop, NAMES)
    return [row for batch in batches for row in batch.to_pylist()]


@given(LINES, st.booleans(), st.integers(1, 100))
@example([b'{"text": "a"}'] * 3, True, 14)  # units that end with a line
@example([b'{"text": "a"}'] * 3, True, 13)  # and just before its newline
def test_units_of_any_size_hold_every_document_once(rows: list[bytes], newline: bool, unit: int) -> None:
    content = b"\n".join(rows) + (b"\n" if newline and rows else b"")
    starts = accumulate((len(row) + 1 for row in rows), initial=0)
    expected = [
        (json.loads(row)["text"], f"a.jsonl:{start}") for row, start in zip(rows, starts, strict=False) if row.strip()
    ]
    units = range(0, len(content), unit)
    found = [row for start in units for row in read(content, start=start, stop=min(start + unit, len(content)))]
    assert [(row["text"], row["place"]) for row in found] == expected


def test_a_batch_has_at_most_1000_rows() -> None:
    content = b'{"text": "a"}\n' * 2500
    batches = jsonl.read(io.BytesIO(content), "a.jsonl", 0, len(content), NAMES)
    assert [batch.num_rows for batch in batches] == [1000, 1000, 500]


@pytest.mark.parametrize("length", [CHUNK_BYTES - 30, 3 * CHUNK_BYTES])
def test_lines_longer_than_what_is_read_at_once(length: int) -> None:
    texts = ["a" * length, "b", "c" * length, "d"]
    content = b"".join(line(text, True) + b"\n" for text in texts)
    assert [row["text"] for row in read(content)] == texts
    assert [row["text"] for row in read(zstandard.compress(content), "a.jsonl.zst")] == texts


def test_columns_by_their_names_and_null_where_there_is_none() -> None:
    content = b'{"body": "a", "n": 7, "at": "u"}\n{"body": null}\n'
    (batch,) = jsonl.read(io.BytesIO(content), "a.jsonl", 0, len(content), ("body", "n", None))
    assert batch.to_pylist() == [
        {"text": "a", "id": "7", "url": None, "place": "a.jsonl:0", "fault": None},
        {"text": None, "id": None, "url": None, "place": "a.jsonl:33", "fault": "null_text"},
    ]


@pytest.mark.parametrize(
    "content", [b'{"text": 1, "id": 2}\n', b'\n \n{"text": 1, "id": 2}', b'\xef\xbb\xbf{"text": 1, "id": 2}']
)
def test_columns_are_the_keys_of_the_first_document(content: bytes) -> None:
    assert jsonl.columns(io.BytesIO(content), "a.jsonl") == {"text", "id"}


FRAMES = [b"".join(line(f"doc {i}", True) + b"\n" for i in range(n, n + 3)) for n in (0, 3, 6)]
TEXTS = [f"doc {i}" for i in range(9)]
Compress = Callable[[bytes], bytes]
FORMATS = pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("a.jsonl.zst", zstandard.compress),
        ("b.jsonl.zst", zstandard.ZstdCompressor(write_checksum=True, write_content_size=False).compress),
        ("a.jsonl.gz", gzip.compress),
    ],
)


@FORMATS
def test_frames_are_one_file(name: str, compress: Compress) -> None:
    content = b"".join(map(compress, FRAMES))
    places = [f"{name}:{start}" for start in accumulate((len(line(t, True)) + 1 for t in TEXTS[:-1]), initial=0)]
    assert [(row["text"], row["place"]) for row in read(content, name)] == list(zip(TEXTS, places, strict=True))


@FORMATS
def test_a_line_may_reach_over_frames(name: str, compress: Compress) -> None:
    plain = b"".join(FRAMES)
    content = b"".join(compress(plain[i : i + 7]) for i in range(0, len(plain), 7))
    assert [row["text"] for row in read(content, name)] == TEXTS


def faulty(rows: list[dict[str, Any]]) -> list[str]:
    return [row["fault"] for row in rows if row["fault"]]


@FORMATS
def test_cut_at_any_byte_it_is_told_or_whole_frames(name: str, compress: Compress) -> None:
    """A file cut between frames is a valid shorter one: its size tells (test_sources)."""
    frames = [compress(frame) for frame in FRAMES]
    content = b"".join(frames)
    whole = {end: 3 * n for n, end in enumerate(accumulate(map(len, frames)), 1)}
    for end in range(len(content) + 1):
        rows = read(content[:end], name)
        assert faulty(rows) == ([] if end in whole else ["cut_frame"])
        sound = [row["text"] for row in rows if not row["fault"]]
        assert sound == TEXTS[: whole.get(end, len(sound))]
        assert not faulty(rows[:-1]), "the fault stands where the file broke"


@FORMATS
def test_cut_inside_a_frame_of_many_lines(name: str, compress: Compress) -> None:
    """At 100 places, ends of lines among them: what came before is there, the cut is told."""
    plain = b"".join(line(f"document {i} " + "word " * (i % 40), True) + b"\n" for i in range(10_000))
    content = compress(plain)
    texts = [row["text"] for row in read(plain)]
    for end in range(1, len(content), len(content) // 100):
        rows = read(content[:end], name)
        assert faulty(rows) == ["cut_frame"]
        assert [row["text"] for row in rows[:-1]] == texts[: len(rows) - 1]


@FORMATS
@pytest.mark.parametrize("junk", [b"junk", b'{"text": "a"}\n', b"\x28\xb5", b"\x1f\x8b"])
def test_what_follows_the_last_frame_is_told(name: str, compress: Compress, junk: bytes) -> None:
    rows = read(compress(FRAMES[0]) + junk, name)
    assert [row["text"] for row in rows] == [*TEXTS[:3], None]
    assert faulty(rows) in (["cut_frame"], ["damaged_frame"])


@FORMATS
def test_a_file_of_another_kind_is_told(name: str, compress: Compress) -> None:
    assert faulty(read(FRAMES[0], name)) == ["damaged_frame"]


@FORMATS
def test_a_compressed_file_of_no_lines(name: str, compress: Compress) -> None:
    assert read(compress(b""), name) == []


def test_zstd_frames_to_be_skipped() -> None:
    skipped = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"seek"
    content = skipped + zstandard.compress(FRAMES[0]) + skipped
    assert [row["text"] for row in read(content, "a.zst")] == TEXTS[:3]


BROKEN = {
    "cut": (b'{"text": "a"', "broken_line"),
    "not JSON": (b"a text", "broken_line"),
    "list": (b'["text"]', "broken_line"),
    "number": (b"3", "broken_line"),
    "null": (b"null", "broken_line"),
    "deep": (b"[" * 100_000, "broken_line"),
    "a number of 5,000 digits": (b'{"text": "a", "n": ' + b"1" * 5000 + b"}", "broken_line"),
    "a raw NUL": (b'{"text": "a\0b"}', "broken_line"),
    "zeros": (b"\0" * 40, "broken_line"),
    "text is a number": (b'{"text": 5}', "text_not_string"),
    "text is a list": (b'{"text": ["a"]}', "text_not_string"),
    "no text": (b'{"body": "a"}', "null_text"),
    "invalid UTF-8": (b'{"text": "\xff"}', "invalid_utf8"),
    "cut UTF-8": (b'{"text": "\xe2\x82"}', "invalid_utf8"),
    "UTF-16": ('{"text": "a"}'.encode("utf-16-le"), "broken_line"),
    "lone surrogate": (b'{"text": "\\ud800"}', "invalid_utf8"),
    "lone surrogate, raw": (b'{"text": "\xed\xa0\x80"}', "invalid_utf8"),
    "lone surrogate in the id": (b'{"text": "a", "id": "\\udfff"}', "invalid_id"),
    "a byte order mark": (b'\xef\xbb\xbf{"text": "a"}', "broken_line"),
    "null text": (b'{"text": null}', "null_text"),
    "NUL": (b'{"text": "a\\u0000b"}', "nul_character"),
    "oversized": (b'{"text": "' + "é".encode() * 500 + b'a"}', "oversized_document"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_line_that_is_no_document_has_its_fault_and_its_byte(name: str) -> None:
    broken, fault = BROKEN[name]
    good = b'{"text": "good", "id": "1"}\n'
    content = 5 * good + broken + b"\n" + good
    (batch,) = jsonl.read(io.BytesIO(content), "part-7.jsonl", 0, len(content), NAMES, 1000)
    rows = batch.to_pylist()
    assert [(row["text"], row["fault"]) for row in rows] == 5 * [("good", None)] + [(None, fault), ("good", None)]
    assert rows[5]["place"] == "part-7.jsonl:140"


def test_a_mark_at_the_very_start_is_no_fault() -> None:
    rows = read(b'\xef\xbb\xbf{"text": "\xef\xbb\xbfa"}\n')
    assert [(row["text"], row["fault"]) for row in rows] == [("\ufeffa", None)]


def test_how_deep_a_line_may_be_nested_does_not_depend_on_the_caller() -> None:
    """Some depth is too deep; up to it every depth is read, however deep the reader itself is called."""
    content = b"\n".join(b'{"text": "a", "x": ' + b"[" * n + b"]" * n + b"}" for n in range(0, 1500, 10))

    def deeper(n: int) -> list[str | None]:
        return deeper(n - 1) if n else [row["fault"] for row in read(content)]

    assert deeper(0) == deeper(300)
    assert None in deeper(0)
    assert "broken_line" in deeper(0)


def test_a_long_window_is_no_damage() -> None:
    plain = b"".join(line(f"document {i}", True) + b"\n" for i in range(100))
    long = zstandard.ZstdCompressionParameters.from_level(3, window_log=28, enable_ldm=True, write_content_size=False)
    writer = zstandard.ZstdCompressor(compression_params=long).compressobj()
    content = writer.compress(plain) + writer.flush()
    assert zstandard.get_frame_parameters(content).window_size == 1 << 28
    assert len(read(content, "a.jsonl.zst")) == 100


def test_one_long_line_is_not_read_by_every_unit() -> None:
    class Recorded(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1, /) -> bytes:
            content = super().read(size)
            self.taken += len(content)
            return content

        def readline(self, size: int | None = -1, /) -> bytes:
            content = super().readline(size)
            self.taken += len(content)
            return content

    file = Recorded(b"[" + b"1," * 10_000_000 + b"1]")
    size = len(file.getvalue())
    for start in range(0, size, size // 10):
        list(jsonl.read(file, "a.json", start, min(start + size // 10, size), NAMES, 1000))
    assert file.taken < 2.5 * size


def test_long_lines_make_short_batches() -> None:
    content = b"\n".join(line("a" * 5_000_000, True) for _ in range(8))
    batches = jsonl.read(io.BytesIO(content), "a.jsonl", 0, len(content), NAMES)
    assert [batch.num_rows for batch in batches] == [4, 4]


@pytest.mark.parametrize("unit", [10**9, 3_000_000, 1_000_000])
def test_a_line_too_long_to_hold_is_passed_over(unit: int) -> None:
    long = b'{"text": "' + b"a" * 5_000_000 + b'"}'
    content = b"\n".join([line("a", True), long, line("b", True), long])
    found = [
        (row["text"], row["place"], row["fault"])
        for start in range(0, len(content), unit)
        for batch in jsonl.read(io.BytesIO(content), "a.jsonl", start, min(start + unit, len(content)), NAMES, 1000)
        for row in batch.to_pylist()
    ]
    first, second = len(line("a", True)) + 1, len(line("a", True)) + len(long) + 2
    assert found == [
        ("a", "a.jsonl:0", None),
        (None, f"a.jsonl:{first}", "oversized_document"),
        ("b", f"a.jsonl:{second}", None),
        (None, f"a.jsonl:{second + len(line('b', True)) + 1}", "oversized_document"),
    ]


VALUE = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=30),
    st.just("\ud83d"),
    st.just("\ufeffmark"),
    st.just("a\0b"),
    st.just("x" * 101),
    st.none(),
    st.integers(),
    st.lists(st.integers(), max_size=2),
)
ROW = st.one_of(
    st.builds(lambda value, escaped: ("value", value, escaped), VALUE, st.booleans()),
    st.builds(lambda raw: ("raw", raw, False), st.binary(max_size=12).map(lambda b: b.replace(b"\n", b""))),
)


def expected(kind: str, value: Any, escaped: bool) -> tuple[bytes, str | None, bool]:
    """A line, the fault it has, and whether it is a document at all, worked out another way."""
    if kind == "raw":
        if not value.strip():
            return value, None, False
        try:
            value.decode()
        except UnicodeDecodeError:
            return value, "invalid_utf8", True
        return value, "null_text" if value.strip() == b"{}" else "broken_line", True  # the only object drawn by chance
    raw = json.dumps({"text": value}, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    if value is None:
        return raw, "null_text", True
    if not isinstance(value, str):
        return raw, "text_not_string", True
    if any("\ud800" <= c <= "\udfff" for c in value):
        return raw, "invalid_utf8", True
    if "\0" in value:
        return raw, "nul_character", True
    return raw, "oversized_document" if len(value.encode()) > 100 else None, True


@given(st.lists(ROW, max_size=15), st.integers(10, 300))
@example([("raw", b"{}", False)], 10)
@settings(max_examples=700)
def test_counters_are_exact(rows: list[tuple[str, Any, bool]], unit: int) -> None:
    """Some 10,000 lines of every kind, in units of any size."""
    wanted = [expected(*row) for row in rows]
    raws = [b'{"text": ""}', *(raw for raw, _, _ in wanted)]  # a raw line at byte 0 might begin with a mark
    content = b"\n".join(raws)
    found = [
        row["fault"]
        for start in range(0, len(content), unit)
        for batch in jsonl.read(io.BytesIO(content), "a.jsonl", start, min(start + unit, len(content)), NAMES, 100)
        for row in batch.to_pylist()
    ]
    assert found == [None, *(fault for _, fault, document in wanted if document)]


def test_a_line_too_long_to_hold_is_not_held() -> None:
    """64 MB in one line, with a limit of 1,000 bytes a document: memory for a few of the pieces it is read in."""
    file = io.BytesIO(b'{"text": "' + b"a" * (64 << 20) + b'"}\n' + line("b", True))
    tracemalloc.start()
    try:
        batches = jsonl.read(file, "a.jsonl", 0, file.getbuffer().nbytes, NAMES, 1000)
        faults = [fault for batch in batches for fault in batch.column("fault").to_pylist()]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert faults == ["oversized_document", None]
    assert peak < 8 * CHUNK_BYTES < 32 << 20
