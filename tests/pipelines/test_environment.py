"""The environment that workers are compared by: every library, present or not, and every source file."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from gpts_data.pipelines import environment

ROOT = Path(__file__).parents[2]


def test_the_code_digest_covers_every_python_file() -> None:
    """Counted by another walk than the digest's: a file that is moved into a new folder must not drop out."""
    expected = [
        Path(folder, name)
        for package in environment.PACKAGES
        for folder, _, names in os.walk(ROOT / package)
        for name in names
        if name.endswith(".py")
    ]
    assert sorted(path.resolve() for path in environment.source_files()) == sorted(expected)
    assert len(expected) > 150
    assert {path.parent.name for path in expected} >= {"pipelines", "storage", "hub", "stages", "training", "cli"}


def test_the_code_digest_changes_with_a_file_in_a_subfolder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in environment.PACKAGES:
        (tmp_path / package / "deep" / "deeper").mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "pipelines" / "environment.py"))
    digests = {environment.code_digest()}
    for package in environment.PACKAGES:
        (tmp_path / package / "deep" / "deeper" / "new.py").write_text("", encoding="utf-8")
        digests.add(environment.code_digest())
    assert len(digests) == 1 + len(environment.PACKAGES)


def test_a_library_that_is_not_installed_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    real = environment.version

    def version(name: str) -> str:
        if name == "spacy":
            raise PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(environment, "version", version)
    here = environment.libraries()
    assert here["spacy"] == "absent"
    assert environment.differences(here, {**here, "spacy": "3.8.7"}) == "spacy absent there, 3.8.7 here"
