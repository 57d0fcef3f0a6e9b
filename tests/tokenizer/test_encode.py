"""Any text comes back from its ids, and only we write end-of-text."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpts_data.pipelines.errors import UsageError
from gpts_data.tokenizer import artifact
from gpts_data.tokenizer.artifact import END_OF_TEXT
from gpts_data.tokenizer.encode import AT_ONCE, Encoder, encoder
from gpts_data.tokenizer.train import learn
from tests.conftest import prose

ANY = st.text(st.characters(codec="utf-8"))
TRAPS = st.sampled_from(
    [END_OF_TEXT, "<|", "|>", "endoftext", "\0", "\u0301", "\u200d", "\U0010ffff", "\r\n", " ", "  \n"]
)
TEXTS = ANY | st.lists(TRAPS | ANY, max_size=8).map("".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that has seen the string of end-of-text often enough to have merges for it."""
    rng, folder = random.Random(2), tmp_path_factory.mktemp("tokenizer")
    texts = [prose(rng, 40) + f" <|endoftext|>{i}" for i in range(200)]
    artifact.save(learn(iter([texts]), 500).to_str(), folder, 64)
    return folder


@pytest.fixture(scope="module")
def coder(folder: Path) -> Encoder:
    return Encoder(folder)


@given(text=TEXTS)
@example(text="")
@example(text=END_OF_TEXT)
@example(text=f"a{END_OF_TEXT} {END_OF_TEXT}{END_OF_TEXT}")
@example(text="".join(map(chr, range(0xD800))))
@example(text="".join(map(chr, range(0xE000, 0x110000, 97))))
def test_any_text_comes_back(coder: Encoder, text: str) -> None:
    ids, lengths = coder.encode([text])
    assert ids.dtype == np.uint16
    assert lengths.dtype == np.uint32
    assert lengths.tolist() == [len(ids)]
    assert coder.decode(ids[:-1]) == text
    assert coder.decode(ids[:-1], ends=True) == text
    assert (ids == coder.eos_id).tolist() == [False] * (len(ids) - 1) + [True]


@given(texts=st.lists(TEXTS, max_size=6))
def test_one_end_after_each_text(coder: Encoder, texts: list[str]) -> None:
    ids, lengths = coder.encode(texts)
    assert len(lengths) == len(texts)
    assert (np.flatnonzero(ids == coder.eos_id) + 1).tolist() == np.cumsum(lengths).tolist()
    parts = np.split(ids, np.cumsum(lengths))[: len(texts)]
    assert [coder.decode(part) for part in parts] == texts
    assert coder.decode(ids, ends=True) == "".join(text + END_OF_TEXT for text in texts)


@pytest.mark.parametrize("n", [0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE])
def test_how_many_at_once_does_not_matter(coder: Encoder, n: int) -> None:
    texts = [f"{i} " * i for i in range(n)]
    alone = [coder.encode([text])[0].tolist() for text in texts]
    ids, lengths = coder.encode(texts)
    assert ids.dtype == np.uint16
    assert lengths.dtype == np.uint32
    assert ids.tolist() == sum(alone, [])
    assert lengths.tolist() == [len(part) for part in alone]


def test_half_a_character_decodes_to_a_replacement(coder: Encoder) -> None:
    ids, _ = coder.encode(["漢"])
    assert "\ufffd" in coder.decode(ids[:1])


def changed(folder: Path, to: Path, **changes: Any) -> Path:
    """The tokenizer with some top-level parts replaced."""
    content = json.loads((folder / "tokenizer.json").read_bytes())
    to.mkdir()
    (to / "tokenizer.json").write_text(json.dumps({**content, **changes}))
    return to


def test_truncation_and_padding_saved_with_a_tokenizer_are_ignored(
    coder: Encoder, folder: Path, tmp_path: Path
) -> None:
    truncation = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    padding = {"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
               "pad_type_id": 0, "pad_token": END_OF_TEXT}  # fmt: skip
    other = Encoder(changed(folder, tmp_path / "other", truncation=truncation, padding=padding))
    texts = ["", "a", "a longer text than both"]
    assert [part.tolist() for part in other.encode(texts)] == [part.tolist() for part in coder.encode(texts)]


def test_a_tokenizer_that_cannot_be_loaded_is_a_usage_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tokenizer\.json: tokenizers cannot load it"):
        Encoder(changed(folder, tmp_path / "other", pre_tokenizer={"type": "Nonsense"}))


def test_the_encoder_of_a_folder_is_kept_until_its_content_changes(folder: Path) -> None:
    assert encoder(folder, "one") is encoder(folder, "one")
    assert encoder(folder, "one") is not encoder(folder, "other")
