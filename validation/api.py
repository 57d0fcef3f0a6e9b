"""The commands as functions: what a notebook or another program calls.

    from gpts_data.validation.api import build_mix, open_mix, plan, verify

    plan("sample", tokens=1_000_000).sources["fineweb-edu"].available_tokens
    built = build_mix("sample", "mix", tokens=1_000_000, workers=2)
    mix = open_mix("mix")
    mix.shard(0)[0]                     # 512 ids, uint16
    verify("mix")                       # [] when every byte is as it was written

A recipe is a preset's name, a file or a `Recipe`; a place is a folder or an address like s3://bucket/mix. All raise the
errors of `gpts_data.pipelines.errors`, whose texts say what to do. With more than one worker a script needs
`if __name__ == "__main__":`, as for multiprocessing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from gpts_data.mixer.build import Built, build
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.planning.estimate import Estimate, SourceEstimate, estimate
from gpts_data.mixer.recipe import Recipe, check, load_recipe
from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.execute import open_engine
from gpts_data.pipelines.storage.paths import as_path
from gpts_data.validation.verify import Problem
from gpts_data.validation.verify import verify as problems_of

__all__ = [
    "Built",
    "Estimate",
    "Mix",
    "Problem",
    "Recipe",
    "SourceEstimate",
    "build_mix",
    "open_mix",
    "plan",
    "verify",
]

PRESETS = Path(str(files("gpts_data.cli"))) / "presets"

Progress = Callable[..., object]
"""Called with stage, what it works on, done and total, and maybe a word beside it."""


def plan(
    recipe: str | Path | Recipe, *, tokens: int | None = None, workers: int = 1, tokenizer: str | Path | None = None
) -> Estimate:
    """What a build would read, need and take; see `mixer.planning.estimate`. Writes nothing."""
    wanted, folder = find_recipe(recipe, tokens)
    return estimate(wanted, folder, workers=workers, tokenizer=as_path(tokenizer) if tokenizer else None)


def build_mix(
    recipe: str | Path | Recipe,
    out: str | Path,
    *,
    tokens: int | None = None,
    tokenizer: str | Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    keep_units: str | Path | None = None,
    keep_dropped: int | None = None,
    progress: Progress = lambda *_: None,
) -> Built:
    """Build a mix, or go on with one; a finished one is left as it is. The bytes do not depend on workers or scheduler.

    `Built.manifest` is the manifest, `Built.fresh` whether anything was done.
    """
    wanted, folder = find_recipe(recipe, tokens)
    wanted = wanted if keep_dropped is None else replace(wanted, keep_dropped=keep_dropped)
    return build(
        wanted,
        folder,
        as_path(out),
        tokenizer=as_path(tokenizer) if tokenizer else None,
        workers=workers,
        scheduler=scheduler,
        keep_units=as_path(keep_units) if keep_units else None,
        progress=progress,
    )


def verify(path: str | Path, *, quick: bool = False, workers: int = 1, scheduler: str | None = None) -> list[Problem]:
    """What is not as the manifest says; empty when the mix is whole. `quick` compares names and sizes only."""
    with open_engine(workers, scheduler) as engine:
        return problems_of(as_path(path), quick=quick, engine=engine)


def find_recipe(recipe: str | Path | Recipe, tokens: int | None = None) -> tuple[Recipe, Path]:
    """The recipe, and the folder its globs are relative to: for a `Recipe` of your own, this one.

    Raises `RecipeError` for what is neither a file nor a preset.
    """
    if isinstance(recipe, Recipe):
        recipe = recipe if tokens is None else replace(recipe, tokens=tokens)
        check(recipe)
        return recipe, Path()
    path = Path(recipe)
    if not path.is_file() and path.name == str(recipe) and not path.suffix:
        path = PRESETS / f"{recipe}.toml"
        if not path.exists():
            names = ", ".join(sorted(p.stem for p in PRESETS.glob("*.toml")))
            raise RecipeError(f"no preset is called {str(recipe)!r}; expected one of {names}, or a TOML file")
    return load_recipe(path, tokens), path.parent
