"""Which library made the ids is no part of the mix; one that makes wrong ones stops the build, and another goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.stages.prepare import Prepare, prepare, prepare_or_reuse
from gpts_data.pipelines.dedup.signatures import Dedup
from gpts_data.pipelines.errors import DataError, UsageError
from gpts_data.pipelines.filters.cleaner import CleanConfig
from gpts_data.pipelines.readers.reader import list_files, split_units
from gpts_data.pipelines.readers.source import Source
from gpts_data.tokenizer import encode, fastokens_encoder
from gpts_data.tokenizer.artifact import load
from gpts_data.tokenizer.encode import Encoder
from tests.conftest import WriteRecipe


def bytes_of(folder: Path) -> dict[str, bytes]:
    """All files but the manifest, which names library and version outside its root digest."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Sloppy:
    """Right on the traps, wrong on long documents."""

    name = "sloppy 1.0"

    def __init__(self, content: str) -> None:
        self._reference = encode.TokenizersBackend(content)

    def ids(self, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        parts = [self._reference.encode_one(text) for text in texts]
        parts = [
            part if text in fastokens_encoder.PROBE_TEXTS or len(text) < 400 else part[::-1]
            for text, part in zip(texts, parts, strict=True)
        ]
        return np.array(sum(parts, []), np.uint32), np.array([len(part) for part in parts], np.uint32)


@pytest.fixture
def sloppy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastokens_encoder, "FastokensBackend", Sloppy)
    encode._get_encoder.cache_clear()


@pytest.fixture(autouse=True)
def fresh() -> None:
    encode._get_encoder.cache_clear()


def test_tokenizers_alone_gives_the_same_bytes(mix: Mix, recipe_file: Path, tmp_path: Path) -> None:
    built = build(load_recipe(recipe_file), recipe_file.parent, tmp_path / "mix", encoder="tokenizers")
    assert built.manifest["root_digest"] == mix.manifest["root_digest"]
    assert bytes_of(tmp_path / "mix") == bytes_of(mix.path)
    assert [name.split()[0] for name in built.manifest["environment"]["encoders"]] == ["tokenizers"]


def test_the_manifest_names_what_made_the_ids(mix: Mix) -> None:
    assert mix.manifest["environment"]["encoders"] == [Encoder(mix.tokenizer).name]


def test_a_library_that_makes_wrong_ids_stops_the_build_and_another_goes_on(
    mix: Mix, recipe_file: Path, tmp_path: Path, sloppy: None
) -> None:
    recipe, folder = load_recipe(recipe_file), tmp_path / "mix"
    with pytest.raises(DataError, match=r"source '\w+', unit .*, document '.*': sloppy 1\.0 gives other ids") as error:
        build(recipe, recipe_file.parent, folder)
    assert error.value.exit_code == 3
    assert "--encoder tokenizers" in str(error.value)
    receipts = list((folder / ".build/units").rglob("*.json"))
    made = {json.loads(path.read_bytes())["encoder"] for path in receipts}
    assert made <= {"sloppy 1.0"}
    built = build(recipe, recipe_file.parent, folder, encoder="tokenizers")
    assert bytes_of(folder) == bytes_of(mix.path)
    assert built.manifest["environment"]["encoders"] == [Encoder(mix.tokenizer, "tokenizers").name]


def test_who_distrusts_a_library_gets_its_units_made_again(mix: Mix, tmp_path: Path) -> None:
    pytest.importorskip("fastokens")
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"text": f"text {i} of many"}) + "\n" for i in range(50)), encoding="utf-8"
    )
    source, tokenizer = Source("a", 1, files=("*.jsonl",)), load(mix.tokenizer)
    (unit,) = split_units(source, list_files(source, tmp_path).files[0], 10**9)
    place = tmp_path / "u.arrow"
    fast_one = Prepare(source, unit, CleanConfig(), Dedup(), tokenizer.folder, tokenizer.digest, "key", place)
    slow_one = replace(fast_one, encoder="tokenizers")
    first = prepare(fast_one)
    assert first["encoder"].startswith("fastokens ")
    assert 0 < first["proven"]["documents"] <= 50
    content = place.read_bytes()
    second = prepare(slow_one)
    assert second["encoder"].startswith("tokenizers ")
    assert second["proven"] == {"documents": 0, "bytes": 0}
    assert place.read_bytes() == content
    assert (
        prepare_or_reuse(fast_one) == prepare_or_reuse(slow_one) == (second, True)
    )  # what the reference made is good for everyone


def test_a_users_special_tokens_are_in_the_tokenizer_and_never_in_the_text(
    write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    path = write_recipe(edit=(("vocab_size = 400", 'vocab_size = 400\nspecial = ["<|user|>", "<|assistant|>"]'),))
    build(load_recipe(path), path.parent, tmp_path / "mix")
    mix = open_mix(tmp_path / "mix")
    coder = Encoder(mix.tokenizer)
    assert (coder.eos_id, coder.vocab_size) == (0, 400)
    assert [coder.decode(np.array([i], np.uint16), ends=True) for i in (1, 2)] == ["<|user|>", "<|assistant|>"]
    assert not np.isin(coder.encode(["<|user|>hello<|assistant|>"])[0][:-1], [0, 1, 2]).any()
    assert not any(np.isin(mix.shard(i), [1, 2]).any() for i in range(len(mix.shards)))


def test_a_tokenizer_that_hurts_is_refused_before_any_work(mix: Mix, recipe_file: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/tokenizer.json").write_text("[" * 200_000, encoding="utf-8")
    with pytest.raises(UsageError, match="not a BPE tokenizer.json: not readable as JSON"):
        build(load_recipe(recipe_file), recipe_file.parent, tmp_path / "mix", tokenizer=tmp_path / "bad")
    assert not (tmp_path / "mix").exists()
