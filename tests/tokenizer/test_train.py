"""The tokenizer is a function of the sample, the sample one of the recipe; the weights decide what is in it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.execute import InProcess
from gpts_data.pipelines.filters.cleaner import CleanConfig, Cleaner
from gpts_data.pipelines.readers.draw_order import Draw, draw_units
from gpts_data.pipelines.readers.reader import list_files, read, split_units
from gpts_data.pipelines.readers.source import Listing, Source, SourceFile, Unit
from gpts_data.tokenizer.bpe import train_bpe
from gpts_data.tokenizer.train import (
    MAX_DOCUMENT,
    MIN_UNITS,
    SampleTask,
    Training,
    draw_sample,
    equal_parts,
    evenly_spaced,
    plan_sample,
    train,
)
from tests.conftest import prose

UNIT = 20_000
SMALL = Training(vocab_size=400, sample=30_000)
Sources = list[tuple[Source, Listing, CleanConfig]]

TRAIN = """
import hashlib, random, sys
from gpts_data.tokenizer.bpe import train_bpe
rng = random.Random(5)
words = ["".join(rng.choices("abcdefgh", k=rng.randint(2, 7))) for _ in range(400)]
texts = [[" ".join(rng.choices(words, k=60)) for _ in range(50)] for _ in range(20)]
print(hashlib.sha256(train_bpe(iter(texts), 600).to_str().encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources: web in row groups of parquet, notes in lines."""
    folder, rng = tmp_path_factory.mktemp("sources"), random.Random(11)
    texts = [prose(rng, rng.randint(20, 60)) for _ in range(1200)]
    for part in range(3):
        pq.write_table(pa.table({"text": texts[part::3][:300]}), folder / f"web-{part}.parquet", row_group_size=100)
    (folder / "notes.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in texts[900:]), encoding="utf-8"
    )
    return folder


@pytest.fixture(scope="module")
def sources(folder: Path) -> Sources:
    found = [Source("web", 2.5, ("web-*.parquet",)), Source("notes", 1, ("notes.jsonl",))]
    return [(source, list_files(source, folder), CleanConfig()) for source in found]


def texts_of(piece: SampleTask) -> list[str]:
    with pa.ipc.open_file(piece.path) as reader:
        return list(reader.read_all().column("text").to_pylist())


def trained(sources: Sources, folder: Path, training: Training = SMALL) -> tuple[bytes, str]:
    """tokenizer.json and the digest of the sample."""
    pieces = plan_sample(sources, training, UNIT, folder / "sample")
    found = train(pieces, training, 64, InProcess(), folder / "tokenizer")
    return (folder / "tokenizer" / "tokenizer.json").read_bytes(), found.sample_digest


def test_the_same_sample_gives_the_same_tokenizer(sources: Sources, tmp_path: Path) -> None:
    one = trained(sources, tmp_path / "one")
    assert trained(sources, tmp_path / "other") == one
    assert trained(sources[::-1], tmp_path / "reversed")[1] != one[1]


def test_it_reports_progress_in_bytes_of_the_sample(sources: Sources, tmp_path: Path) -> None:
    calls: list[tuple[str, str, int, int]] = []
    pieces = plan_sample(sources, SMALL, UNIT, tmp_path / "sample")
    train(pieces, SMALL, 64, InProcess(), tmp_path / "tokenizer", lambda *call: calls.append(call[:4]))
    assert {call[:2] for call in calls} == {("tokenizer", "sample")} and len(calls) == len(pieces)
    found = sum(draw_sample(piece)["bytes"] for piece in pieces)  # finished, so only its receipt is read
    assert calls[-1][2:] == (found, found)


def test_a_sample_of_a_small_file_is_reported_as_small(sources: Sources, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    training = replace(SMALL, sample=200_000_000)
    pieces = plan_sample(sources, training, UNIT, tmp_path / "sample")
    train(pieces, training, 64, InProcess(), tmp_path / "tokenizer", lambda *call: calls.append(call[2:4]))
    assert calls[-1][0] == calls[-1][1] < 10_000_000


def test_threads_and_hash_seeds_do_not_matter() -> None:
    found = []
    for n in ("1", "2"):
        environment = {**os.environ, "RAYON_NUM_THREADS": n, "PYTHONHASHSEED": n, "TOKENIZERS_PARALLELISM": "true"}
        command = [sys.executable, "-c", TRAIN]
        found.append(
            subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True, encoding="utf-8"
            ).stdout
        )
    assert found[0] == found[1]
    assert len(found[0]) == 65


def test_ids_are_end_of_text_then_the_bytes_then_the_merges(sources: Sources, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_str(trained(sources, tmp_path)[0].decode())
    assert tokenizer.get_vocab_size() == 400
    assert tokenizer.token_to_id("<|endoftext|>") == 0
    assert {tokenizer.id_to_token(i) for i in range(1, 257)} == set(pre_tokenizers.ByteLevel.alphabet())
    lengths = [len(tokenizer.id_to_token(i) or "") for i in range(257, 400)]
    assert min(lengths) == 2
    assert max(lengths) > 2


def test_batches_of_the_sample_do_not_matter() -> None:
    rng = random.Random(3)
    texts = [prose(rng, 30) for _ in range(60)]
    one = train_bpe(iter([texts]), 350).to_str()
    assert train_bpe(iter([[text] for text in texts]), 350).to_str() == one


def test_a_sample_too_small_is_refused_with_both_numbers(sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gives [\d,]+ entries, expected 30,000; raise tokenizer\.sample"):
        trained(sources, tmp_path, replace(SMALL, vocab_size=30_000))
    assert not (tmp_path / "tokenizer").exists()


def test_the_weights_decide_the_bytes_of_each_source(sources: Sources, tmp_path: Path) -> None:
    pieces = plan_sample(sources, SMALL, UNIT, tmp_path)
    quotas, drawn, longest = Counter[str](), Counter[str](), 0
    for piece in pieces:
        draw_sample(piece)
        texts = [text.encode() for text in texts_of(piece)]
        quotas[piece.source.name] += piece.quota
        drawn[piece.source.name] += sum(map(len, texts))
        assert sum(map(len, texts[:-1])) < piece.quota <= sum(map(len, texts))
        longest = max(longest, *map(len, texts))
    for (source, _, _), weight in zip(sources, (Fraction(5, 7), Fraction(2, 7)), strict=True):
        assert 0 <= weight * SMALL.sample - quotas[source.name] < MIN_UNITS
        assert 0 <= drawn[source.name] - quotas[source.name] < MIN_UNITS * longest


def test_a_piece_is_the_first_texts_of_its_unit(sources: Sources, tmp_path: Path) -> None:
    for piece in plan_sample(sources, SMALL, UNIT, tmp_path):
        receipt = draw_sample(piece)
        texts = texts_of(piece)
        unit = [text for batch in read(piece.source, piece.unit) for text in batch.column("text").to_pylist()]
        assert texts == unit[: len(texts)]
        assert receipt["bytes"] == sum(len(text.encode()) for text in texts)


def test_one_book_is_not_the_sample(tmp_path: Path) -> None:
    """Of a long document its beginning, whole characters; of the short ones all."""
    book, page = "a\u00e9" * MAX_DOCUMENT, "page " * 100
    (tmp_path / "books.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in [book, page, book]), encoding="utf-8"
    )
    source = Source("books", 1, ("books.jsonl",))
    listing = list_files(source, tmp_path)
    (piece,) = plan_sample([(source, listing, CleanConfig())], replace(SMALL, sample=10**6), 10**9, tmp_path)
    draw_sample(piece)
    first, second, third = texts_of(piece)
    assert first == third == book[: len(first)]
    assert MAX_DOCUMENT - 2 < len(first.encode()) <= MAX_DOCUMENT
    assert second == page


def test_the_sample_is_cleaned(sources: Sources, tmp_path: Path) -> None:
    strict = CleanConfig(("gopher_quality",), {"gopher_quality": {"min_doc_words": 40, "min_stop_words": 0}})
    (piece, *_) = plan_sample([(source, listing, strict) for source, listing, _ in sources], SMALL, UNIT, tmp_path)
    draw_sample(piece)
    texts = texts_of(piece)
    assert texts
    assert all(len(text.split()) >= 40 for text in texts)


def test_little_is_cleaned_in_vain(sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quota of a few documents does not clean a batch of 1,000."""
    cleaned = 0
    clean = Cleaner.clean

    def counted(self: Cleaner, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Counter[str]]:
        nonlocal cleaned
        cleaned += batch.num_rows
        return clean(self, batch)

    monkeypatch.setattr(Cleaner, "clean", counted)
    piece = plan_sample(sources, replace(SMALL, sample=3000), 10**9, tmp_path)[-1]
    draw_sample(piece)
    assert len(texts_of(piece)) < 10
    assert cleaned <= 64


def test_a_drawn_piece_is_not_drawn_again_but_another_is(sources: Sources, tmp_path: Path) -> None:
    piece = plan_sample(sources, SMALL, UNIT, tmp_path)[0]
    receipt = draw_sample(piece)
    before = piece.path.stat().st_mtime_ns
    assert draw_sample(piece) == receipt
    assert piece.path.stat().st_mtime_ns == before
    assert draw_sample(replace(piece, quota=2 * piece.quota))["bytes"] > receipt["bytes"]


@given(st.integers(0, 200))
def test_spread_takes_all_of_a_few_and_some_of_every_part_of_many(n: int) -> None:
    found = evenly_spaced(range(n))
    assert len(found) == min(n, MIN_UNITS)
    gaps = [after - before for before, after in pairwise([*found, n])]
    assert not found or (found[0] == 0 and min(gaps) >= 1 and max(gaps) - min(gaps) <= 1)


def sample_of_lines(n_files: int, file_bytes: int, sample: int, unit: int, draw: Draw = Draw()) -> list[SampleTask]:
    files = tuple(SourceFile(f"{n:03d}.jsonl", f"/nowhere/{n}.jsonl", file_bytes, None) for n in range(n_files))
    source = Source("web", 1), Listing(files), CleanConfig()
    return plan_sample([source], Training(400, sample), unit, Path("sample"), draw=draw)


@pytest.mark.parametrize("order", ["spread", "file"])
def test_a_source_of_many_files_is_sampled_from_16_places(order: str) -> None:
    pieces = sample_of_lines(100, 10**6, 8 * 10**5, 10**5, Draw(order))
    numbers = sorted(int(piece.unit.file.name[:3]) for piece in pieces)
    assert len(set(numbers)) == len({piece.path for piece in pieces}) == MIN_UNITS
    assert {number // 25 for number in numbers} == {0, 1, 2, 3}
    assert {piece.quota for piece in pieces} == {8 * 10**5 // MIN_UNITS}


def test_the_sample_is_the_beginning_of_the_draw_order() -> None:
    """So a build from the hub does not open or fetch other units for the tokenizer than for the mix."""
    pieces = sample_of_lines(9, 10**6, 10**4, 10**5, Draw(seed=3))

    def split(file: SourceFile) -> list[Unit]:
        return split_units(Source("web", 1), file, 10**5)

    files = [SourceFile(f"{n:03d}.jsonl", f"/nowhere/{n}.jsonl", 10**6, None) for n in range(9)]
    assert [piece.unit for piece in pieces] == list(islice(draw_units(files, split, Draw(seed=3), "web"), MIN_UNITS))


def test_small_units_give_the_sample_as_much_text_as_large_ones() -> None:
    pieces = sample_of_lines(10, 10**6, 10**6, 5_000)
    assert sum(piece.quota for piece in pieces) == 10**6
    assert sum(piece.unit.text_bytes for piece in pieces) == 2 * 10**6  # filters may drop half of it


def test_the_sample_never_wants_more_text_than_there_is() -> None:
    assert sum(piece.quota for piece in sample_of_lines(3, 10_000, 10**6, 4_000)) == 30_000


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(0, 300))
def test_parts_are_equal_but_for_those_at_their_limit(limits: list[int], total: int) -> None:
    parts = equal_parts(limits, total)
    assert all(part <= limit for part, limit in zip(parts, limits, strict=True))
    assert min(total, sum(limits)) - len(limits) < sum(parts) <= total
    assert len({part for part, limit in zip(parts, limits, strict=True) if part < limit}) <= 1
