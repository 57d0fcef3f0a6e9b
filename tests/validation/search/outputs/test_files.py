"""A search leaves tables, a page, and a recipe that can be built; a refused one leaves no recipe."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpts_data.mixer.recipe import load_recipe
from gpts_data.validation.search.confirm import compare
from gpts_data.validation.search.law import Law
from gpts_data.validation.search.outputs.evidence import describe_confirmation
from gpts_data.validation.search.outputs.files import write_outputs
from gpts_data.validation.search.outputs.page import render_search
from gpts_data.validation.search.result import SearchResult, conclude
from tests.support.search import planted_search

CAPS = np.array([1.0, 0.6, 0.5])
LAWS = [Law(0.8, -0.7, (0.1, -0.3, 0.2)), Law(0.8, -0.7, (-0.1, -0.2, 0.3))]
USELESS = [Law(0.8, -0.7, (0.0, 0.0, 0.0))]
RECIPE = """\
# What I train.
name = "mine"
tokens = "2M"  # --tokens overrides it

[[source]]
name = "web"      # pages
weight = 55       # a guess
files = ["text/web/*.parquet", "/archive/web.jsonl", "s3://bucket/web.parquet"]

[[source]]
name = "books"
weight = 30
files = "text/{books,more}/*.txt"
[source.clean]
filters = []

[[source]]
name = "code"
weight = 15
dataset = "owner/code"
files = ["data/*.parquet"]

[exclude]
urls = "removed.txt"
"""


@pytest.fixture(scope="module")
def result() -> SearchResult:
    return conclude(planted_search([0.55, 0.3, 0.15], LAWS, caps=CAPS))


@pytest.fixture(scope="module")
def refused() -> SearchResult:
    return conclude(planted_search([0.55, 0.3, 0.15], USELESS, noise=0.01))


def test_the_proposed_recipe_is_the_users_with_other_weights(result: SearchResult, tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    content = write_outputs(tmp_path / "search", result, RECIPE, tmp_path)
    path = tmp_path / "search" / "proposed.toml"
    text, recipe = path.read_text(encoding="utf-8"), load_recipe(path)
    assert [weight / 100 for weight in recipe.weights] == pytest.approx(list(content["proposed"].values()))
    assert sum(recipe.weights) == pytest.approx(100)
    assert text.startswith("# Weights proposed by") and "leave-one-out" in text.lower()
    assert all(comment in text for comment in re.findall("#.*", RECIPE))
    web, books, code = recipe.source
    assert web.files == ("../text/web/*.parquet", "/archive/web.jsonl", "s3://bucket/web.parquet")
    assert books.files == ("../text/{books,more}/*.txt",) and books.clean is not None
    assert code.files == ("data/*.parquet",)  # paths inside a dataset
    assert recipe.exclude is not None and recipe.exclude.urls == ("../removed.txt",)


def test_a_source_that_is_repeated_may_be(result: SearchResult, tmp_path: Path) -> None:
    searched = replace(result.measurements, supply=(25 * 10**9, 6 * 10**9, 25 * 10**9))
    write_outputs(tmp_path, replace(result, measurements=searched), RECIPE, tmp_path)
    recipe = load_recipe(tmp_path / "proposed.toml")
    assert result.proposal.weights[1] == pytest.approx(0.6)  # of 25B tokens are 2.5 times 6B
    assert [source.max_epochs for source in recipe.source] == [1, 3, 1]


def test_paths_that_have_only_the_root_in_common_become_absolute(result: SearchResult, tmp_path: Path) -> None:
    write_outputs(tmp_path, result, RECIPE, Path("/recipes"))
    books = load_recipe(tmp_path / "proposed.toml").source[1]
    assert books.files == ("/recipes/text/{books,more}/*.txt",)


def test_a_refused_proposal_leaves_no_recipe(refused: SearchResult, tmp_path: Path) -> None:
    (tmp_path / "proposed.toml").write_text("of an earlier search", encoding="utf-8")
    content = write_outputs(tmp_path, refused, RECIPE, tmp_path)
    assert not content["accepted"] and content["reasons"]
    assert {path.name for path in tmp_path.iterdir()} == {"ratios.csv", "metrics.csv", "law.json", "search.html"}
    assert json.loads((tmp_path / "law.json").read_text(encoding="utf-8")) == content


def test_longer_runs_can_refuse_what_the_law_proposed(result: SearchResult) -> None:
    before = np.array([[1.20, 1.3], [1.21, 1.3], [1.19, 1.3]])
    better = compare(5 * 10**8, before, before - np.array([[0.03], [0.031], [0.029]]), [2, 1])
    assert better.confirmed and better.gain == pytest.approx(0.03)
    assert replace(result, confirmation=better).accepted
    assert describe_confirmation(replace(result, confirmation=better)).endswith("p < 0.001.")
    for worse in (
        compare(5 * 10**8, before, before - np.array([[0.03], [-0.02], [0.01]]), [2, 1]),
        compare(5 * 10**8, before, before, [2, 1]),
    ):
        assert not replace(result, confirmation=worse).accepted
        assert "did not confirm" in replace(result, confirmation=worse).reasons[0]


@pytest.mark.parametrize("recipe", [[0.6, 0.4], [0.55, 0.3, 0.15], [0.4, 0.3, 0.2, 0.1]], ids=len)
def test_the_page_loads_nothing_and_shows_every_source(recipe: list[float]) -> None:
    effects = np.linspace(-0.3, 0.3, len(recipe))
    searched = planted_search(recipe, [Law(0.8, -0.7, tuple(effects.tolist()))])
    hostile = conclude(replace(searched, targets=("<script>alert(1)</script>\x1b[2J.txt",)))
    page = render_search(hostile)
    assert render_search(hostile) == page
    assert "<script" not in page and "\x1b" not in page and "@import" not in page
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#|data:)""", page)
    assert all(name in page for name in searched.sources)
    assert "expected to be better" in page


def test_the_page_says_why_the_recipe_stays(refused: SearchResult) -> None:
    page = render_search(refused)
    assert "The recipe&#39;s weights stay." in page or "The recipe's weights stay." in page
    assert "does not rank mixtures" in page and "is within the noise" in page
    assert ">proposed<" not in page and "with the best ones by the law" in page and "the proposed ones" not in page
    assert "best by the law" in page


def test_what_few_runs_do_not_determine_is_not_drawn() -> None:
    """Without any effect of the weights, five mixtures leave an exponent free: the law predicts 1e17 bits per byte."""
    useless = [Law(1.0, -5.0, (0.0, 0.0, 0.0))]
    results = [
        conclude(planted_search([0.5, 0.3, 0.2], useless, noise=0.01, horizons=1, seed=seed, mixtures=5))
        for seed in range(12)
    ]
    wild = [result for result in results if np.abs(result.proposal.mean_check.predicted).max() > 1000]
    assert wild
    for result in wild:
        page = render_search(result)
        assert "the law is not determined by the runs of the others" in page and "<td>not determined</td>" in page
        assert not re.search(r"\d{9}", re.sub(r"<style>.*?</style>|<[^>]*>", "", page, flags=re.DOTALL))
    determined = render_search(conclude(planted_search([0.5, 0.3, 0.2], [Law(0.8, -0.7, (0.5, -0.5, 0.0))])))
    assert "determine" not in determined
