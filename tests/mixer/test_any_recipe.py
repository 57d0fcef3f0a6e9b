"""Any recipe that builds also verifies, traces and adds up (P5, P6). EXAMPLES=2000 for a campaign."""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gpts_data.mixer.build import build
from gpts_data.mixer.format.find_document import find_documents
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.format.trace import trace
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import RecipeError, ShortSourceError
from gpts_data.tokenizer.encode import Encoder
from gpts_data.validation.verify import verify
from tests.conftest import prose

N_EXAMPLES = int(os.environ.get("EXAMPLES", "25"))


@dataclass(frozen=True)
class RandomSource:
    """A source of made-up documents."""

    lengths: list[int]
    """Words of each document."""
    copies: list[int]
    """Documents whose text is replaced by that of the document before."""
    files: int
    suffix: str
    has_ids: bool
    weight: int
    max_epochs: int


@dataclass(frozen=True)
class RandomRecipe:
    """A recipe and what it reads. `budget`: the tokens asked for first, as a multiple of the tokens there are."""

    sources: list[RandomSource]
    budget: float
    window: int
    shard_windows: int
    unit: int
    seed: int
    fraction: float
    order: str
    exact: bool
    minhash: bool
    filters: bool
    keep_dropped: int


SOURCES = st.builds(
    RandomSource,
    lengths=st.lists(st.integers(0, 6) | st.integers(5, 40), min_size=4, max_size=16),
    copies=st.lists(st.integers(1, 11), max_size=2),
    files=st.integers(1, 3),
    suffix=st.sampled_from((".jsonl", ".parquet")),
    has_ids=st.booleans(),
    weight=st.integers(1, 3),
    max_epochs=st.sampled_from((1, 2, 5, 20)),
)
RECIPES = st.builds(
    RandomRecipe,
    sources=st.lists(SOURCES, min_size=1, max_size=3),
    budget=st.floats(0.7, 1.5) | st.floats(1.5, 8),
    window=st.sampled_from((2, 3, 7, 16, 31, 64, 100, 128)),
    shard_windows=st.integers(1, 7) | st.sampled_from((20, 131_072)),
    unit=st.sampled_from((150, 600, 64_000_000)),
    seed=st.integers(0, 9),
    fraction=st.sampled_from((0.0, 0.0, 0.05, 0.3, 0.6)),
    order=st.sampled_from(("spread", "file")),
    exact=st.booleans(),
    minhash=st.booleans(),
    filters=st.sampled_from((False, False, False, True)),
    keep_dropped=st.sampled_from((0, 2)),
)


@pytest.fixture(scope="module")
def encoder(mix: Mix) -> Encoder:
    return Encoder(mix.tokenizer)


@settings(max_examples=N_EXAMPLES, suppress_health_check=list(HealthCheck))
@given(RECIPES)
def test_any_recipe_that_builds(encoder: Encoder, mix: Mix, recipe: RandomRecipe) -> None:
    with TemporaryDirectory() as folder:
        check_recipe(Path(folder), recipe, encoder, mix.tokenizer)


def check_recipe(folder: Path, recipe: RandomRecipe, encoder: Encoder, tokenizer: Path) -> None:
    texts = [write_source(folder, number, source) for number, source in enumerate(recipe.sources)]
    n_tokens = len(encoder.encode([text for rows in texts for text in rows.values()])[0])
    tokens = int(n_tokens * recipe.budget)
    while tokens := tokens * 3 // 4:  # until no source is too short
        try:
            build_recipe(folder, recipe, tokens, tokenizer)
            break
        except ShortSourceError:
            pass
        except RecipeError as error:
            assert "gives it no window" in str(error)  # fewer tokens do not help
            event("no mix")
            return
    if not tokens:
        event("no mix")
        return
    built = open_mix(folder / "mix")
    event(f"a source is repeated: {any(facts['epochs'] > 1 for facts in built.manifest['sources'].values())}")
    event(f"documents in the leftover: {any(f['leftover_documents'] for f in built.manifest['sources'].values())}")
    assert verify(built.path) == []
    for number, documents in enumerate(texts):
        counts_add_up(built, number, len(documents))
        documents_are_found(built, number, stream_of(built, number, documents, encoder))
    tokens_trace(built, encoder)


def write_source(folder: Path, number: int, source: RandomSource) -> dict[str, str]:
    """Write the files of a source; returns its texts by document id."""
    rng = random.Random(number)
    texts = [prose(rng, length) if length else "" for length in source.lengths]
    for copy in source.copies:
        texts[copy % len(texts)] = texts[copy % len(texts) - 1]
    documents: dict[str, str] = {}
    for file in range(source.files):
        rows = [{"text": text, "n": n} for n, text in enumerate(texts) if n % source.files == file]
        path = folder / f"{number}-{file}{source.suffix}"
        place = 0
        lines = []
        for row_number, row in enumerate(rows):
            id = f"{number}/{row['n']}" if source.has_ids else f"{path.name}:{place}"
            if not source.has_ids and source.suffix == ".parquet":
                id = f"{path.name}:{row_number // 3}:{row_number % 3}"
            lines.append(json.dumps({**row, "id": id}) + "\n")
            place += len(lines[-1])
            documents[id] = str(row["text"])
        if source.suffix == ".jsonl":
            path.write_text("".join(lines), encoding="utf-8")
        else:
            schema = pa.schema([("text", pa.string()), ("n", pa.int64()), ("id", pa.string())])
            pq.write_table(pa.Table.from_pylist([*map(json.loads, lines)], schema), path, row_group_size=3)
    return documents


