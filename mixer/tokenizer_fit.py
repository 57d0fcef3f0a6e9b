"""Draw a sample of a recipe's sources and report how well a tokenizer fits it (tokenizer.fit_report)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpts_data.mixer.recipe import Recipe
from gpts_data.pipelines.execute import InProcess
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.readers.reader import list_files
from gpts_data.tokenizer.fit_report import report
from gpts_data.tokenizer.train import plan_sample, sample_texts
from gpts_data.tokenizer.untrusted import check_untrusted

MAX_SAMPLE_BYTES = 16_000_000  # 2 MB of it held out; training on 10 MB more changes bytes per token by 0.4%


def report_fit(
    folder: Path,
    recipe: Recipe,
    recipe_folder: Path,
    compare_with: Sequence[Path] = (),
    retry_policy: RetryPolicy = RetryPolicy(),
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Report on the tokenizer in `folder`, which may be a mix, with a sample of the recipe's sources.

    `compare_with` are folders of other tokenizers to measure. Returns what `tokenizer.fit_report.report` returns.
    Raises `UsageError` when a folder has no tokenizer, `DataError` when no text of a source can be held out.
    """
    tokenizer = folder / "tokenizer" if (folder / "manifest.json").exists() else folder
    for path in (tokenizer, *compare_with):
        check_untrusted(path)
    training = replace(recipe.tokenizer, sample=min(recipe.tokenizer.sample, MAX_SAMPLE_BYTES))
    fetch_options = FetchOptions(None, retry_policy)
    sources = [
        (source, list_files(source, recipe_folder, fetch_options), replace(recipe, decontaminate=None).cleaning(source))
        for source in recipe.weighted_sources
    ]
    with tempfile.TemporaryDirectory() as work:
        pieces = plan_sample(sources, training, recipe.unit, Path(work), fetch_options, recipe.draw)
        texts = sample_texts(pieces, InProcess(), progress)
    progress("vocabularies", "", 0, 1)
    measured = report(tokenizer, texts, dict(zip(recipe.names, recipe.weights, strict=True)), compare_with)
    progress("vocabularies", "", 1, 1)
    return measured
