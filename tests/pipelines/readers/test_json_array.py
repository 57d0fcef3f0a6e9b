"""A JSON array gives the documents that its lines would, at the bytes where they begin."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.pipelines.readers import damage, json_array
from gpts_data.pipelines.readers.compression import CHUNK_BYTES

NAMES = ("text", None, None)
Found = list[tuple[str | None, str, str | None]]


def read(content: bytes, max_document_bytes: int = damage.MAX_DOCUMENT_BYTES) -> Found:
    batches = json_array.read(io.BytesIO(content), "a.json", 0, len(content), NAMES, max_document_bytes)
    return [(row["text"], row["place"], row["fault"]) for batch in batches for row in batch.to_pylist()]


def in_pieces(content: bytes, size: int) -> Iterator[bytes]:
    yield from (content[i : i + size] for i in range(0, len(content), size))


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)), st.integers(1, 20))
def test_items_and_their_places_whatever_is_read_at_once(texts: list[str], size: int) -> None:
    items = [json.dumps({"text": text}, ensure_ascii=False).encode() for text in texts]
    content = b" [ " + b" ,\n".join(items) + b"]\n"
    found = list(json_array._items(in_pieces(content, size), 1000))
    assert [item for _, item in found] == items
    for offset, item in found:
        assert content[offset : offset + len(item)] == item


def test_numbers_at_the_end_of_a_piece_stay_whole() -> None:
    assert [item for _, item in json_array._items(in_pieces(b"[12345, 678]", 3), 1000)] == [b"12345", b"678"]


def test_objects_longer_than_what_is_read_at_once() -> None:
    texts = ["a" * 3 * CHUNK_BYTES, "b", "c" * (CHUNK_BYTES - 20), "d"]
    assert [text for text, *_ in read(json.dumps([{"text": text} for text in texts]).encode())] == texts


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        (b'[{"text": "a"}, {"text": 7}, 3, {"text": null}]', [None, "text_not_string", "broken_line", "null_text"]),
        (b'[{"text": "a"}, {"text": "caf\xe9"}, {"text": "b"}]', [None, "invalid_utf8", None]),
        (b'[{"text": "a\n"}, {"text": "b"}]', ["broken_line", None]),
        (b'[{"text": "a"}, {"text": "b"', [None, "broken_line"]),
        (b'[{"text": "a"} {"text": "b"}]', [None, "broken_line"]),
        (b'[{"text": "a"},', [None, "broken_line"]),
        (b'[{"text": "a"}', [None, "broken_line"]),
        (b"[]", []),
        (b" [ ]", []),
        (b"[", ["broken_line"]),
        (b"[" * 100_000, ["broken_line"]),
    ],
)
def test_what_is_broken_is_a_fault(content: bytes, faults: list[str | None]) -> None:
    assert [fault for *_, fault in read(content)] == faults


def test_an_object_that_is_too_long_ends_the_array_with_a_fault() -> None:
    content = json.dumps([{"text": "a"}, {"text": "b" * 4 * CHUNK_BYTES}, {"text": "c"}]).encode()
    assert [fault for *_, fault in read(content, 100)] == [None, "broken_line"]
    content = json.dumps([{"text": "a"}, {"text": "b" * 101}, {"text": "c"}]).encode()
    assert [fault for *_, fault in read(content, 100)] == [None, "oversized_document", None]


def test_lines_are_read_as_lines() -> None:
    content = b'\n{"text": "a"}\n[1]\n{"text": "b"}\n'
    assert read(content) == [
        ("a", "a.json:1", None),
        (None, "a.json:15", "broken_line"),
        ("b", "a.json:19", None),
    ]