def build_recipe(folder: Path, recipe: RandomRecipe, tokens: int, tokenizer: Path) -> None:
    """Write the recipe as TOML and build it."""
    sources = "".join(
        f'[[source]]\nname = "s{number}"\nweight = {source.weight}\nfiles = "{number}-*{source.suffix}"\n'
        f"max_epochs = {source.max_epochs}\n" + ('id = "id"\n' if source.has_ids else "")
        for number, source in enumerate(recipe.sources)
    )
    (folder / "recipe.toml").write_text(
        f'name = "any"\ntokens = {tokens}\nwindow = {recipe.window}\nseed = {recipe.seed}\nunit = {recipe.unit}\n'
        f"shard_windows = {recipe.shard_windows}\nkeep_dropped = {recipe.keep_dropped}\n{sources}"
        f'[draw]\norder = "{recipe.order}"\n[validation]\nfraction = {recipe.fraction}\n[dedup]\n'
        f"exact = {json.dumps(recipe.exact)}\n{'' if recipe.minhash else 'minhash = false'}\n"
        f"{'' if recipe.filters else '[clean]' + chr(10) + 'filters = []'}\n",
        encoding="utf-8",
    )
    build(load_recipe(folder / "recipe.toml"), folder, folder / "mix", tokenizer=tokenizer)


def rows_of(mix: Mix, pattern: str) -> list[dict[str, object]]:
    return [row for path in sorted(mix.path.glob(pattern)) for row in pq.read_table(path).to_pylist()]


def counts_add_up(mix: Mix, number: int, n_documents: int) -> None:
    name = mix.sources[number]
    facts, fall = mix.manifest["sources"][name], mix.manifest["waterfall"][name]
    training, held_out = rows_of(mix, f"documents/{name}/*.parquet"), rows_of(mix, f"validation/{name}.parquet")
    assert fall["read"] == fall["kept"] + sum(fall["dropped"].values()) <= n_documents
    assert (len(training), len(held_out)) == (facts["documents"], facts["validation"]["documents"])
    assert fall["kept"] == len(training) + len(held_out) and fall["validation"] == len(held_out)
    rows = np.concatenate([np.load(path.with_suffix(".windows.npy")) for path in mix.shards])
    counts = np.bincount(rows["window"][rows["source"] == number], minlength=facts["pass_windows"])
    assert counts.sum() == facts["windows"] and len(counts) == facts["pass_windows"]
    assert {int(facts["epochs"]), -int(-facts["epochs"] // 1)} >= set(counts.tolist())


def stream_of(mix: Mix, number: int, texts: dict[str, str], encoder: Encoder) -> np.ndarray:
    """The stream of a source as its windows have it, after the check that it is that of its documents, encoded."""
    name = mix.sources[number]
    rows = np.concatenate([np.load(path.with_suffix(".windows.npy")) for path in mix.shards])
    windows = np.concatenate([mix.shard(shard) for shard in range(len(mix.shards))])
    facts = mix.manifest["sources"][name]
    stream = np.empty((facts["pass_windows"], mix.window), np.uint16)
    mine = rows["source"] == number
    stream[rows["window"][mine]] = windows[mine]
    assert (stream[rows["window"][mine]] == windows[mine]).all()  # the same in every epoch
    expected, _ = encoder.encode([texts[str(row["id"])] for row in rows_of(mix, f"documents/{name}/*.parquet")])
    assert len(expected) == stream.size + facts["leftover_tokens"]
    assert (stream.ravel() == expected[: stream.size]).all()
    held_out, _ = encoder.encode([texts[str(row["id"])] for row in rows_of(mix, f"validation/{name}.parquet")])
    validation = mix.validation(name).ravel()
    assert len(held_out) == len(validation) + facts["validation"]["leftover_tokens"]
    assert (validation == held_out[: len(validation)]).all()
    return np.asarray(expected)


def documents_are_found(mix: Mix, number: int, stream: np.ndarray) -> None:
    """Every document of the source is found by its id, and the windows named there hold its tokens."""
    name = mix.sources[number]
    for pattern, held_out in ((f"documents/{name}/*.parquet", False), (f"validation/{name}.parquet", True)):
        for row in rows_of(mix, pattern):
            (found,) = [found for found in find_documents(mix, str(row["id"])) if found.source == name]
            assert (found.tokens, found.held_out, found.unit) == (row["tokens"], held_out, row["unit"])
            spans = [(mix.row(*mix.locate(span.positions[0])), span) for span in found.windows]
            held = np.concatenate([np.empty(0, np.uint16), *(ids[span.start : span.stop] for ids, span in spans)])
            start = int(str(row["start"]))
            assert held_out or len(held) + found.leftover_tokens == found.tokens
            assert (held == stream[start : start + len(held)]).all()


def tokens_trace(mix: Mix, encoder: Encoder) -> None:
    """Ten random tokens lead to documents whose text has them there, and from those back to their windows."""
    rng = random.Random(mix.tokens)
    for token in (0, mix.tokens - 1, *(rng.randrange(mix.tokens) for _ in range(8))):
        origin = trace(mix, token)
        shard, row = mix.locate(token // mix.window)
        assert origin.token_id == mix.row(shard, row)[token % mix.window]
        (found,) = [found for found in find_documents(mix, origin.document_id) if found.source == origin.source]
        assert token // mix.window in [position for span in found.windows for position in span.positions]
        if not found.leftover_tokens:
            assert encoder.encode([origin.text])[0][origin.document_token_offset] == origin.token_id
