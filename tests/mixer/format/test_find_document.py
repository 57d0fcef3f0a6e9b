"""The way back of trace: every document of the tables is found by its id, in just the windows that hold its tokens."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.mixer.format.document_index import SEED, find_rows, index_ids, index_name
from gpts_data.mixer.format.find_document import find_documents, locate
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.format.trace import stream, trace
from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.atomic_files import write_npy
from gpts_data.pipelines.text.hashing import hash_strings
from tests.support.plain_kernels import hash_string
from tests.support.seal import reseal


def rows(path: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = pq.read_table(path).to_pylist()
    return found


def test_each_document_is_found_and_its_windows_hold_it(mix: Mix) -> None:
    n = 0
    for source, name in enumerate(mix.sources):
        for table in sorted((mix.path / "documents" / name).glob("*.parquet")):
            for row in rows(table)[::7]:
                found = [one for one in find_documents(mix, str(row["id"])) if one.source == name]
                assert [one.tokens for one in found] == [row["tokens"]]
                held = [mix_row(mix, p.positions[0])[p.start : p.stop] for p in found[0].windows]
                start = int(row["start"])  # type: ignore[call-overload]
                expected = stream(mix, source, start, start + found[0].tokens)
                assert (np.concatenate(held) == expected).all()
                n += 1
    assert n > 10


def mix_row(mix: Mix, position: int) -> np.ndarray:
    shard, row = mix.locate(position)
    return np.asarray(mix.shard(shard)[row])


def test_there_and_back(mix: Mix) -> None:
    for token in range(0, mix.tokens, 501):
        origin = trace(mix, token)
        (one,) = [one for one in find_documents(mix, origin.document_id) if one.source == origin.source]
        positions = {position for place in one.windows for position in place.positions}
        assert token // mix.window in positions


def test_a_document_held_out_is_found_too(mix: Mix) -> None:
    row = rows(mix.path / "validation" / "web.parquet")[0]
    (one,) = find_documents(mix, str(row["id"]))
    assert one.held_out and one.windows == () and one.tokens == row["tokens"]


def test_no_such_document(mix: Mix) -> None:
    with pytest.raises(UsageError, match="no document 'nobody' in .*: it was not read, or has another id"):
        find_documents(mix, "nobody")


def test_a_dropped_document_is_named_with_its_reason(mix: Mix) -> None:
    reasons = set()
    for i in range(240):
        try:
            find_documents(mix, f"web-{i}")
        except UsageError as error:
            reasons.add(str(error).partition("web has it, and it was dropped: ")[2])
    assert "over_budget" in reasons


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=60))
def test_the_index_finds_every_row_of_an_id(tmp_path_factory: pytest.TempPathFactory, ids: list[str]) -> None:
    ids = [some for some in ids if some.isascii()] or ["a"]
    table = tmp_path_factory.mktemp("ids") / "t.parquet"
    write_npy(table.with_name(index_name(table.name)), index_ids(pa.chunked_array([ids[:7], ids[7:]], pa.string())))
    for some in set(ids):
        assert find_rows(np.load(table.with_name(index_name(table.name))), some).tolist() == [
            i for i, other in enumerate(ids) if other == some
        ]


def colliding_ids() -> tuple[str, str]:
    """Two ids whose hashes agree in the upper half, which is all that the index has: by the birthday paradox some of
    300,000 do."""
    ids = pa.array([f"id-{i}" for i in range(300_000)], pa.string())
    halves = hash_strings(ids, SEED) >> np.uint64(32)
    order = np.argsort(halves, kind="stable")
    first = int(np.flatnonzero(halves[order][1:] == halves[order][:-1])[0])
    a, b = ids.take(pa.array(order[first : first + 2])).to_pylist()
    return a, b


def test_two_ids_of_one_half_hash_are_told_apart(mix: Mix, tmp_path: Path) -> None:
    a, b = colliding_ids()
    copy = open_mix(shutil.copytree(mix.path, tmp_path / "mix"))
    table = copy.path / "documents/web/00000.parquet"
    content = pq.read_table(table)
    ids = [a, "between", b, *content.column("id").to_pylist()[3:]]
    pq.write_table(content.set_column(0, "id", pa.array(ids, pa.string())), table)
    write_npy(table.with_name(index_name(table.name)), index_ids(pa.chunked_array([ids], pa.string())))
    reseal(copy.path)
    copy, index = open_mix(copy.path), np.load(table.with_name(index_name(table.name)))
    assert find_rows(index, a).tolist() == find_rows(index, b).tolist() == [0, 2]
    for number, name in ((0, a), (2, b)):
        (location,) = locate(copy, name)
        assert (location.document_id, location.start) == (name, content.column("start")[number].as_py())


def test_the_index_is_the_documented_hash_and_the_row(mix: Mix) -> None:
    """A mix of an earlier version is searched with the same hashes."""
    index = index_ids(pa.chunked_array([["b", "a"], ["b"]], pa.string()))
    by_id = {name: hash_string(name, 0x1D) >> 32 for name in "ab"}
    expected = sorted([by_id["b"] << 32, by_id["a"] << 32 | 1, by_id["b"] << 32 | 2])
    assert index.tolist() == expected and index.dtype == np.uint64
