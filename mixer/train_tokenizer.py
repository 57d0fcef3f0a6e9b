"""Train the recipe's tokenizer, in a build or alone in a folder of its own."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypedDict

from gpts_data.mixer.kernels import call_kernels, compile_kernels
from gpts_data.mixer.plan import Plan, make_plan
from gpts_data.mixer.plan_file import write_plan
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


class TrainedTokenizer(TypedDict):
    """A trained tokenizer and the sample it was trained on."""

    digest: str
    vocab_size: int
    sample_bytes: int
    sample_digest: str


class TrainingReceipt(TrainedTokenizer):
    """Content of training.json."""

    key: str


def train_tokenizer(plan: Plan, engine: Engine, folder: AnyPath, progress: Progress) -> TrainedTokenizer:
    """Train the plan's tokenizer into `folder`."""
    recipe = plan.recipe
    sources = [
        (source, listing, recipe.cleaning(source))
        for source, listing in zip(recipe.weighted_sources, plan.listings, strict=True)
    ]
    sample_folder = plan.work / "sample"
    pieces = plan_sample(sources, recipe.tokenizer, recipe.unit, sample_folder, plan.fetch_options, recipe.draw)
    trained = train(pieces, recipe.tokenizer, recipe.window, engine, folder, progress)
    return {
        "digest": trained.artifact.digest,
        "vocab_size": trained.artifact.vocab_size,
        "sample_bytes": trained.sample_bytes,
        "sample_digest": trained.sample_digest,
    }


def train_alone(
    recipe: Recipe,
    recipe_folder: Path,
    folder: AnyPath,
    *,
    vocab_size: int | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress = lambda *_: None,
    retry_policy: RetryPolicy = RetryPolicy(),
) -> TrainingReceipt:
    """Train the recipe's tokenizer into `folder` and return training.json, its receipt; a finished folder is left.

    Raises `ForeignFolderError` when the folder holds something else, `DataError` when the sample is too small.
    """
    if vocab_size is not None:
        recipe = replace(recipe, tokenizer=replace(recipe.tokenizer, vocab_size=vocab_size))
        check(recipe)
    # The sample is not searched for benchmarks: a tokenizer counts pairs of letters and remembers no question.
    # Nor are the lists of [exclude] applied, so that a tokenizer and the units made with it outlast a new list.
    recipe = replace(recipe, decontaminate=None, exclude=None)
    plan = make_plan(recipe, recipe_folder, folder, None, RECEIPT, retry_policy)
    key = json_digest(plan.identity())
    if receipt := read_receipt(folder / RECEIPT, key, TrainingReceipt):
        if plan.work.exists():  # the last run was killed while it cleaned up
            with locked(plan):
                clean_up(plan)
        return receipt
    if (folder / RECEIPT).exists():
        raise ForeignFolderError(f"{folder} holds a tokenizer of another recipe or other data; choose another --out")
    with locked(plan):
        trained = _run_plan(plan, workers, scheduler, progress)
        result: TrainingReceipt = {"key": key, **trained}
        written = write_receipt(folder / RECEIPT, result)
        clean_up(plan)
    return written


def _run_plan(plan: Plan, workers: int, scheduler: str | None, progress: Progress) -> TrainedTokenizer:
    remove_temporaries(plan.folder)
    write_plan(plan.work, plan.identity(), plan.scratch_name)
    if scheduler is None:  # the workers of a cluster have caches of their own
        compile_kernels(plan.recipe, progress, trains=True)
    try:
        with open_engine(workers, scheduler, plan.work / "plan.json", partial(call_kernels, plan.recipe)) as engine:
            return train_tokenizer(plan, engine, plan.folder, progress)
    except ShortSourceError:
        discard_plan(plan)
        raise
