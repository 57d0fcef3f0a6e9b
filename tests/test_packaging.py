"""The wheel holds the public module, the five packages and what they need, and runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("pipelines", "tokenizer", "mixer", "validation", "cli")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    source = out / "source"
    _copy(source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def _copy(target: Path) -> None:
    """The checkout without what builds and runs leave in it."""
    import shutil

    leave = shutil.ignore_patterns(".git", ".venv", "build", "dist", "demo", "*.egg-info", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, target, ignore=leave)


def test_the_package_list_is_the_folders() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = {path.parent for layer in LAYERS for path in (ROOT / layer).rglob("*.py")}
    names = {f"gpts_data.{folder.relative_to(ROOT).as_posix().replace('/', '.')}" for folder in folders}
    assert set(listed) == {"gpts_data"} | names and len(listed) == len(set(listed))
    assert all((ROOT / layer / "py.typed").exists() for layer in (".", *LAYERS))


def test_the_wheel_is_complete(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for layer in LAYERS:
        for path in (ROOT / layer).rglob("*"):
            if path.suffix in (".py", ".toml", ".json", ".parquet", ".md", ".typed", ".j2", ".css"):
                assert f"gpts_data/{path.relative_to(ROOT).as_posix()}" in names
    own = tuple(f"gpts_data/{name}" for name in ("__init__.py", "py.typed", *(f"{layer}/" for layer in LAYERS)))
    assert not {name for name in names if not name.startswith((*own, "gpts_data-"))}


def test_it_runs_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """Unpacked alone, outside the checkout, ahead of any other installation."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import gpts_data, gpts_data.cli.main as main; "
        "assert 'site' in gpts_data.__file__ and 'site' in main.__file__; "
        "assert gpts_data.load_recipe('sample').name == 'sample'; main.cli(['--help'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    assert "build-mix" in run.stdout
