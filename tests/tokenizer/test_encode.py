"""Any text comes back from its ids, and only we write end-of-text."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from gpts_data.pipelines.errors import DataError, UsageError
from gpts_data.tokenizer import artifact, fastokens_encoder
from gpts_data.tokenizer.artifact import END_OF_TEXT, load
from gpts_data.tokenizer.bpe import train_bpe
from gpts_data.tokenizer.encode import TEXTS_PER_BATCH, Encoder, get_encoder
from tests.conftest import prose

USER = "<|user|>"
ANY = st.text(st.characters(codec="utf-8"))
TRAPS = st.sampled_from(
    [END_OF_TEXT, USER, "<|", "|>", "endoftext", "\0", "\u0301", "\u200d", "\U0010ffff", "\r\n", " ", "  \n"]
)
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
STRINGS = int(os.environ.get("STRINGS", "500"))  # of each tokenizer; 100,000 have been run
TEXTS = ANY | st.lists(TRAPS | ANY, max_size=8).map("".join)


def corpus() -> list[str]:
    """The strings of the special tokens are often enough in it to have merges."""
    rng = random.Random(2)
    return [prose(rng, 40) + f" {END_OF_TEXT}{i} {USER} don't 12,345\n\n  漢字" for i in range(200)]


def learn_cl100k(texts: list[str]) -> Tokenizer:
    """The other kind of pre-tokenizer: a regular expression of its own, then bytes."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(CL100K), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=[END_OF_TEXT, USER], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([texts], trainer)
    return tokenizer


