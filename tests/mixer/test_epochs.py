"""A source that is too short, repeated where its recipe allows it: whole passes, each in an order of its own."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli
from gpts_data.mixer.build import build
from gpts_data.mixer.format.find_document import find_documents
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.format.trace import trace
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import RecipeError, ShortSourceError
from gpts_data.tokenizer.encode import Encoder
from gpts_data.validation.verify import verify
from tests.conftest import WriteRecipe, prose

SHORT = """
name = "short"
tokens = "20k"
[[source]]
name = "notes"
weight = 1
files = "short.jsonl"
id = "id"
max_epochs = 20
[clean]
filters = []
[dedup]
minhash = false
[validation]
fraction = 0.0
"""
MORE = (('name = "notes"\nweight = 15', 'name = "notes"\nweight = 200\nmax_epochs = 4'),)


@pytest.fixture(scope="module")
def recipe(write_recipe: WriteRecipe) -> Path:
    return write_recipe(edit=MORE, tokens="120k")


@pytest.fixture(scope="module")
def repeated(recipe: Path, mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> Mix:
    folder = tmp_path_factory.mktemp("repeated") / "mix"
    build(load_recipe(recipe), recipe.parent, folder, tokenizer=mix.tokenizer)
    return open_mix(folder)


def numbers(mix: Mix, source: str) -> list[int]:
    """The windows of a source in training order."""
    rows = np.concatenate([np.load(path.with_suffix(".windows.npy")) for path in mix.shards])
    found: list[int] = rows["window"][rows["source"] == mix.sources.index(source)].tolist()
    return found


def test_each_pass_has_every_window_once_in_another_order(repeated: Mix) -> None:
    facts = repeated.manifest["sources"]["notes"]
    once, order = facts["pass_windows"], numbers(repeated, "notes")
    assert 2 < facts["epochs"] == facts["windows"] / once < 4
    passes = [order[start : start + once] for start in range(0, len(order), once)]
    for some in passes[:-1]:
        assert sorted(some) == list(range(once))
    assert len(set(passes[-1])) == len(passes[-1])
    assert passes[0] != passes[1]
    assert repeated.manifest["sources"]["web"]["epochs"] == 1


def test_a_window_is_the_same_in_every_pass(repeated: Mix) -> None:
    order = numbers(repeated, "notes")
    rows = np.concatenate([np.load(path.with_suffix(".windows.npy")) for path in repeated.shards])
    tokens = np.concatenate([repeated.shard(i) for i in range(len(repeated.shards))])
    mine = tokens[rows["source"] == repeated.sources.index("notes")]
    first = {window: mine[order.index(window)] for window in set(order)}
    assert all((mine[i] == first[window]).all() for i, window in enumerate(order))


def test_it_verifies_and_any_repetition_is_traced(repeated: Mix) -> None:
    assert verify(repeated.path) == []
    for token in range(0, repeated.tokens, 5003):
        origin = trace(repeated, token)
        shard, row = repeated.locate(token // repeated.window)
        assert origin.token_id == repeated.shard(shard)[row, token % repeated.window]
        assert origin.text


def test_the_same_on_two_workers(recipe: Path, repeated: Mix, tmp_path: Path) -> None:
    built = build(load_recipe(recipe), recipe.parent, tmp_path / "mix", tokenizer=repeated.tokenizer, workers=2)
    assert built.manifest["root_digest"] == repeated.manifest["root_digest"]


@pytest.fixture(scope="module")
def short_documents(mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> Mix:
    """A source of 100 short documents that is repeated, so that some of the last ones lie behind its last window."""
    folder = tmp_path_factory.mktemp("short")
    rng = random.Random(2)
    rows = [{"id": f"s{i}", "text": prose(rng, 20)} for i in range(100)]
    (folder / "short.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "recipe.toml").write_text(SHORT)
    build(load_recipe(folder / "recipe.toml"), folder, folder / "mix", tokenizer=mix.tokenizer)
    return open_mix(folder / "mix")


def test_documents_behind_the_last_window_are_listed_and_counted(short_documents: Mix) -> None:
    facts, fall = (short_documents.manifest[key]["notes"] for key in ("sources", "waterfall"))  # type: ignore[literal-required]
    assert facts["epochs"] > 2 and facts["leftover_documents"] > 1
    assert fall == {"read": 100, "kept": 100, "validation": 0, "dropped": {}} and facts["documents"] == 100
    assert verify(short_documents.path) == []


def test_every_document_of_a_repeated_source_is_found(short_documents: Mix) -> None:
    facts = short_documents.manifest["sources"]["notes"]
    found = [find_documents(short_documents, f"s{i}") for i in range(100)]
    assert {len(locations) for locations in found} == {1}
    assert sum(location.leftover_tokens for (location,) in found) == facts["leftover_tokens"]
    assert sum(not location.windows for (location,) in found) == facts["leftover_documents"]
    (last,) = found[99]
    assert last.leftover_tokens == last.tokens and not last.held_out


def test_the_command_says_that_a_document_is_behind_the_last_window(short_documents: Mix) -> None:
    done = CliRunner().invoke(cli, ["trace", str(short_documents.path), "--document", "s99"])
    assert done.exit_code == 0
    assert "kept" in done.output and "after the last whole window of its source" in done.output


def test_more_passes_than_allowed_are_refused_with_the_number(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    path = write_recipe(edit=((MORE[0][0], MORE[0][1].replace("epochs = 4", "epochs = 2")),), tokens="120k")
    with pytest.raises(ShortSourceError, match=r"'notes' is too short.*max_epochs = 3 or more \(now 2\)"):
        build(load_recipe(path), path.parent, tmp_path / "mix")


def test_less_than_one_pass_is_no_number(write_recipe: WriteRecipe) -> None:
    with pytest.raises(RecipeError, match="max_epochs = 0, expected 1 or more"):
        load_recipe(write_recipe(edit=((MORE[0][0], MORE[0][0] + "\nmax_epochs = 0"),)))


def document_of(n_tokens: int, encoder: Encoder, rng: random.Random) -> str:
    """A text of as many tokens, the end of text included."""
    text = prose(rng, n_tokens)
    while len(encoder.encode([text])[0]) > n_tokens:
        text = text[:-1]
    assert len(encoder.encode([text])[0]) == n_tokens
    return text


def test_a_document_that_begins_where_the_last_window_ends_is_behind_it(mix: Mix, tmp_path: Path) -> None:
    """32 documents of 64 tokens fill 4 windows of 512; no window has any of the 10 tokens of the last one."""
    encoder, rng = Encoder(mix.tokenizer), random.Random(6)
    texts = [document_of(n, encoder, rng) for n in (*[64] * 32, 10)]
    rows = [json.dumps({"id": f"s{i}", "text": text}) + "\n" for i, text in enumerate(texts)]
    (tmp_path / "short.jsonl").write_text("".join(rows), encoding="utf-8")
    (tmp_path / "recipe.toml").write_text(SHORT, encoding="utf-8")
    built = build(load_recipe(tmp_path / "recipe.toml"), tmp_path, tmp_path / "mix", tokenizer=mix.tokenizer)
    facts = built.manifest["sources"]["notes"]
    assert (facts["pass_windows"], facts["leftover_tokens"], facts["leftover_documents"]) == (4, 10, 1)
    (last,), (before,) = (find_documents(open_mix(tmp_path / "mix"), name) for name in ("s32", "s31"))
    assert last.windows == () and last.leftover_tokens == 10
    assert len(before.windows) == 1 and before.leftover_tokens == 0


def test_a_source_without_one_window_is_too_short_however_often_it_may_repeat(mix: Mix, tmp_path: Path) -> None:
    """Enough text, but of one document over and over; what deduplication leaves is less than a window."""
    text = prose(random.Random(4), 100)
    rows = [json.dumps({"id": f"s{i}", "text": text}) + "\n" for i in range(60)]
    (tmp_path / "short.jsonl").write_text("".join(rows), encoding="utf-8")
    (tmp_path / "recipe.toml").write_text(SHORT, encoding="utf-8")
    with pytest.raises(ShortSourceError, match="'notes' is too short"):
        build(load_recipe(tmp_path / "recipe.toml"), tmp_path, tmp_path / "mix", tokenizer=mix.tokenizer)
