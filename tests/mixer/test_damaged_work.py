"""Work that a stopped build left is used only as it was written: whatever the disk did to it, the mix is the same."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from gpts_data.mixer import build as build_module
from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.stages.finalize import finalize
from gpts_data.pipelines.errors import ForeignFolderError
from tests.conftest import WriteRecipe


class StopError(Exception):
    """Stands for a kill."""


def run(recipe: Path, folder: Path, *, stop: bool = False) -> None:
    """Build, and with `stop` end when all is written but the manifest."""

    def stopped(*arguments: object) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gpts_data.mixer.stages.finalize.write_manifest", lambda *_: None)
            finalize(*arguments)  # type: ignore[arg-type]
        raise StopError

    with pytest.MonkeyPatch.context() as patch:
        if stop:
            patch.setattr(build_module, "finalize", stopped)
            with pytest.raises(StopError):
                build(load_recipe(recipe), recipe.parent, folder)
        else:
            build(load_recipe(recipe), recipe.parent, folder)


def files_of(folder: Path) -> dict[Path, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(folder): path.read_bytes() for path in files}


def damage(folder: Path, *, receipts: bool) -> None:
    """Flip a bit of each file that a stage wrote, cut it or delete it, in turn; or flip one of each receipt."""
    paths = [folder / name for name in files_of(folder)]
    chosen = [path for path in paths if (path.suffix == ".json" and ".build" in path.parts) == receipts]
    for n, path in enumerate(sorted(path for path in chosen if path.stat().st_size)):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 8
        if n % 3 == 0 or receipts:
            path.write_bytes(content)
        elif n % 3 == 1:
            path.write_bytes(content[:-1])
        else:
            path.unlink()


def test_damaged_work_is_done_again(
    mix: Mix, recipe_file: Path, write_recipe: WriteRecipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "mix"
    run(recipe_file, out, stop=True)
    whole = files_of(out)
    with caplog.at_level(logging.WARNING, "gpts_data"):
        damage(out, receipts=False)
        run(recipe_file, out, stop=True)
        assert files_of(out) == whole
        for kind in ("cut", "shards", "validation", "outcomes", "tokenizer", "source 'web'"):
            assert any(message.startswith(kind) for message in caplog.messages), kind
        caplog.clear()
        tokenizer = out / ".build" / "tokenizer.json"  # says that the work there belongs to this plan
        content = tokenizer.read_bytes()
        damage(out, receipts=True)
        with pytest.raises(ForeignFolderError, match=r"\.build/plan\.json is damaged"):
            run(recipe_file, out)
        tokenizer.write_bytes(content)
        with pytest.raises(ForeignFolderError, match=r"\.build/plan\.json is damaged"):
            run(write_recipe(seed=2), out)
        run(recipe_file, out)
    assert "plan.json was changed since it was written" in caplog.text
    assert files_of(out) == files_of(mix.path)
