"""A round prepares the next units of each source and keeps each unit's receipt with its source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gpts_data.mixer.format.manifest import NAME
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.plan import make_plan
from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.stages.rounds import SourceUnits, _next_tasks, _prepare
from gpts_data.pipelines.execute import InProcess
from gpts_data.tokenizer.artifact import load


def test_two_sources_that_read_the_same_unit_have_their_own_receipts(
    mix: Mix, recipe_file: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(recipe_file)
    recipe = replace(recipe, source=(recipe.source[0], replace(recipe.source[0], name="again")))
    tokenizer = load(mix.tokenizer)
    plan = make_plan(recipe, recipe_file.parent, tmp_path / "mix", tokenizer, NAME)
    sources = [SourceUnits(plan, i, tokenizer) for i in range(2)]
    reported: list[str] = []
    _prepare(_next_tasks(sources, [[], []]), InProcess(), lambda name, _: reported.append(name))
    keys = [[receipt["key"] for receipt in source.receipts] for source in sources]
    assert keys[0] == keys[1]
    for source in sources:
        assert {receipt["source"] for receipt in source.receipts} == {source.source.name}
        assert len(source.receipts) == len(source.tasks) == reported.count(source.source.name)
