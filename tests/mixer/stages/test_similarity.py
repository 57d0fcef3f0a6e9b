"""Similarity of documents that are read back from their ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.stages.prepare import Prepare, prepare
from gpts_data.mixer.stages.similarity import SimilarTexts, jaccard, ngrams_of
from gpts_data.mixer.stages.unit_texts import Texts
from gpts_data.pipelines.dedup.signatures import Dedup
from gpts_data.pipelines.filters.cleaner import CleanConfig
from gpts_data.pipelines.readers.reader import list_files, split_units
from gpts_data.pipelines.readers.source import Source
from gpts_data.tokenizer.artifact import load
from gpts_data.tokenizer.encode import get_encoder
from tests.support import plain_kernels as plain

NUMBERS = st.sets(st.integers(0, 30))


@given(NUMBERS, NUMBERS)
def test_jaccard_is_that_of_sets(one: set[int], other: set[int]) -> None:
    found = jaccard(*(np.array(sorted(numbers), np.uint64) for numbers in (one, other)))
    assert found == (len(one & other) / len(one | other) if one | other else 0)


@pytest.mark.parametrize("text", ["", "one two", "A b c d, A B C D; a b-c d 1,000.5 é", "x " * 50])
def test_ngrams_are_those_of_the_signatures(text: str) -> None:
    assert ngrams_of(text, 3).tolist() == sorted(plain.hash_ngram(ngram) for ngram in plain.ngrams(text, 3))


def test_texts_come_back_from_their_units(mix: Mix, tmp_path: Path) -> None:
    texts = [f"text {i} " * (i % 7 + 1) + "é<|endoftext|>\n" for i in range(2500)]
    for part in range(2):
        lines = "".join('{"text": ' + f'"{text.strip()}"' + "}\n" for text in texts[part::2])
        (tmp_path / f"{part}.jsonl").write_text(lines, encoding="utf-8")
    tokenizer, source = load(mix.tokenizer), Source("web", 1, ("*.jsonl",))
    coder = get_encoder(tokenizer.folder, tokenizer.digest)
    found, first = Texts(coder), 0
    for file in list_files(source, tmp_path).files:
        (unit,) = split_units(source, file, 10**9)
        path = tmp_path / f"{file.name}.arrow"
        prepare(
            Prepare(source, unit, CleanConfig(), Dedup(minhash=None), tokenizer.folder, tokenizer.digest, "k", path)
        )
        found.add(path, first)
        first += 1250
    for ordinal in (0, 1, 999, 1000, 1249, 1250, 2499):
        part, row = divmod(ordinal, 1250)
        assert found.text(ordinal) == texts[part::2][row].strip()
        assert found.unit(ordinal) == part
    similar = SimilarTexts(found, 3, 0.9)
    assert similar(0, 0)
    assert not similar(0, 1)
