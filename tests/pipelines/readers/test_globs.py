"""Globs find what Python's own find, and end where those would not."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest

from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.readers.globs import expand_braces, find_matches, is_kernel_folder

PATTERNS = (
    *(
        "*",
        "**",
        "**/*",
        "**/*.jsonl",
        "d/**",
        "d/**/",
        "d/*/",
        "*/*",
        "d/*/x.jsonl",
        "**/e/*",
        "**/d/**/*",
        "?",
        "[ab]*",
    ),
    *(
        "a.jsonl",
        "./a.jsonl",
        "d/../a*",
        "../*/a.jsonl",
        "none/*",
        "a.jsonl/*",
        ".*",
        "**/.*",
        "d/.h/*",
        "l/**/*",
        "",
        ".",
    ),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for name in ("a.jsonl", "b", "d/x.jsonl", "d/e/x.jsonl", "d/e/f/y.txt", "d/.h/z.jsonl", ".hidden", "o/p.jsonl"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "l").symlink_to("d")
    (folder / "gone").symlink_to("nowhere")
    return folder


@pytest.mark.parametrize("pattern", PATTERNS)
def test_globs_find_what_those_of_python_find(pattern: str, tree: Path) -> None:
    for prefix in ("", f"{tree}/") if pattern else ("",):
        expected = {os.path.normpath(match) for match in glob.glob(prefix + pattern, root_dir=tree, recursive=True)}
        assert {os.path.normpath(match) for match in find_matches(prefix + pattern, str(tree))} == expected


def test_links_that_lead_back_end(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.jsonl").touch()
    for name in ("one", "two"):
        (tmp_path / "d" / name).symlink_to(tmp_path / "d")
    assert set(find_matches("d/**/*.jsonl", str(tmp_path))) == {"d/a.jsonl"}
    with pytest.raises(RecipeError, match="leads to the same folders more than"):
        list(find_matches("*/" * 16 + "a", str(tmp_path)))


def test_folders_that_lead_to_all_others_end(tmp_path: Path) -> None:
    names = [f"d{i}" for i in range(8)]
    for name in names:
        (tmp_path / name).mkdir()
        for other in names:
            (tmp_path / name / other).symlink_to(tmp_path / other)
    with pytest.raises(RecipeError, match="leads to the same folders more than"):
        list(find_matches("**/*.jsonl", str(tmp_path)))


def test_braces_that_multiply_are_refused() -> None:
    assert len(expand_braces("{a,b}" * 13)) == 8192
    for pattern in ("{a,b}" * 40, "{" * 900 + "a" + ",b}" * 900 + "{a,b}" * 14):
        with pytest.raises(RecipeError, match="more than 10,000 patterns"):
            expand_braces(pattern)


def test_the_kernels_folders_hold_no_text() -> None:
    assert all(map(is_kernel_folder, ("/proc", "/proc/1/fd", "/sys/a", "/dev/fd")))
    assert not any(map(is_kernel_folder, ("/dev/shm/corpus", "/processed", "/srv/proc")))
    assert "/proc/version" not in set(find_matches("/proc/*", "/"))
