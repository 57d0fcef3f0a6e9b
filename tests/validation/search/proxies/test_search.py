"""A whole search: reproducible, resumable after SIGKILL, in one process and in two."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import ForeignFolderError, LockedError, UsageError
from gpts_data.pipelines.storage.lock import folder_lock
from gpts_data.validation.search.proxies import campaign
from gpts_data.validation.search.proxies.model import Proxy
from gpts_data.validation.search.result import SearchResult
from gpts_data.validation.search.search import LOCK
from tests.validation.search.proxies.conftest import OPTIONS, KeptUnits, Searched, receipts

PRINTING = """
import sys
from pathlib import Path
from gpts_data.mixer.recipe import load_recipe
from gpts_data.validation.search.options import SearchOptions
from gpts_data.validation.search.search import search_mix
path = Path(sys.argv[1])
options = SearchOptions(("books",), mixtures=5, tokens_per_run=2048, layers=1, width=32)
show = lambda *arguments: print(*arguments[:1], flush=True)
arguments = load_recipe(path), path.parent, Path(sys.argv[2]), Path(sys.argv[3]), options
search_mix(*arguments, workers=1, device="cpu", progress=show)
"""
STEPS = 47  # of one of its runs, decays included


def test_losses_fall_over_the_horizons_and_each_source_helps_itself(searched: Searched) -> None:
    measured = searched.result.measurements
    assert measured.losses.shape == (3, 8, 1)
    assert measured.horizons == (512, 1024, 2048)
    assert (np.diff(measured.losses, axis=0) < 0).all()
    assert measured.sources == ("web", "books", "notes")


def test_a_finished_search_trains_nothing(searched: Searched, kept: KeptUnits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Proxy, "step", None)
    again = kept.search(searched.out)
    assert (again.measurements.losses == searched.result.measurements.losses).all()
    assert (again.proposal.weights == searched.result.proposal.weights).all()


def test_killed_within_a_run_and_resumed_by_two_processes(searched: Searched, kept: KeptUnits, tmp_path: Path) -> None:
    out = tmp_path / "search"
    arguments = [sys.executable, "-c", PRINTING, str(kept.recipe_file), str(kept.folder), str(out)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = (line for line in process.stdout if line == "proxies\n")
        for _ in range(STEPS + STEPS // 2):
            next(lines)
        process.kill()
    assert 1 <= len(receipts(out)) < 8
    result = kept.search(out, workers=2)
    assert receipts(out) == receipts(searched.out)
    assert (result.proposal.weights == searched.result.proposal.weights).all()


def test_ctrl_c_keeps_finished_runs(
    searched: Searched, kept: KeptUnits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, trained = campaign.train_run, []

    def interrupted(*arguments: object) -> object:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(train(*arguments))  # type: ignore[arg-type]
        return trained[-1]

    monkeypatch.setattr(campaign, "train_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kept.search(tmp_path / "search")
    assert receipts(tmp_path / "search").items() < receipts(searched.out).items()
    assert len(trained) == 2


def test_another_search_in_the_folder_is_refused(searched: Searched, kept: KeptUnits, tmp_path: Path) -> None:
    for options, difference in (
        (replace(OPTIONS, seed=1), "seed: 0 before, 1 now"),
        (replace(OPTIONS, targets=("web",)), 'targets\\[0\\].name: "books" before, "web" now'),
        (replace(OPTIONS, tokens_per_run=4096), "tokens_per_run: 2048 before, 4096 now"),
    ):
        with pytest.raises(ForeignFolderError, match=f"holds another search .{difference}"):
            kept.search(searched.out, options)
    (tmp_path / "thesis.txt").write_text("text", encoding="utf-8")
    with pytest.raises(ForeignFolderError, match="has no search.json .found thesis.txt"):
        kept.search(tmp_path)
    with folder_lock(tmp_path / "x", "", LOCK), pytest.raises(LockedError, match="another search is at work"):
        kept.search(tmp_path / "x")


def test_recipes_that_cannot_be_searched_are_refused(kept: KeptUnits, staged_recipe: Path, tmp_path: Path) -> None:
    one = replace(kept.recipe, source=kept.recipe.source[:1])
    for recipe, message in ((load_recipe(staged_recipe), "has .\\[stage"), (one, "has one source")):
        with pytest.raises(UsageError, match=message):
            replace(kept, recipe=recipe).search(tmp_path / "search")
    with pytest.raises(UsageError, match="the mix has 20,000 tokens"):
        kept.search(tmp_path / "search", replace(OPTIONS, tokens_per_run=30_000))
    with pytest.raises(UsageError, match="4 mixtures cannot determine a law of 3 sources.*--runs 5 or more"):
        kept.search(tmp_path / "search", replace(OPTIONS, mixtures=4))
    assert not (tmp_path / "search").exists()


def test_longer_runs_confirm_or_refute_an_accepted_proposal(
    searched: Searched, kept: KeptUnits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(SearchResult, "accepted", True)
    result = kept.search(tmp_path / "search", confirm=True)
    confirmation = result.confirmation
    assert confirmation is not None
    assert confirmation.tokens == 8192
    assert confirmation.recipe_losses.shape == confirmation.proposed_losses.shape == (3, 1)
    assert confirmation.recipe_losses.max() < searched.result.measurements.losses[-1].min()
    names = {name for name in receipts(tmp_path / "search") if name.startswith("confirm")}
    assert names == {f"confirm-{kind}-{i:03}.json" for kind in ("recipe", "proposed") for i in range(3)}
    assert json.loads((tmp_path / "search" / "runs" / "confirm-recipe-000.json").read_bytes())["weights"] == [
        0.55,
        0.3,
        0.15,
    ]
