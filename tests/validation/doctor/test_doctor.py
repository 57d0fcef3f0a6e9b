"""Every check of the doctor passes and fails when it should."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from gpts_data.mixer.format.manifest import NAME
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.plan import make_plan
from gpts_data.mixer.plan_file import write_plan
from gpts_data.mixer.planning.resources import estimate_resources
from gpts_data.mixer.recipe import Recipe, RecipeSource, load_recipe
from gpts_data.pipelines import machine
from gpts_data.pipelines.hub import reachability
from gpts_data.pipelines.hub.reachability import DatasetStatus, HubStatus
from gpts_data.validation.doctor import sources
from gpts_data.validation.doctor.check import Check, size
from gpts_data.validation.doctor.doctor import (
    check_disk,
    check_libraries,
    check_memory,
    check_open_files,
    check_output,
    run_checks,
)


@pytest.fixture
def recipe(recipe_file: Path) -> Recipe:
    return load_recipe(recipe_file)


def test_a_possible_local_build_passes_all_checks(recipe: Recipe, recipe_file: Path, tmp_path: Path) -> None:
    checks = run_checks(recipe, recipe_file.parent, tmp_path / "mix", 2)
    names = [check.name for check in checks if check.name not in ("python", "libraries")]
    assert names == ["files web", "files books", "files notes", "output", "disk", "memory", "open files"]
    assert all(check.ok and not check.advice for check in checks if check.name in names)
    assert list(tmp_path.iterdir()) == []


def distribution(folder: Path, python: str, *requirements: str) -> None:
    """Write the metadata of an installed package `toy` without code."""
    info = folder / "toy-1.0.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.4", "Name: toy", "Version: 1.0", f"Requires-Python: {python}"]
    (info / "METADATA").write_text(
        "\n".join([*lines, *(f"Requires-Dist: {line}" for line in requirements), ""]), encoding="utf-8"
    )


def test_versions_that_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, ">=3.11", "numpy>=2.0", "click", "nowhere; extra == 'train'", "gone; python_version < '3'")
    monkeypatch.syspath_prepend(tmp_path)
    assert [(check.ok, check.advice) for check in check_libraries("toy")] == [(True, ""), (True, "")]
    assert [check.found for check in check_libraries("toy")][1] == "all 2"


def test_versions_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "<3", "numpy>=99", "nowhere-at-all>=1", "click")
    monkeypatch.syspath_prepend(tmp_path)
    python, found = check_libraries("toy")
    assert not python.ok and python.wanted == "<3" and "Python <3" in python.advice
    assert not found.ok
    assert found.found == f"numpy {metadata.version('numpy')}, nowhere-at-all missing"
    assert found.advice == "pip install 'numpy>=99' 'nowhere-at-all>=1'"


def test_a_package_that_is_not_installed() -> None:
    (check,) = check_libraries("nowhere-at-all")
    assert not check.ok and check.advice == "pip install nowhere-at-all"


def test_files_that_are_not_there(recipe: Recipe, recipe_file: Path) -> None:
    web, books, notes = sources.check_files(recipe, recipe_file.parent)
    assert (web.found, books.found, notes.found) == ("2 files", "1 file", "1 file")
    lost = replace(recipe, source=(replace(recipe.source[0], files=("corpus/wb/*.parquet",)), *recipe.source[1:]))
    web, *others = sources.check_files(lost, recipe_file.parent)
    assert not web.ok and web.found.startswith("files = 'corpus/wb/*.parquet' matches nothing under ")
    assert str(recipe_file.parent) in web.found and "relative to the recipe's folder" in web.advice
    assert all(check.ok for check in others)


def test_files_that_cannot_be_read(recipe: Recipe, recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """os.access is replaced, because for root, as which tests often run, every file is readable."""
    monkeypatch.setattr(sources.os, "access", lambda path, mode: not path.endswith("part-1.parquet"))
    web, *_ = sources.check_files(recipe, recipe_file.parent)
    assert not web.ok and "1 not readable" in web.found and "part-1.parquet" in web.found


def hub_checks(status: HubStatus, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    recipe_sources = [RecipeSource(f"s{i}", 1, dataset=seen.dataset) for i, seen in enumerate(status.seen)]
    monkeypatch.setattr(reachability, "check_reachable", lambda datasets, seconds: status)
    return list(sources.check_hub(replace(recipe, source=tuple(recipe_sources))))


def test_without_hub_sources_the_hub_is_not_asked(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability, "check_reachable", None)
    assert list(sources.check_hub(recipe)) == []


REASONS = (
    reachability.GATED,
    reachability.MISSING,
    reachability.NO_REVISION,
    reachability.REFUSED,
    reachability.FORBIDDEN,
    reachability.BAD_NAME,
    reachability.SILENT,
)


@pytest.mark.parametrize("reason", REASONS)
def test_a_dataset_that_cannot_be_reached(reason: str, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = (DatasetStatus("a/open"), DatasetStatus("a/other", reason, "HTTP 4xx"))
    first, second, _ = checks = hub_checks(HubStatus(datasets, "HF_TOKEN"), recipe, monkeypatch)
    assert first == Check("hub a/open", True, "reachable", "reachable within 10 s")
    assert not second.ok and second.found == f"{reason} (HTTP 4xx)" and second.advice
    assert sources.only_hub_failed(checks)
    assert not sources.only_hub_failed([*checks, Check("disk", False, "", "")])
    assert not sources.only_hub_failed([Check("disk", True, "", "")])


@pytest.mark.parametrize(
    ("where", "reason", "ok", "found"),
    [
        ("", "", True, "none"),
        ("HF_TOKEN", "", True, "found in HF_TOKEN"),
        ("the client's token file", reachability.GATED, True, "found in the client's token file"),
        ("", reachability.GATED, False, "none"),
        ("HF_TOKEN", reachability.REFUSED, False, "found in HF_TOKEN, refused by the hub"),
        (None, reachability.SILENT, True, "unknown, the hub's client did not answer"),
    ],
)
def test_the_token(
    where: str | None, reason: str, ok: bool, found: str, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = hub_checks(HubStatus((DatasetStatus("a/b", reason),), where), recipe, monkeypatch)
    assert (token.name, token.ok, token.found) == ("hub token", ok, found)


def test_output_of_every_kind(recipe: Recipe, recipe_file: Path, mix: Mix, tmp_path: Path) -> None:
    def found(out: Path, wanted: Recipe = recipe) -> tuple[bool, str]:
        check = check_output(wanted, out)
        assert check.ok is (not check.advice)
        return check.ok, check.found.removeprefix(f"{out}: ")

    assert found(tmp_path / "not/there") == (True, "absent")
    assert found(tmp_path) == (True, "empty")
    assert found(mix.path) == (True, "a finished mix")
    assert found(mix.path, replace(recipe, seed=9)) == (
        False,
        "a finished mix of another recipe (seed: 1 before, 9 now)",
    )
    plan = make_plan(recipe, recipe_file.parent, tmp_path / "half", None, NAME)
    write_plan(plan.work, plan.identity())
    assert found(tmp_path / "half") == (True, "an unfinished build")
    assert not found(tmp_path / "half", replace(recipe, tokens=30_000))[0]
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").write_text("", encoding="utf-8")
    assert "is not empty and has no manifest.json (found thesis.tex)" in found(tmp_path / "other")[1]
    assert found(tmp_path / "other/thesis.tex/mix") == (False, "Not a directory")
    (tmp_path / "other" / NAME).write_text("{", encoding="utf-8")
    assert not found(tmp_path / "other")[0]


def test_disk(recipe: Recipe, mix: Mix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = estimate_resources(recipe)
    monkeypatch.setattr("gpts_data.validation.doctor.doctor.free_bytes", lambda path: wanted.disk_bytes - 1000)
    short = check_disk(wanted, tmp_path / "mix")
    assert not short.ok and short.advice.startswith("free 1,000 bytes there") and str(tmp_path) in short.found
    (tmp_path / "mix/.build").mkdir(parents=True)
    (tmp_path / "mix/.build/half").write_bytes(bytes(1000))
    assert check_disk(wanted, tmp_path / "mix").ok, "what is written already counts"
    monkeypatch.setattr("gpts_data.validation.doctor.doctor.free_bytes", lambda path: 0)
    assert not check_disk(wanted, tmp_path / "mix").ok
    assert check_disk(wanted, mix.path).ok


def test_memory(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpts_data.mixer.planning.resources.can_fork", lambda: True)

    def found(available: int, workers: int) -> Check:
        monkeypatch.setattr(machine, "available_memory", lambda: machine.Memory(available, "container"))
        return check_memory(estimate_resources(recipe, workers), workers)

    assert found(950_000_000, 2).ok
    four = found(950_000_000, 4)
    assert not four.ok and four.found == "950.0 MB available in this container" and "4 workers" in four.wanted
    assert four.advice.startswith("use --workers 3, ")
    assert found(950_000_000, 3).ok
    assert found(10_000_000, 1).advice.startswith("lower --tokens")


def test_open_files(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, workers, ok in ((1024, 4, True), (50, 4, False), (50, 1, True), (None, 64, True)):
        monkeypatch.setattr(machine, "open_file_limit", lambda limit=limit: limit)
        check = check_open_files(estimate_resources(recipe, workers))
        assert check.ok is ok
        assert check.advice == ("" if ok else "raise the limit: ulimit -n 1024")


def test_sizes() -> None:
    assert [size(n) for n in (0, 999_999, 1_000_000, 178_100_000_000, 2 * 10**12)] == [
        "0 bytes",
        "999,999 bytes",
        "1.0 MB",
        "178.1 GB",
        "2.0 TB",
    ]
