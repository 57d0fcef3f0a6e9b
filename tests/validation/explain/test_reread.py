"""Of documents with one id, the one that the reason speaks of is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from gpts_data.mixer.recipe import RecipeSource
from gpts_data.pipelines.readers.reader import list_files, split_units
from gpts_data.validation.explain import reread as module
from gpts_data.validation.explain.reread import reread


def test_a_low_score_is_that_of_the_document_that_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("good", 4), ("low", 1), ("better", 5)]
    lines = [f'{{"text": "{text}", "id": "a", "score": {score}}}\n' for text, score in rows]
    (tmp_path / "a.jsonl").write_text("".join(lines), encoding="utf-8")
    source = RecipeSource("web", 1, ("a.jsonl",), id="id", at_least={"score": 3})
    (unit,) = split_units(source, list_files(source, tmp_path).files[0], 1 << 20)
    monkeypatch.setattr(module, "recipe_source", lambda *_: source)
    monkeypatch.setattr(module, "_unit", lambda *_: unit)
    document = reread(cast(Any, None), "web", unit.name, "a", "low_score", tmp_path)
    assert (document.text, document.score) == ("low", 1)
