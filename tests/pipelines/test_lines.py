"""Lines: every document once, in order, at its true byte; a damaged file is named, never read short."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from gpts_data.pipelines import lines
from gpts_data.pipelines.errors import DataError

NAMES = ("text", "id", "url")
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
BLANK = st.sampled_from([b"", b" ", b"\t", b"\r"])


def line(text: str, escaped: bool) -> bytes:
    return json.dumps({"text": text}, ensure_ascii=escaped).encode()


LINES = st.lists(BLANK | st.builds(line, TEXT, st.booleans()), max_size=12)


def read(content: bytes, name: str = "a.jsonl", start: int = 0, stop: int | None = None) -> list[dict[str, Any]]:
    stop = len(content) if stop is None else stop
    batches = lines.read(io.BytesIO(content), name, start, stop, NAMES)
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
    batches = lines.read(io.BytesIO(content), "a.jsonl", 0, len(content), NAMES)
    assert [batch.num_rows for batch in batches] == [1000, 1000, 500]


@pytest.mark.parametrize("length", [lines.CHUNK_BYTES - 30, 3 * lines.CHUNK_BYTES])
def test_lines_longer_than_what_is_read_at_once(length: int) -> None:
    texts = ["a" * length, "b", "c" * length, "d"]
    content = b"".join(line(text, True) + b"\n" for text in texts)
    assert [row["text"] for row in read(content)] == texts
    assert [row["text"] for row in read(zstandard.compress(content), "a.jsonl.zst")] == texts


def test_columns_by_their_names_and_null_where_there_is_none() -> None:
    content = b'{"body": "a", "n": 7, "at": "u"}\n{"body": null}\n'
    (batch,) = lines.read(io.BytesIO(content), "a.jsonl", 0, len(content), ("body", "n", None))
    assert batch.to_pylist() == [
        {"text": "a", "id": "7", "url": None, "place": "a.jsonl:0"},
        {"text": None, "id": None, "url": None, "place": "a.jsonl:33"},
    ]


@pytest.mark.parametrize(
    "content", [b'{"text": 1, "id": 2}\n', b'\n \n{"text": 1, "id": 2}', b'\xef\xbb\xbf{"text": 1, "id": 2}']
)
def test_columns_are_the_keys_of_the_first_document(content: bytes) -> None:
    assert lines.columns(io.BytesIO(content), "a.jsonl") == {"text", "id"}


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


@FORMATS
def test_cut_at_any_byte_it_is_refused_or_whole_frames(name: str, compress: Compress) -> None:
    """A file cut between frames is a valid shorter one: its size tells (test_sources)."""
    frames = [compress(frame) for frame in FRAMES]
    content = b"".join(frames)
    whole = {end: 3 * n for n, end in enumerate(accumulate(map(len, frames)), 1)}
    for end in range(len(content) + 1):
        if end in whole:
            assert len(read(content[:end], name)) == whole[end]
        else:
            with pytest.raises(DataError, match=name):
                read(content[:end], name)


@FORMATS
@pytest.mark.parametrize("junk", [b"junk", b'{"text": "a"}\n', b"\x28\xb5", b"\x1f\x8b"])
def test_what_follows_the_last_frame_is_refused(name: str, compress: Compress, junk: bytes) -> None:
    with pytest.raises(DataError, match=name):
        read(compress(FRAMES[0]) + junk, name)


@FORMATS
def test_a_file_of_another_kind_is_refused(name: str, compress: Compress) -> None:
    with pytest.raises(DataError, match=name):
        read(FRAMES[0], name)


@FORMATS
def test_a_compressed_file_of_no_lines(name: str, compress: Compress) -> None:
    assert read(compress(b""), name) == []


def test_zstd_frames_to_be_skipped() -> None:
    skipped = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"seek"
    content = skipped + zstandard.compress(FRAMES[0]) + skipped
    assert [row["text"] for row in read(content, "a.zst")] == TEXTS[:3]


BROKEN = {
    "cut": b'{"text": "a"',
    "not JSON": b"a text",
    "list": b'["text"]',
    "number": b"3",
    "null": b"null",
    "deep": b"[" * 100_000,
    "text is a number": b'{"text": 5}',
    "text is a list": b'{"text": ["a"]}',
    "invalid UTF-8": b'{"text": "\xff"}',
    "cut UTF-8": b'{"text": "\xe2\x82"}',
    "lone surrogate": b'{"text": "\\ud800"}',
    "lone surrogate, raw": b'{"text": "\xed\xa0\x80"}',
    "lone surrogate in the id": b'{"text": "a", "id": "\\udfff"}',
    "zeros": b"\0" * 40,
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_line_is_named_with_its_byte(broken: bytes) -> None:
    good = b'{"text": "good", "id": "1"}\n'
    with pytest.raises(DataError, match=r"^part-7\.jsonl.* byte 140\b"):
        read(5 * good + broken + b"\n" + good, "part-7.jsonl")
