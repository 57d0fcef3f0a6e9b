"""The tokenizer alone in a folder: the same bytes for any number of workers, and after dying at any commit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.train_tokenizer import train_alone
from gpts_data.pipelines.errors import ShortSourceError
from tests.conftest import WriteRecipe


class Died(BaseException):
    """Not an Exception: nothing may catch it."""


def trained(recipe_file: Path, folder: Path, workers: int = 1) -> dict[str, bytes]:
    train_alone(load_recipe(recipe_file), recipe_file.parent, folder, workers=workers)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, recipe_file: Path) -> dict[str, bytes]:
    return trained(recipe_file, tmp_path_factory.mktemp("once") / "tokenizer")


def test_two_workers_give_the_same(once: dict[str, bytes], recipe_file: Path, tmp_path: Path) -> None:
    assert trained(recipe_file, tmp_path / "two", workers=2) == once


@pytest.mark.parametrize("renamed", [False, True])
def test_dying_at_each_commit(
    once: dict[str, bytes], recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: bool
) -> None:
    """Die just before (or after) the n-th rename, for every n there is, and run again."""
    replace = os.replace
    for n in range(1, 200):
        count = 0

        def dying(source: str, target: str, n: int = n) -> None:
            nonlocal count
            count += 1
            if count == n and not renamed:
                raise Died
            replace(source, target)
            if count == n:
                raise Died

        with monkeypatch.context() as patch:
            patch.setattr("gpts_data.pipelines.storage.atomic_files.os.replace", dying)
            try:
                trained(recipe_file, tmp_path / str(n))
                break
            except Died:
                pass
        assert trained(recipe_file, tmp_path / str(n)) == once
    assert n > 10


def test_a_sample_too_small_leaves_nothing(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    path = write_recipe(edit=(("vocab_size = 400", "vocab_size = 60_000"),))
    for run in (lambda: trained(path, tmp_path / "t"), lambda: build(load_recipe(path), path.parent, tmp_path / "mix")):
        with pytest.raises(ShortSourceError, match="entries, expected 60,000; raise tokenizer.sample"):
            run()
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_unfinished_is_removed(
    once: dict[str, bytes], recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process cannot remove its temporary file, which is as large as what it was writing."""
    left: list[tuple[Path, bytes]] = []

    def killed(source: str, target: str) -> None:
        if Path(target).name == "tokenizer.json":
            left.append((Path(source), Path(source).read_bytes()))
            raise Died
        replace(source, target)

    replace = os.replace
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr("gpts_data.pipelines.storage.atomic_files.os.replace", killed)
        trained(recipe_file, tmp_path / "tokenizer")
    ((path, content),) = left
    path = path.with_name(path.name.replace(f"-{os.getpid()}-", "-4194305-"))  # of a process that there cannot be
    assert not path.exists()
    path.write_bytes(content)
    assert path.suffix == ".tmp" and path.parent == tmp_path / "tokenizer"
    assert trained(recipe_file, tmp_path / "tokenizer") == once
