"""An encoder that gives other ids than `tokenizers` does not get through a unit, however small."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from gpts_data.pipelines.errors import DataError
from gpts_data.tokenizer import artifact
from gpts_data.tokenizer.bpe import train_bpe
from gpts_data.tokenizer.encode import Encoder
from gpts_data.tokenizer.parity_check import EXCERPT, FIRST_BATCH_BYTES, ONE_IN, ParityCheck
from tests.conftest import prose


@pytest.fixture(scope="module")
def coder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    rng, folder = random.Random(5), tmp_path_factory.mktemp("tokenizer")
    artifact.save(train_bpe(iter([[prose(rng, 60) for _ in range(100)]]), 400).to_str(), folder, 64)
    return Encoder(folder)


class Wrong:
    """A library with a bug: it loses the last token of some texts."""

    name = "wrong 1.0"

    def __init__(self, coder: Encoder, mark: str) -> None:
        self._coder, self._mark = coder, mark

    def ids(self, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        parts = [self._coder.reference.encode_one(text) for text in texts]
        parts = [part[:-1] if self._mark in text else part for part, text in zip(parts, texts, strict=True)]
        return np.array(sum(parts, []), np.uint32), np.array([len(part) for part in parts], np.uint32)


def broken(coder: Encoder, mark: str = "") -> Encoder:
    other = Encoder.__new__(Encoder)
    other.__dict__.update(coder.__dict__, _backend=Wrong(coder, mark), name=Wrong.name)
    return other


def check(proof: ParityCheck, coder: Encoder, texts: list[str]) -> None:
    names = pa.array([f"document-{i}" for i in range(len(texts))])
    proof.check(names, pa.array(texts, pa.string()), *coder.encode(texts))


def texts(n: int, words: int, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    return [prose(rng, words) for _ in range(n)]


def test_a_sample_of_bytes_is_proven(coder: Encoder) -> None:
    proof = ParityCheck(coder, "unit")
    for seed in range(10):
        check(proof, coder, texts(100, 200, seed))
    if coder.is_reference:
        assert proof.documents == 0
        return
    total = sum(len(text.encode()) for seed in range(10) for text in texts(100, 200, seed))
    allowed = FIRST_BATCH_BYTES + total / ONE_IN
    assert proof.documents >= 3
    assert allowed * 0.9 < proof.text_bytes < allowed + 3000  # a last document may go over, the next ones pay for it


@pytest.mark.parametrize("n", [1, 5, 1000])
def test_a_library_that_is_always_wrong_is_found_in_any_unit(coder: Encoder, n: int) -> None:
    wrong = broken(coder)
    with pytest.raises(DataError) as error:
        check(ParityCheck(wrong, "source 'web', unit part-0"), wrong, texts(n, 100))
    message = str(error.value)
    assert message.startswith("source 'web', unit part-0, document 'document-")
    for part in ("wrong 1.0 gives other ids than tokenizers", "from token", "expected [", "--encoder tokenizers"):
        assert part in message


def test_a_long_document_costs_an_excerpt(coder: Encoder) -> None:
    long = " ".join(texts(400, 100))
    proof = ParityCheck(broken(coder, mark="nowhere"), "unit")
    check(proof, coder, [long])
    assert (proof.documents, proof.text_bytes) == (1, EXCERPT)
    wrong = broken(coder)
    with pytest.raises(DataError, match="other ids"):
        check(ParityCheck(wrong, "unit"), wrong, [long])


def test_the_same_documents_in_every_run(coder: Encoder) -> None:
    found = []
    for _ in range(2):
        with pytest.raises(DataError) as error:
            wrong = broken(coder, mark="ka")
            check(ParityCheck(wrong, "unit"), wrong, texts(300, 50))
        found.append(str(error.value))
    assert found[0] == found[1]


def test_a_sliced_batch_and_an_empty_one(coder: Encoder) -> None:
    some = pa.array(texts(20, 50), pa.string()).slice(7, 9)
    names = pa.array([str(i) for i in range(9)])
    other = broken(coder, mark="nowhere")
    proof = ParityCheck(other, "unit")
    proof.check(names, some, *coder.encode(some))
    assert proof.documents > 0
    proof.check(names[:0], some[:0], *coder.encode(some[:0]))


def test_tokenizers_is_not_compared_with_itself(coder: Encoder, tmp_path: Path) -> None:
    reference = Encoder.__new__(Encoder)
    reference.__dict__.update(coder.__dict__, _backend=coder.reference)
    proof = ParityCheck(reference, "unit")
    check(proof, reference, texts(10, 50))
    assert proof.documents == 0
