"""tiktoken makes the same ids from the rank file, and the list of the vocabulary says what every id is."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import regex
from hypothesis import given
from tokenizers import Regex, Tokenizer, pre_tokenizers

from gpts_data.tokenizer import artifact
from gpts_data.tokenizer.artifact import END_OF_TEXT
from gpts_data.tokenizer.bpe import train_bpe
from gpts_data.tokenizer.encode import Encoder
from gpts_data.tokenizer.vocabulary_files import tiktoken_ranks, vocabulary_listing
from tests.conftest import prose
from tests.tokenizer.test_encode import TEXTS

GPT2 = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
USER = "<|user|>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng, folder = random.Random(9), tmp_path_factory.mktemp("tokenizer")
    texts = [prose(rng, 60) + " naïve 漢字 12 don't" for _ in range(150)]
    artifact.save(train_bpe(iter([texts]), 600, [USER]).to_str(), folder, 64)
    return folder


@pytest.fixture(scope="module")
def ranks(folder: Path) -> dict[bytes, int]:
    lines = (folder / "tokenizer.tiktoken").read_bytes().splitlines()
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}


@pytest.fixture(scope="module")
def coder(folder: Path) -> Encoder:
    return Encoder(folder)


def join(piece: bytes, ranks: dict[bytes, int]) -> list[int]:
    """tiktoken's rule in plain Python: join the neighbours whose joint bytes have the lowest rank, first ones first."""
    parts = [piece[i : i + 1] for i in range(len(piece))]
    while len(parts) > 1:
        best = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], 1 << 30))
        if parts[best] + parts[best + 1] not in ranks:
            break
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return [ranks[part] for part in parts]


@given(text=TEXTS)
def test_the_ranks_say_what_the_merges_say(coder: Encoder, ranks: dict[bytes, int], text: str) -> None:
    expected = coder.encode([text])[0][:-1].tolist()
    assert [n for piece in regex.findall(GPT2, text) for n in join(piece.encode(), ranks)] == expected


@given(text=TEXTS)
def test_tiktoken_makes_the_same_ids(coder: Encoder, folder: Path, text: str) -> None:
    tiktoken, load = pytest.importorskip("tiktoken"), pytest.importorskip("tiktoken.load")
    loaded = load.load_tiktoken_bpe(str(folder / "tokenizer.tiktoken"))
    encoding = tiktoken.Encoding("ours", pat_str=GPT2, mergeable_ranks=loaded, special_tokens={END_OF_TEXT: 0, USER: 1})
    assert encoding.encode_ordinary(text) == coder.encode([text])[0][:-1].tolist()
    assert encoding.decode(encoding.encode_ordinary(text)) == text


def test_every_id_but_the_special_ones_has_a_rank(ranks: dict[bytes, int]) -> None:
    assert list(ranks.values()) == list(range(2, 600))
    assert {bytes([byte]) for byte in range(256)} <= ranks.keys()


def test_the_list_has_a_line_an_id(folder: Path, ranks: dict[bytes, int]) -> None:
    lines = [line.split("\t") for line in (folder / "vocabulary.txt").read_text(encoding="utf-8").splitlines()]
    assert lines[0] == ["id", "merge", "token", "parts"]
    assert [int(line[0]) for line in lines[1:]] == list(range(600))
    assert [line[2] for line in lines[1:3]] == [END_OF_TEXT, USER]
    names = {rank: token for token, rank in ranks.items()}
    for number, merge, token, parts in lines[3:]:
        shown = eval(token)
        assert (shown if isinstance(shown, bytes) else shown.encode()) == names[int(number)]
        assert bool(merge) == bool(parts) == (len(names[int(number)]) > 1)


def _unsorted(content: dict) -> None:  # type: ignore[type-arg]
    content["model"]["merges"].reverse()


def _sentencepiece(content: dict) -> None:  # type: ignore[type-arg]
    content["model"]["vocab"]["▁the"] = 600


@pytest.mark.parametrize("change", [_unsorted, _sentencepiece])
def test_what_a_rank_file_cannot_say_has_none(folder: Path, change: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    content = json.loads((folder / "tokenizer.json").read_bytes())
    change(content)
    assert tiktoken_ranks(json.dumps(content)) is None
    assert vocabulary_listing(json.dumps(content)).count("\n") == len(content["model"]["vocab"]) + 1


def test_merges_in_the_older_form(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_bytes())
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    assert tiktoken_ranks(json.dumps(content)) == (folder / "tokenizer.tiktoken").read_bytes()
    assert vocabulary_listing(json.dumps(content)) == (folder / "vocabulary.txt").read_text(encoding="utf-8")


def test_a_regular_expression_of_ones_own(folder: Path) -> None:
    """The rank file has nothing of the pre-tokenizer, so it is the same file."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+"), "isolated")
    assert tiktoken_ranks(tokenizer.to_str()) == (folder / "tokenizer.tiktoken").read_bytes()
