"""The folder loads in `transformers` with the same ids, and a folder that cannot serve is refused."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gpts_data.pipelines.errors import UsageError
from gpts_data.tokenizer.artifact import END_OF_TEXT, FILES, Artifact, load, save, token_dtype
from gpts_data.tokenizer.bpe import train_bpe
from gpts_data.tokenizer.encode import Encoder
from tests.conftest import prose

USER = "<|user|>"
TEXTS = st.text(st.characters(codec="utf-8")) | st.lists(
    st.sampled_from(
        [
            "<|",
            "|>",
            "\0",
            "\u0301",
            "\U000e0001",
            "\uf8ff",
            "The",
            "the",
            " the",
            "don't",
            " ,",
            "\n\n",
            "  ",
            "\t",
            "1234",
            "漢字",
            "🙂",
            "é",
            "e\u0301",
            "_",
        ]
    ),
    max_size=12,
).map("".join)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    rng = random.Random(4)
    tokenizer = train_bpe(iter([[prose(rng, 40) for _ in range(100)]]), 450, [USER])
    return save(tokenizer.to_str(), tmp_path_factory.mktemp("tokenizer"), 64)


@pytest.fixture(scope="module")
def auto(saved: Artifact) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(saved.folder), local_files_only=True)


@pytest.fixture(scope="module")
def coder(saved: Artifact) -> Encoder:
    return Encoder(saved.folder)


@given(text=TEXTS)
def test_transformers_gives_the_same_ids_and_text(auto: Any, coder: Encoder, text: str) -> None:
    assume(END_OF_TEXT not in text and USER not in text)
    ids = coder.encode([text])[0][:-1].tolist()
    assert auto(text)["input_ids"] == ids
    assert auto.decode(ids) == text


def test_transformers_knows_end_of_text_and_the_context(auto: Any, saved: Artifact) -> None:
    assert len(auto) == saved.vocab_size == 450
    assert auto.eos_token == auto.bos_token == END_OF_TEXT
    assert auto.eos_token_id == saved.eos_id == 0
    assert auto(END_OF_TEXT)["input_ids"] == [0]
    assert auto(f"{USER}a")["input_ids"][0] == 1
    assert set(auto.all_special_tokens) == {END_OF_TEXT, USER}
    assert auto.model_max_length == 64


def test_what_is_saved_loads_and_is_known_by_its_content(saved: Artifact) -> None:
    assert load(saved.folder) == saved
    assert saved.digest == sha256((saved.folder / "tokenizer.json").read_bytes()).hexdigest()
    assert sorted(path.name for path in saved.folder.iterdir()) == sorted(FILES)


def test_saving_again_gives_the_same_bytes(saved: Artifact, tmp_path: Path) -> None:
    save((saved.folder / "tokenizer.json").read_text(encoding="utf-8"), tmp_path, 64)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (saved.folder / name).read_bytes()


def test_a_folder_without_a_tokenizer_is_refused(saved: Artifact, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere", saved.folder / "tokenizer.json"):
        with pytest.raises(UsageError, match=r"no (tokenizer\.json there|such folder).*train-tokenizer"):
            load(folder)


Content = dict[str, Any]


def token(content: str, id_: int, special: bool) -> Content:
    return {
        "id": id_,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }


def without_end(content: Content) -> None:
    content["added_tokens"] = [token("<s>", 0, True)]
    del content["model"]["vocab"][END_OF_TEXT]


def crowd(content: Content) -> None:
    vocabulary = content["model"]["vocab"]
    vocabulary.update({f"word {i}": i for i in range(len(vocabulary), 1 << 16)})
    content["added_tokens"].append(token("one more", 1 << 16, False))


BAD: dict[str, tuple[Callable[[Content], Any], str]] = {
    "no end-of-text": (without_end, "every document must end with it"),
    "ordinary end-of-text": (lambda c: c["added_tokens"][0].update(special=False), "not marked as special"),
    "a gap": (lambda c: c["added_tokens"].append(token("added", 451, False)), r"451 ids up to 451, expected 0\.\.n-1"),
    "an id twice": (lambda c: c["added_tokens"].append(token("added", 449, False)), "451 ids up to 449"),
    "no vocabulary": (lambda c: c["model"].pop("vocab"), "not a BPE"),
    "no model": (lambda c: c.pop("model"), "not a BPE"),
    "no added tokens": (lambda c: c.pop("added_tokens"), "not a BPE"),
    "a unigram model": (lambda c: c["model"].update(vocab=[["a", -0.5], [END_OF_TEXT, -1.5]]), "not a BPE"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_a_bad_vocabulary_is_refused(
    saved: Artifact, tmp_path: Path, change: Callable[[Content], Any], message: str
) -> None:
    content = json.loads((saved.folder / "tokenizer.json").read_bytes())
    change(content)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UsageError, match=rf"tokenizer\.json.*{message}"):
        load(tmp_path)


def test_more_than_65536_ids_are_stored_as_uint32(
    saved: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads((saved.folder / "tokenizer.json").read_bytes())
    crowd(content)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert load(tmp_path).vocab_size == 65_537
    assert (token_dtype(65_536), token_dtype(65_537)) == (np.dtype("<u2"), np.dtype("<u4"))
    monkeypatch.setattr("gpts_data.tokenizer.artifact.MAX_VOCAB_SIZE", 65_536)  # a million take seconds to read
    with pytest.raises(UsageError, match="65,537 ids up to 65,536.*at most 65,536"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'{"model": {"vocab": 3}}'])
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(UsageError, match="not a BPE"):
        load(tmp_path)


def test_a_cut_file_is_refused(saved: Artifact, tmp_path: Path) -> None:
    shutil.copytree(saved.folder, tmp_path / "copy")
    path = tmp_path / "copy" / "tokenizer.json"
    content = path.read_bytes()
    for end in range(0, len(content), len(content) // 50):
        path.write_bytes(content[:end])
        with pytest.raises(UsageError):
            load(path.parent)
