"""An exported tokenizer can pad, and gives every text the ids that the mix's tokenizer gives it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tokenizers import Tokenizer, models  # noqa: E402

from gpts_data.mixer.format.mix import Mix  # noqa: E402
from gpts_data.tokenizer.artifact import save  # noqa: E402
from gpts_data.tokenizer.bpe import train_bpe  # noqa: E402
from gpts_data.validation.model.export import export_model  # noqa: E402
from gpts_data.validation.model.padding_token import with_padding_token  # noqa: E402
from gpts_data.validation.model.tokenizer_files import exported_tokenizer  # noqa: E402

LETTERS = "".join(chr(point) for point in range(0x3000) if not 0xD800 <= point < 0xE000)
TEXTS = ["Ka lo mi ren.", "Pierre Louÿs, À Á õ ö ÷ ø ù ú û ü ý þ ÿ", LETTERS, "\U0001f600 \U0010ffff \x00\x7f", ""]


def test_every_text_keeps_its_ids(mix: Mix, exported: Path) -> None:
    trained = Tokenizer.from_file(str(mix.path / "tokenizer" / "tokenizer.json"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported, trust_remote_code=True)
    for text in TEXTS:
        ids = trained.encode(text).ids
        assert tokenizer(text)["input_ids"] == ids and tokenizer.pad_token_id not in ids
        assert tokenizer.decode(ids) == trained.decode(ids) == text
    assert len(tokenizer) == trained.get_vocab_size()
    batch = tokenizer(TEXTS[:2], padding=True)
    assert batch["input_ids"][0][0] == tokenizer.pad_token_id and batch["attention_mask"][0][0] == 0
    assert set(batch) == {"input_ids", "attention_mask"}


def test_special_tokens_in_a_text(exported: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported, trust_remote_code=True)
    text = "Ka <|endoftext|> lo <|pad|>"
    assert {tokenizer.eos_token_id, tokenizer.pad_token_id} <= set(tokenizer(text)["input_ids"])
    ids = tokenizer(text, split_special_tokens=True)["input_ids"]
    assert not {tokenizer.eos_token_id, tokenizer.pad_token_id} & set(ids) and tokenizer.decode(ids) == text


def test_a_padding_token_of_the_recipe_is_used(tmp_path: Path) -> None:
    tokenizer = train_bpe([["ka lo mi ren tu sha " * 9]], 270, ("<|user|>", "<|pad|>"))
    save(tokenizer.to_str(), tmp_path, 64)
    files, pad = with_padding_token(exported_tokenizer(tmp_path))
    assert pad == 2
    assert json.loads(files["tokenizer.json"]) == json.loads((tmp_path / "tokenizer.json").read_bytes())


def test_a_vocabulary_without_bytes_pads_with_end_of_text() -> None:
    tokenizer = Tokenizer(models.BPE({"<|endoftext|>": 0, "a": 1, "b": 2, "ab": 3}, [("a", "b")]))
    tokenizer.add_special_tokens(["<|endoftext|>"])
    files, pad = with_padding_token({"tokenizer.json": tokenizer.to_str().encode()})
    assert pad == 0 and json.loads(files["tokenizer_config.json"])["pad_token"] == "<|endoftext|>"


def test_code_beside_the_tokenizer_is_not_exported(run: Path, exported: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    for name in ("modeling_gpts.py", "layers_gpts.py", "evil.py", "config.json"):
        (tmp_path / "run/tokenizer" / name).write_text("raise SystemExit('planted')", encoding="utf-8")
    export_model(tmp_path / "run", tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        path.name: path.read_bytes() for path in exported.iterdir()
    }
