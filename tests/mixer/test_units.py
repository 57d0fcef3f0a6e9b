"""Kept units: another mix made from them reads no text again, and has the same bytes as without them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from gpts_data.mixer.build import Built, build
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.kept_units import dedup_kept, is_made_with, kept_tokenizers
from gpts_data.mixer.plan import make_plan
from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.stages import prepare
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.rounds import SourceUnits
from gpts_data.mixer.stages.unit_file import document_columns
from gpts_data.mixer.workspace import UNITS_LOCK
from gpts_data.pipelines.dedup.greedy import TRAIN
from gpts_data.pipelines.errors import LockedError, ShortSourceError, UsageError
from gpts_data.tokenizer.artifact import load
from tests.conftest import WriteRecipe

CHANGES = {
    "another weight": ((("weight = 55", "weight = 20"),), {}),
    "another seed": ((), {"seed": 2}),
    "another window": ((), {"window": 48}),
    "fewer tokens": ((), {"tokens": "4k"}),
    "other shards": ((), {"shard_windows": 17}),
    "another share held out": ((("fraction = 0.05", "fraction = 0.2"),), {}),
}

OF_THE_USER = ("lock", "thesis.tmp", "web/draft.tmp", f"notes/old/{'0' * 32}.arrow.gpts-data-host-1-1.tmp")
"""Files that are in the folder of units before we are."""
LEFT_BEHIND = f"web/{'0' * 32}.arrow.gpts-data-host-1-1.tmp"
"""A temporary file of a killed build."""


@pytest.fixture(scope="module")
def units(mix: Mix, write_recipe: WriteRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units of a build larger than the others."""
    folder = tmp_path_factory.mktemp("units")
    for name in (*OF_THE_USER, LEFT_BEHIND):
        (folder / "kept" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "kept" / name).write_text("text", encoding="utf-8")
    path = write_recipe(tokens="30k")
    built = build(load_recipe(path), path.parent, folder / "mix", tokenizer=mix.tokenizer, keep_units=folder / "kept")
    assert (built.units > 10, built.reused) == (True, 0)
    assert not (folder / "mix" / ".build").exists()
    return folder / "kept"


def built(path: Path, mix: Mix, folder: Path, units: Path | None) -> Built:
    return build(load_recipe(path), path.parent, folder, tokenizer=mix.tokenizer, keep_units=units)


@pytest.mark.parametrize("change", CHANGES)
def test_another_mix_reads_no_text(
    change: str, mix: Mix, units: Path, write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit, fields = CHANGES[change]
    path = write_recipe(edit=edit, **{"tokens": "8k", **fields})  # type: ignore[arg-type,dict-item]
    fresh = built(path, mix, tmp_path / "fresh", None)
    monkeypatch.setattr(prepare, "read_buckets", None)
    again = built(path, mix, tmp_path / "again", units)
    assert again.manifest["root_digest"] == fresh.manifest["root_digest"]
    assert again.reused == again.units == fresh.units


def test_other_cleaning_reads_it_again(mix: Mix, units: Path, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    own = tmp_path / "kept"
    shutil.copytree(units, own)
    path = write_recipe(edit=(("[validation]", "[clean]\nmin_characters = 300\n[validation]"),), tokens="8k")
    assert built(path, mix, tmp_path / "mix", own).reused == 0


def test_one_build_at_a_time(units: Path, mix: Mix, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    with FileLock(units / UNITS_LOCK), pytest.raises(LockedError, match=f"at work in {units}"):
        built(write_recipe(), mix, tmp_path / "mix", units)
    assert not (tmp_path / "mix").exists()


def test_units_inside_the_mix_are_refused(mix: Mix, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="inside the mix"):
        built(write_recipe(), mix, tmp_path / "mix", tmp_path / "mix" / "units")
    assert not (tmp_path / "mix").exists()


def test_a_source_too_short_leaves_its_units_to_a_smaller_mix(
    mix: Mix, write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ShortSourceError):
        built(write_recipe(tokens="150k"), mix, tmp_path / "mix", None)
    path = write_recipe(tokens="21k")
    fresh = built(path, mix, tmp_path / "fresh", None)
    monkeypatch.setattr(prepare, "read_buckets", None)
    smaller = built(path, mix, tmp_path / "mix", None)
    assert smaller.manifest["root_digest"] == fresh.manifest["root_digest"]
    assert smaller.reused == smaller.units
    assert not (tmp_path / "mix" / ".build").exists()


def test_files_of_the_user_in_the_folder_of_units_stay(units: Path) -> None:
    assert [(units / name).read_text(encoding="utf-8") for name in OF_THE_USER] == ["text"] * len(OF_THE_USER)
    assert not (units / LEFT_BEHIND).exists()


def test_the_units_alone_give_the_documents_and_tokenizer_of_the_mix(
    mix: Mix, units: Path, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    path = write_recipe(tokens="30k")
    [folder] = kept_tokenizers(units)
    tokenizer = load(folder)
    assert tokenizer.digest == mix.manifest["tokenizer"]["digest"]
    plan = make_plan(load_recipe(path), path.parent, tmp_path / "work", tokenizer, "", keep_units=units)
    assert is_made_with(plan, tokenizer)
    sources, deduped = dedup_kept(plan, tokenizer)
    manifest = open_mix(units.parent / "mix").manifest["sources"]
    for name, source, verdicts in zip(mix.sources, sources, deduped, strict=True):
        assert verdicts[-1].stop >= manifest[name]["tokens"] + manifest[name]["leftover_tokens"]
        assert verdicts[-1].stop == sum(int((unit.codes == TRAIN).dot(tokens)) for unit, tokens in of(source, verdicts))


def of(source: SourceUnits, verdicts: list[DedupedUnit]) -> list[tuple[DedupedUnit, Any]]:
    """Each unit with the tokens of its documents."""
    return [(unit, document_columns(task.path)[0]) for unit, task in zip(verdicts, source.tasks, strict=True)]


def test_units_after_a_missing_one_are_not_used(
    mix: Mix, units: Path, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    path, own = write_recipe(tokens="30k"), tmp_path / "kept"
    shutil.copytree(units, own)
    tokenizer = load(Path(str(mix.tokenizer)))
    plan = make_plan(load_recipe(path), path.parent, tmp_path / "work", tokenizer, "", keep_units=own)
    web = dedup_kept(plan, tokenizer)[0][0]
    web.tasks[2].receipt.unlink()
    assert len(dedup_kept(plan, tokenizer)[0][0].tasks) == 2
    web.tasks[0].receipt.unlink()
    assert not is_made_with(plan, tokenizer)