@pytest.fixture(scope="module", params=["ours", "cl100k"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = train_bpe(iter([corpus()]), 500, [USER]) if request.param == "ours" else learn_cl100k(corpus())
    artifact.save(tokenizer.to_str(), folder, 64)
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


def test_fastokens_is_in_use(coder: Encoder) -> None:
    pytest.importorskip("fastokens")
    assert coder.name.startswith("fastokens ")
    assert not coder.is_reference


@pytest.mark.timeout(3600)
@settings(max_examples=STRINGS)
@given(text=TEXTS)
def test_the_ids_are_those_of_tokenizers(coder: Encoder, text: str) -> None:
    """Any planes, lone combining marks, NUL, strings of special tokens. And the text comes back."""
    ids = coder.encode([text])[0][:-1]
    assert ids.tolist() == coder.reference.encode_one(text)
    assert ids.min(initial=2) >= 2  # no special token is made from text
    assert coder.decode(ids) == text


@given(texts=st.lists(TEXTS, max_size=6))
def test_one_end_after_each_text(coder: Encoder, texts: list[str]) -> None:
    ids, lengths = coder.encode(texts)
    assert len(lengths) == len(texts)
    assert (np.flatnonzero(ids == coder.eos_id) + 1).tolist() == np.cumsum(lengths).tolist()
    parts = np.split(ids, np.cumsum(lengths))[: len(texts)]
    assert [coder.decode(part) for part in parts] == texts
    assert coder.decode(ids, ends=True) == "".join(text + END_OF_TEXT for text in texts)


@pytest.mark.parametrize("n", [0, 1, TEXTS_PER_BATCH - 1, TEXTS_PER_BATCH, TEXTS_PER_BATCH + 1, 3 * TEXTS_PER_BATCH])
def test_how_many_at_once_does_not_matter(coder: Encoder, n: int) -> None:
    texts = [f"{i} " * i for i in range(n)]
    alone = [coder.encode([text])[0].tolist() for text in texts]
    ids, lengths = coder.encode(texts)
    assert ids.dtype == np.uint16
    assert lengths.dtype == np.uint32
    assert ids.tolist() == sum(alone, [])
    assert lengths.tolist() == [len(part) for part in alone]


def test_arrow_strings_are_as_good_as_a_list(coder: Encoder) -> None:
    texts = [f"{i} naïve {'words ' * (i % 7)}" for i in range(3 * TEXTS_PER_BATCH)]
    ids, lengths = coder.encode(texts[5:150])
    for column in (pa.array(texts, pa.string()), pa.array(texts, pa.large_string())):
        found, counts = coder.encode(column.slice(5, 145))
        assert (found.tolist(), counts.tolist()) == (ids.tolist(), lengths.tolist())


def test_tokenizers_alone_gives_the_same(coder: Encoder, folder: Path) -> None:
    other = Encoder(folder, "tokenizers")
    assert other.is_reference
    assert other.name.startswith("tokenizers ")
    texts = [*corpus()[:70], "", END_OF_TEXT, *fastokens_encoder.PROBE_TEXTS]
    assert [part.tolist() for part in other.encode(texts)] == [part.tolist() for part in coder.encode(texts)]


def test_half_a_character_decodes_to_a_replacement(coder: Encoder) -> None:
    ids, _ = coder.encode(["漢"])
    assert "\ufffd" in coder.decode(ids[:1])


def changed(folder: Path, to: Path, **changes: Any) -> Path:
    """The tokenizer with some top-level parts replaced."""
    content = json.loads((folder / "tokenizer.json").read_bytes())
    to.mkdir()
    (to / "tokenizer.json").write_text(json.dumps({**content, **changes}), encoding="utf-8")
    return to


def test_truncation_and_padding_saved_with_a_tokenizer_are_ignored(
    coder: Encoder, folder: Path, tmp_path: Path
) -> None:
    truncation = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    padding = {
        "strategy": {"Fixed": 64},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": END_OF_TEXT,
    }
    other = Encoder(changed(folder, tmp_path / "other", truncation=truncation, padding=padding))
    texts = ["", "a", "a longer text than both"]
    assert [part.tolist() for part in other.encode(texts)] == [part.tolist() for part in coder.encode(texts)]


def test_a_tokenizer_that_cannot_be_loaded_is_a_usage_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tokenizer\.json: tokenizers cannot load it"):
        Encoder(changed(folder, tmp_path / "other", pre_tokenizer={"type": "Nonsense"}))


def test_the_encoder_of_a_folder_is_kept_and_must_be_the_one_that_was_meant(folder: Path) -> None:
    digest = load(folder).digest
    assert get_encoder(folder, digest) is get_encoder(folder, digest)
    with pytest.raises(UsageError, match="found the tokenizer .*, expected other; all workers must see the folder"):
        get_encoder(folder, "other")


def test_without_fastokens_tokenizers_does_it(coder: Encoder, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastokens", None)
    other = Encoder(folder)
    assert other.is_reference
    assert other.encode(["It goes on."])[0].tolist() == coder.encode(["It goes on."])[0].tolist()


def test_a_kind_fastokens_gets_wrong_or_cannot_load_is_left_to_tokenizers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        fastokens_encoder.FastokensBackend, "ids", lambda *_: (np.zeros(1, np.uint32), np.ones(1, np.uint32))
    )
    assert Encoder(folder).is_reference
    monkeypatch.undo()
    monkeypatch.setattr(fastokens_encoder, "FastokensBackend", lambda _: 1 / 0)
    assert Encoder(folder).is_reference


def test_added_tokens_that_are_not_special_are_found_in_text(folder: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    stripped = AddedToken("[tab]", special=False, lstrip=True, rstrip=True, normalized=False)
    tokenizer.add_tokens(["<word>", stripped, AddedToken("mi", single_word=True, special=False)])
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    coder = Encoder(tmp_path)
    for text in (
        "a<word>b <word><word>",
        "a [tab]  b[tab]",
        "mi mika mi.",
        f"{END_OF_TEXT}<word>{USER}",
        *corpus()[:5],
    ):
        assert coder.encode([text])[0][:-1].tolist() == coder.reference.encode_one(text)
    assert 500 in coder.encode(["<word>"])[0]


@pytest.mark.parametrize(
    "normalizer", [normalizers.NFC(), normalizers.Lowercase(), normalizers.Replace("a", "bb")], ids=repr
)
def test_any_kind_gives_the_ids_of_tokenizers(folder: Path, tmp_path: Path, normalizer: Any) -> None:
    """Whether fastokens knows it or not."""
    parts = json.loads(Tokenizer.from_file(str(folder / "tokenizer.json")).to_str())
    tokenizer = Tokenizer.from_str(json.dumps(parts))
    tokenizer.normalizer = normalizer
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    coder = Encoder(tmp_path)
    for text in (*fastokens_encoder.PROBE_TEXTS, "A cafe\u0301 ANAGRAM", *corpus()[:5]):
        assert coder.encode([text])[0][:-1].tolist() == coder.reference.encode_one(text)


@pytest.mark.parametrize(
    ("ids", "message"), [([3, 500], "id 500, expected ids below 500"), ([3, 0], "end-of-text inside")]
)
def test_impossible_ids_are_refused(
    coder: Encoder, monkeypatch: pytest.MonkeyPatch, ids: list[int], message: str
) -> None:
    monkeypatch.setattr(coder._backend, "ids", lambda _: (np.array(ids, np.uint32), np.array([2], np.uint32)))
    with pytest.raises(DataError, match=message):
        coder.encode(["text"])


THREADS = """
import os, sys
from pathlib import Path
from gpts_data.tokenizer.encode import Encoder
coder = Encoder(Path(sys.argv[1]))
before = len(os.listdir("/proc/self/task"))
coder.encode(["some text to be encoded, a long one " * 20_000] * 100)
print(len(os.listdir("/proc/self/task")) - before, coder.name)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_encoding_starts_no_thread(folder: Path) -> None:
    """The workers are the parallelism: a library with a pool of its own would take the cores of the others."""
    pytest.importorskip("fastokens")
    run = subprocess.run(
        [sys.executable, "-c", THREADS, str(folder)], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert run.stdout.startswith("0 fastokens")
