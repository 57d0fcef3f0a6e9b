"""`[validation] minimum`: each source has validation documents, unless it needs all of its text for training."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.format.outcomes import ID_SEED
from gpts_data.mixer.recipe import load_recipe, resolved
from gpts_data.pipelines.text.hashing import hash_strings
from gpts_data.validation.verify import verify
from tests.conftest import prose

WINDOW = 64
RECIPE = """
name = "case"
tokens = {tokens}
window = 64
unit = 8000
{sources}
[draw]
order = "file"
[clean]
filters = []
[validation]
fraction = 1e-12
{minimum}
"""
SOURCE = '[[source]]\nname = "{0}"\nweight = 1\nfiles = "{0}.jsonl"\nid = "id"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources: 200 documents with a copy; 200 others; one document of 4,000 words."""
    folder, rng = tmp_path_factory.mktemp("held-out"), random.Random(3)
    texts = {name: [prose(rng, rng.randint(5, 60)) for _ in range(200)] for name in ("large", "other")}
    texts["large"][7] = texts["large"][3]
    texts["single"] = [prose(rng, 4000)]
    for name, lines in texts.items():
        rows = (json.dumps({"id": f"{name}/{n}", "text": text}) + "\n" for n, text in enumerate(lines))
        (folder / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")
    return folder


def build_case(folder: Path, mix: Mix, out: Path, names: tuple[str, ...], minimum: str = "", workers: int = 1) -> Mix:
    sources = "".join(map(SOURCE.format, names))
    path = folder / f"{out.name}.toml"
    path.write_text(RECIPE.format(tokens=2048 * len(names), sources=sources, minimum=minimum), encoding="utf-8")
    build(load_recipe(path), folder, out, tokenizer=mix.tokenizer, workers=workers)
    return open_mix(out)


def held_out_ids(mix: Mix, source: str) -> list[str]:
    path = mix.path / "validation" / f"{source}.parquet"
    ids: list[str] = pq.read_table(path).column("id").to_pylist() if path.exists() else []
    return ids


@pytest.fixture(scope="module")
def built(folder: Path, mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> Mix:
    return build_case(folder, mix, tmp_path_factory.mktemp("mixes") / "built", ("large", "single", "other"))


def test_the_documents_with_the_smallest_hashes_are_held_out_until_they_fill_a_window(built: Mix) -> None:
    assert verify(built.path) == []
    for name in ("large", "other"):
        counts = built.manifest["sources"][name]
        table = pq.read_table(built.path / "documents" / name)
        trained = hash_strings(table.column("id").combine_chunks(), ID_SEED)
        held_out = pq.read_table(built.path / "validation" / f"{name}.parquet")
        hashes = hash_strings(held_out.column("id").combine_chunks(), ID_SEED)
        assert hashes.max() < trained[: len(trained) // 2].min()
        lengths = held_out.column("tokens").to_numpy()[np.argsort(hashes)]
        assert lengths[:-1].sum() < WINDOW <= lengths.sum()  # no more than were needed
        assert counts["validation"]["windows"] >= 1
        assert counts["windows"] * WINDOW == counts["tokens"] == 2048  # later documents fill the budget


def test_a_source_of_one_document_trains_on_it(built: Mix, caplog: pytest.LogCaptureFixture) -> None:
    counts = built.manifest["sources"]["single"]
    assert (counts["documents"], counts["validation"]["documents"]) == (1, 0)


def test_workers_do_not_change_what_is_held_out(folder: Path, mix: Mix, built: Mix, tmp_path: Path) -> None:
    other = build_case(folder, mix, tmp_path / "mix", ("large", "single", "other"), workers=2)
    assert other.manifest["root_digest"] == built.manifest["root_digest"]


def test_more_documents_are_held_out_when_asked_for(folder: Path, mix: Mix, built: Mix, tmp_path: Path) -> None:
    other = build_case(folder, mix, tmp_path / "mix", ("large", "single", "other"), "minimum = 12")
    assert len(held_out_ids(other, "large")) == 12
    assert set(held_out_ids(built, "large")) < set(held_out_ids(other, "large"))


def test_a_minimum_of_none_holds_out_the_fraction_only(folder: Path, mix: Mix, tmp_path: Path) -> None:
    other = build_case(folder, mix, tmp_path / "mix", ("large",), "minimum = 0")
    assert held_out_ids(other, "large") == []


def test_the_default_leaves_no_trace_in_the_manifest(recipe_file: Path) -> None:
    """So mixes of recipes without the key keep their root digests."""
    assert "minimum" not in resolved(load_recipe(recipe_file))["validation"]
