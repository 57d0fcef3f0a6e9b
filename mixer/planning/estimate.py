"""PLAN: estimate what a build would read, need and take, before anything is written.

A sample of each source (source_sample.py) gives the share of text that the filters keep, the tokens in a byte of text
and the share of duplicates. From these follow the tokens that the source has, with a bootstrap interval over the pieces
of the sample, and the units that a build would read, which are taken by the rule of a build's rounds
(stages/rounds.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpts_data.mixer.format.manifest import NAME
from gpts_data.mixer.plan import Plan, make_plan
from gpts_data.mixer.planning.repeats_elsewhere import RepeatsElsewhere
from gpts_data.mixer.planning.resources import disk_by_stage, estimate_resources, with_vocabulary
from gpts_data.mixer.planning.sample_tokenizer import train_on_samples
from gpts_data.mixer.planning.source_estimate import SourceEstimate, estimate_source, short_source
from gpts_data.mixer.planning.source_rate import SourceRate
from gpts_data.mixer.planning.source_sample import SourceSample, sample_source
from gpts_data.mixer.recipe import Recipe
from gpts_data.mixer.stages.rounds import FIRST_RATE, MARGIN
from gpts_data.pipelines.adaptive_engine import choose_workers
from gpts_data.pipelines.errors import ShortSourceError
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.tokenizer.encode import Encoder
from gpts_data.tokenizer.untrusted import check_untrusted

ASSEMBLED_PER_SECOND = 50e6  # tokens that cut and assemble write in a second (benchmarks/README.md)
TRAINED_PER_SECOND = 25e6  # bytes of text that training the tokenizer takes in a second
START_SECONDS = 1.0  # for imports, compiled kernels, tables: in the command, and in the process that forks its workers
SURVEYED = 2.0  # with `order = "file"`: text sampled first, as a multiple of what is read if nothing is dropped


@dataclass(frozen=True, repr=False)
class Estimate:
    """The estimate for a build."""

    windows: int
    """Windows of the mix."""
    sources: dict[str, SourceEstimate]
    """The estimate for each source, by name."""
    disk_bytes: int
    """Bytes on disk at the peak."""
    disk: dict[str, int]
    """`disk_bytes` by stage."""
    memory_bytes: int
    """Memory of all processes together at the peak (PSS: a page that several processes share counts once)."""
    dedup_bytes: int
    """The part of `memory_bytes` that grows with the number of documents."""
    cpu_seconds: float
    """Processor time of all workers together."""
    seconds: float
    """Wall-clock time with `workers` processes."""
    workers: int
    """Processes, all on one machine."""

    def __repr__(self) -> str:
        return (
            f"Estimate({self.windows:,} windows, {len(self.sources)} sources, {self.disk_bytes:,} bytes on disk, "
            f"{self.memory_bytes:,} in memory, {self.cpu_seconds:,.0f} CPU seconds)"
        )


def estimate(
    recipe: Recipe,
    recipe_folder: Path,
    *,
    workers: int = 1,
    tokenizer: AnyPath | None = None,
    retry_policy: RetryPolicy = RetryPolicy(),
    progress: Progress = lambda *_: None,
) -> Estimate:
    """Estimate what building `recipe` would take. Reads file footers and a sample of each source; writes nothing.

    `tokenizer` is the folder of the tokenizer; without one a tokenizer is trained on the sample. Relative paths of the
    recipe start at `recipe_folder`. Raises `ShortSourceError` when a source cannot fill its share even at the upper end
    of its interval, and the errors of listing and reading sources.
    """
    given = check_untrusted(tokenizer) if tokenizer else None
    with tempfile.TemporaryDirectory(prefix="gpts-data-") as scratch:
        plan = make_plan(recipe, recipe_folder, Path(scratch) / "mix", given, NAME, retry_policy)
        fetch_options = FetchOptions(Path(scratch) / "spool", retry_policy)
        samples = [_sample(plan, i, fetch_options, progress) for i in range(len(recipe.source))]
        folder = Path(scratch) / "tokenizer"
        encoder = Encoder(given.folder) if given else train_on_samples(recipe, samples, folder, fetch_options)
        is_exact = given is not None or all(sample.is_whole for sample in samples)
        rates = [SourceRate(sample, encoder, is_exact=is_exact) for sample in samples]
        sources = _estimate_sources(rates, recipe.windows, fetch_options)
    sample_bytes = 0 if given else _sample_bytes(recipe, rates)
    return _with_resources(with_vocabulary(recipe, given), rates, sources, workers, sample_bytes)


def _estimate_sources(
    rates: Sequence[SourceRate], windows: Sequence[int], fetch_options: FetchOptions
) -> list[SourceEstimate]:
    """The estimate for each source, in recipe order: a later one loses the documents that earlier ones have."""
    repeats = RepeatsElsewhere(rates)
    sources: list[SourceEstimate] = []
    errors: list[ShortSourceError] = []
    for number, (rate, n_windows) in enumerate(zip(rates, windows, strict=True)):
        training_share = 1 - rate.sample.recipe.validation.fraction  # held-out documents have no copies either
        rate.shared = repeats.of(number, [source.documents_estimate / training_share for source in sources])
        errors += filter(None, [short_source(rate, n_windows)])
        sources.append(estimate_source(rate, n_windows, fetch_options))
    if errors:
        raise ShortSourceError("\n".join(map(str, errors)))
    return sources


def _with_resources(
    recipe: Recipe, rates: Sequence[SourceRate], sources: Sequence[SourceEstimate], workers: int, sample_bytes: int
) -> Estimate:
    cpu_seconds = sum(source.read_bytes * rate.seconds for source, rate in zip(sources, rates, strict=True))
    cpu_seconds += sum(recipe.windows) * recipe.window / ASSEMBLED_PER_SECOND
    cpu_seconds += _training_seconds(recipe, rates, sample_bytes)
    text_tokens = sum(min(source.tokens, source.available_tokens) for source in sources)
    documents = round(sum(source.read_documents * source.kept_share for source in sources))
    longest = max(source.read_bytes // max(source.read_documents, 1) for source in sources)
    workers = workers or choose_workers(sum(s.read_bytes for s in sources), sum(s.units for s in sources))
    start = START_SECONDS * (1 if workers == 1 else 2)
    source_bytes = [rate.sample.text_bytes for rate in rates]
    resources = estimate_resources(recipe, workers, text_tokens, sample_bytes, documents, longest, source_bytes)
    disk = disk_by_stage(recipe, text_tokens, sample_bytes, documents, source_bytes)
    return Estimate(
        windows=sum(recipe.windows),
        sources=dict(zip(recipe.names, sources, strict=True)),
        disk_bytes=sum(disk.values()),
        disk=disk,
        memory_bytes=resources.memory_bytes,
        dedup_bytes=resources.index_bytes,
        cpu_seconds=cpu_seconds + start,
        seconds=cpu_seconds / workers + start,
        workers=workers,
    )


def _sample_bytes(recipe: Recipe, rates: Sequence[SourceRate]) -> int:
    """Bytes of text that the tokenizer is trained on: of each source its share by weight, if it has so much."""
    total = sum(recipe.weights)
    shares = (recipe.tokenizer.sample * weight / total for weight in recipe.weights)
    return int(sum(min(share, rate.text_bytes) for share, rate in zip(shares, rates, strict=True)))


def _training_seconds(recipe: Recipe, rates: Sequence[SourceRate], sample_bytes: int) -> float:
    """Processor time for the tokenizer: cleaning its sample, which is drawn by weight, and training on it."""
    cleaning = sum(
        rate.seconds / max(rate.kept_bytes, 0.01) * weight for rate, weight in zip(rates, recipe.weights, strict=True)
    )
    return sample_bytes * (cleaning / sum(recipe.weights) + 1 / TRAINED_PER_SECOND)


def _sample(plan: Plan, number: int, fetch_options: FetchOptions, progress: Progress) -> SourceSample:
    recipe = plan.recipe
    enough = int(recipe.windows[number] * recipe.window * MARGIN / FIRST_RATE * SURVEYED)
    return sample_source(recipe, recipe.source[number], plan.listings[number], enough, fetch_options, progress)
