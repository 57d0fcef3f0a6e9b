"""A mix whose weights change over training: exact in every prefix, and the same however it is built."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.export.export import export
from gpts_data.mixer.format.manifest import NAME, checksum, read_manifest, root_digest
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.recipe_stages import cumulative_shares
from gpts_data.mixer.stages import near_pairs
from gpts_data.pipelines.storage.atomic_files import pretty_json
from gpts_data.validation.verify import verify


def order(mix: Mix) -> list[int]:
    """The source of each window, from the sidecars."""
    rows = np.concatenate([np.load(path.with_suffix(".windows.npy")) for path in mix.shards])
    sources: list[int] = rows["source"].tolist()
    return sources


def test_every_prefix_and_every_stage_is_exact(staged: Mix) -> None:
    assert verify(staged.path) == []
    counts = (np.array(order(staged))[:, None] == np.arange(3)).cumsum(axis=0)
    asked = cumulative_shares(staged.stages, np.arange(1, staged.windows + 1))
    assert np.abs(counts - asked).max() < 1
    first, second = staged.manifest["stages"]
    assert (first["start"], first["stop"], second["stop"]) == (0, 219, 313)
    assert first["sources"] == {"web": 153, "books": 55, "notes": 11}
    assert second["sources"] == {"web": 40, "books": 0, "notes": 54}
    assert dict(zip(staged.sources, counts[218].tolist(), strict=True)) == first["sources"]


def test_four_workers_and_an_interrupted_build_give_the_same_digest(
    staged_recipe: Path, staged: Mix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_pairs, "FEW_PAIRS", 0)  # the workers test near-duplicates, however few they are
    recipe, home = load_recipe(staged_recipe), staged_recipe.parent
    parallel = build(recipe, home, tmp_path / "parallel", tokenizer=staged.tokenizer, workers=4)
    assert parallel.manifest["root_digest"] == staged.manifest["root_digest"]

    def stop(stage: str, name: str, done: int, total: int, note: str = "", /) -> None:
        if stage == "shards":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(recipe, home, tmp_path / "stopped", tokenizer=staged.tokenizer, progress=stop)
    assert not (tmp_path / "stopped" / NAME).exists()
    resumed = build(recipe, home, tmp_path / "stopped", tokenizer=staged.tokenizer)
    assert resumed.manifest["root_digest"] == staged.manifest["root_digest"]


def test_another_stage_plan_reads_no_text_again(staged_recipe: Path, staged: Mix, tmp_path: Path) -> None:
    home, units = staged_recipe.parent, tmp_path / "units"
    build(load_recipe(staged_recipe), home, tmp_path / "a", tokenizer=staged.tokenizer, keep_units=units)
    other = home / "other-stages.toml"
    other.write_text(staged_recipe.read_text(encoding="utf-8").replace("until = 0.7", "until = 0.6"))
    built = build(load_recipe(other), home, tmp_path / "b", tokenizer=staged.tokenizer, keep_units=units)
    assert built.units == built.reused > 0
    assert [stage["start"] for stage in built.manifest["stages"]] == [0, 188]


def test_verify_finds_stages_that_the_weights_do_not_give(staged: Mix, tmp_path: Path) -> None:
    folder = tmp_path / "mix"
    shutil.copytree(staged.path, folder)
    manifest = json.loads((folder / NAME).read_bytes())
    manifest["stages"][0]["sources"].update(web=152, books=56)
    manifest["root_digest"] = root_digest(manifest)
    manifest["checksum"] = checksum(manifest)
    (folder / NAME).write_bytes(pretty_json(manifest))
    (problem,) = verify(folder)
    assert problem.file == NAME and problem.problem.startswith("stages: found")


def test_card_and_export_name_the_stages(staged: Mix, mix: Mix, tmp_path: Path) -> None:
    card = (Path(str(staged.path)) / "README.md").read_text(encoding="utf-8")
    assert "| books (local files) | 25, - |" in card
    assert "| 2 | 219 to 312 | 40 | 0 | 54 |" in card
    assert "with weights that change at window 219" in (Path(str(staged.path)) / "croissant.json").read_text(
        encoding="utf-8"
    )
    assert export(staged, "nanogpt", tmp_path / "staged").manifest["stages"] == staged.manifest["stages"]
    assert "stages" not in export(mix, "nanogpt", tmp_path / "plain").manifest
    assert "stages" not in read_manifest(mix.path)


def test_the_stage_of_a_window(staged: Mix, mix: Mix) -> None:
    positions = (0, 218, 219, 312, 313, 313 + 219)
    assert [staged.stage_at(position) for position in positions] == [0, 0, 1, 1, 0, 1]
    assert mix.stage_at(mix.windows - 1) == 0
    assert all(before.stop == after.start for before, after in pairwise(staged.stages))
