"""The presets of published mixtures as they are, from stand-ins for their datasets on a hub on loopback."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from gpts_data.mixer.format.mix import Mix
from gpts_data.validation.api import PRESETS, load_recipe
from tests.support.datasets import alone, card, quality_columns, rows, write
from tests.support.hub import Hub

TOKENS = {"slm-10m": 60_000, "smollm": 60_000, "climbmix": 20_000}
PUBLISHED = {
    "slm-10m": [{"fineweb-edu": 55, "cosmopedia-v2": 25, "fineweb-hq": 10, "finemath": 10}],
    "smollm": [
        {"web": 85, "code": 12, "math": 3},
        {"web": 75, "code": 15, "math": 10},
        {"web": 63, "code": 24, "math": 13},
    ],
    "climbmix": [{"climbmix": 100}],
}
KINDS = {"fineweb-edu": "web", "dclm-edu": "web", "stack-edu": "code", "finemath": "math"}  # of smollm


def write_datasets(hub: Hub) -> None:
    """Each dataset with the layout and the columns of its card, as far as they matter, and files that are not read."""
    edu = hub.folder("HuggingFaceFW/fineweb-edu")
    card(edu, {"default": "data/*/*", "sample-100BT": "sample/100BT/*"})
    write(edu / "data/CC-MAIN-2024-10/000_00000.parquet", {**rows("other", 5), "int_score": [3] * 5})
    write(edu / "sample/100BT/000_00000.parquet", {**rows("edu", 400), "int_score": [3] * 400})
    smol = hub.folder("HuggingFaceTB/smollm-corpus")
    card(smol, {"cosmopedia-v2": "cosmopedia-v2/*", "python-edu": "python-edu/*"})
    write(smol / "python-edu/train-00000-of-00001.parquet", {"blob_id": ["0"] * 5})
    texts = rows("cosmopedia", 200)["text"]
    write(smol / "cosmopedia-v2/train-00000-of-00001.parquet", {"prompt": texts, "text": texts})
    quality = hub.folder("epfml/FineWeb-HQ")
    card(quality, {"default": "data/*/*"})
    write(quality / "data/CC-MAIN-2013-20/000_00000.parquet", quality_columns("hq", rows("hq", 100)["text"]))
    math = hub.folder("HuggingFaceTB/finemath")
    card(math, {name: f"{name}/train-*" for name in ("finemath-3plus", "finemath-4plus")})
    for name, score in (("finemath-3plus", 3), ("finemath-4plus", 4)):
        pages = rows(name, 100)
        write(
            math / f"{name}/train-00000-of-00001.parquet",
            {"url": pages["url"], "text": pages["text"], "int_score": [score] * 100},
        )
    dclm = hub.folder("HuggingFaceTB/dclm-edu")
    scores = [2, 3, 4, 3] * 125
    write(dclm / "data/000_00000.parquet", {**rows("dclm", 500), "edu_int_score": scores})
    lines = [
        {"id": f"sha-{n}", "text": text, "source": "stackv2", "metadata": {"license": "MIT"}}
        for n, text in enumerate(rows("code", 200)["text"])
    ]
    stack = hub.folder("common-pile/stackv2_edu_filtered")
    (stack / "stack-edu-0000.json.gz").write_bytes(
        gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
    )
    (stack / "README.md").write_text("# Stack V2 Edu\n", encoding="utf-8")
    write(hub.folder("karpathy/climbmix-400b-shuffle") / "shard_00000.parquet", {"text": rows("climb", 200)["text"]})


def build_all(tokens: dict[str, int], tokenizer: str) -> dict[str, Any]:
    """The manifest of a mix of each preset. Without its benchmarks, which are those of gpt-s-5m (test_preset.py)."""
    from dataclasses import replace

    from gpts_data import build_mix, load_recipe, verify

    manifests = {}
    for name, count in tokens.items():
        recipe = replace(load_recipe(name, count), decontaminate=None)
        manifests[name] = build_mix(recipe, name, tokenizer=tokenizer).manifest
        assert not verify(name)
    return manifests


@pytest.fixture(scope="module")
def built(mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("presets")
    with Hub(folder / "hub") as hub:
        write_datasets(hub)
        return alone(hub, folder, build_all, TOKENS, str(mix.path / "tokenizer"))


@pytest.mark.parametrize("preset", TOKENS)
def test_it_builds_from_its_datasets(preset: str, built: dict[str, Any]) -> None:
    manifest = built[preset]
    recipe = load_recipe(preset, TOKENS[preset])
    assert {name: source["windows"] for name, source in manifest["sources"].items()} == dict(
        zip(recipe.names, recipe.windows, strict=True)
    )
    assert all(source["revision"] for source in manifest["sources"].values())


def test_documents_of_too_low_a_score_are_not_used(built: dict[str, Any]) -> None:
    """Every fourth of the stand-in has a score of 2, and the build reads all of them."""
    counts = built["smollm"]["waterfall"]["dclm-edu"]
    assert counts["dropped"]["low_edu_int_score"] * 4 == counts["read"]


@pytest.mark.parametrize("preset", TOKENS)
def test_the_shares_are_those_published(preset: str) -> None:
    for stage, published in zip(load_recipe(preset).stages, PUBLISHED[preset], strict=True):
        shares = dict.fromkeys(published, 0.0)
        for name, weight in zip(load_recipe(preset).names, stage.weights, strict=True):
            shares[KINDS[name] if preset == "smollm" else name] += 100 * weight / sum(stage.weights)
        assert shares == pytest.approx(published)


@pytest.mark.parametrize("preset", TOKENS)
def test_the_benchmarks_are_those_of_the_first_preset(preset: str) -> None:
    assert load_recipe(preset).decontaminate == load_recipe("gpt-s-5m").decontaminate


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS.glob("*.toml")))
def test_every_source_has_a_license(preset: str) -> None:
    assert all(source.license for source in load_recipe(preset).source)


def test_every_preset_is_named_in_help() -> None:
    from gpts_data.cli.build import build_mix

    text = next(str(parameter.help) for parameter in build_mix.params if parameter.name == "recipe")  # type: ignore[attr-defined]
    assert all(path.stem in text for path in Path(PRESETS).glob("*.toml"))
