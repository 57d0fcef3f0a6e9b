"""The recipe's tokenizer, trained inside a build or alone in a folder of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from gpts_data.mixer.plan import Plan, make_plan, write_plan
from gpts_data.mixer.recipe import Recipe, check
from gpts_data.mixer.workspace import clean_up, discard_plan, locked
from gpts_data.pipelines.errors import ForeignFolderError, ShortSourceError
from gpts_data.pipelines.execute import Engine, open_engine
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.storage.atomic_files import json_digest
from gpts_data.pipelines.storage.lock import remove_temporaries
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt
from gpts_data.tokenizer.train import plan_sample, train

RECEIPT = "training.json"


def train_tokenizer(plan: Plan, engine: Engine, folder: AnyPath, progress: Progress) -> dict[str, Any]:
    """Train the plan's tokenizer into `folder`; returns its digest and size, the bytes it saw and their digest."""
    recipe = plan.recipe
    sources = [
        (source, listing, recipe.cleaning(source)) for source, listing in zip(recipe.source, plan.listings, strict=True)
    ]
    pieces = plan_sample(sources, recipe.tokenizer, recipe.unit, plan.work / "sample", plan.fetch_options)
    trained = train(
        pieces, recipe.tokenizer, recipe.window, engine, folder,
        lambda done, total: progress("tokenizer", "sample", done, total),
    )  # fmt: skip
    return {
        "digest": trained.artifact.digest,
        "vocab_size": trained.artifact.vocab_size,
        "sample_bytes": trained.sample_bytes,
        "sample_digest": trained.sample_digest,
    }


def train_alone(
    recipe: Recipe, recipe_folder: Path, folder: AnyPath, *, vocab_size: int | None = None, workers: int = 1,
    scheduler: str | None = None, progress: Progress = lambda *_: None, retry_policy: RetryPolicy = RetryPolicy(),
) -> dict[str, Any]:  # fmt: skip
    """Train the recipe's tokenizer into `folder`, training.json last; on a finished folder, just its facts.

    Raises `ForeignFolderError` when the folder holds something else, `DataError` when the sample is too small.
    """
    if vocab_size is not None:
        recipe = replace(recipe, tokenizer=replace(recipe.tokenizer, vocab_size=vocab_size))
        check(recipe)
    # A tokenizer counts pairs of letters, it remembers no question: the sample is not searched for benchmarks.
    recipe = replace(recipe, decontaminate=None)
    plan = make_plan(recipe, recipe_folder, folder, None, RECEIPT, retry_policy)
    key = json_digest(plan.facts())
    if facts := read_receipt(folder / RECEIPT, key):
        if plan.work.exists():  # the last run died while it cleaned up
            with locked(plan):
                clean_up(plan)
        return facts
    if (folder / RECEIPT).exists():
        raise ForeignFolderError(f"{folder} holds a tokenizer of another recipe or other data; choose another --out")
    with locked(plan):
        remove_temporaries(folder)
        write_plan(plan)
        try:
            with open_engine(workers, scheduler, plan.work / "plan.json") as engine:
                trained = train_tokenizer(plan, engine, folder, progress)
        except ShortSourceError:
            discard_plan(plan)
            raise
        facts = write_receipt(folder / RECEIPT, key, **trained)
        clean_up(plan)
    return facts
