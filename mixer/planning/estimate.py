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

from gpts_data.mixer.plan import too_short
from gpts_data.mixer.planning.resources import disk_by_stage, estimate_resources
from gpts_data.mixer.planning.source_rate import SourceRate
from gpts_data.mixer.planning.source_sample import SourceSample, sample_source
from gpts_data.mixer.recipe import Recipe, RecipeSource
from gpts_data.mixer.stages.rounds import FIRST_RATE, MARGIN
from gpts_data.pipelines.errors import ShortSourceError
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.readers.reader import check_columns, fetch_cost, list_files
from gpts_data.pipelines.readers.source import Unit
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.tokenizer import artifact
from gpts_data.tokenizer.bpe import train_bpe
from gpts_data.tokenizer.encode import Encoder
from gpts_data.tokenizer.untrusted import check_untrusted

ASSEMBLED_PER_SECOND = 50e6  # tokens that cut and assemble write in a second (benchmarks/README.md)
TRAINED_PER_SECOND = 25e6  # bytes of text that training the tokenizer takes in a second
START_SECONDS = 2.5  # for a process to start: imports, compiled kernels, tables; measured with a build of 7 MB
SURVEYED = 2.0  # how much text is listed, as a multiple of what a build reads when nothing is dropped
COUNTED_UNITS = 4  # units whose download is counted exactly


@dataclass(frozen=True)
class SourceEstimate:
    """The estimate for one source."""

    windows: int
    """Windows that the mix takes of the source."""
    tokens: int
    """Tokens in these windows."""
    documents_estimate: int
    """Documents in these windows."""
    available_tokens: int
    """Tokens that cleaning and deduplication leave of all its files."""
    available_interval: tuple[int, int]
    """95% interval of `available_tokens`."""
    epochs: float
    """How often the source is repeated; below 1, the part of it that is used."""
    units: int
    """Units that the build reads."""
    read_bytes: int
    """Bytes of text in these units."""
    read_documents: int
    """Documents in these units."""
    kept_share: float
    """Share of the documents read that the filters keep, duplicates among them."""
    duplicate_share: float
    """Share of the kept documents that are duplicates."""
    download_bytes: int
    """Bytes to download from the hub; only the columns in use are."""
    requests: int
    """Requests to the hub."""


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
    """Memory of all processes together at the peak."""
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
    tokenizer_artifact = check_untrusted(tokenizer) if tokenizer else None
    with tempfile.TemporaryDirectory(prefix="gpts-data-") as scratch:
        fetch_options = FetchOptions(Path(scratch) / "spool", retry_policy)
        samples = [_sample(recipe, i, recipe_folder, fetch_options, progress) for i in range(len(recipe.source))]
        encoder = (
            Encoder(tokenizer_artifact.folder)
            if tokenizer_artifact
            else _train(recipe, samples, Path(scratch) / "tokenizer")
        )
        rates = [SourceRate(recipe, sample, encoder) for sample in samples]
        _refuse_short_sources(recipe, rates)
        sources = [_source(recipe, i, sample, rates[i], fetch_options) for i, sample in enumerate(samples)]
    cpu_seconds = sum(source.read_bytes * rate.seconds for source, rate in zip(sources, rates, strict=True))
    cpu_seconds += sum(recipe.windows) * recipe.window / ASSEMBLED_PER_SECOND
    cpu_seconds += 0 if tokenizer_artifact else _training_seconds(recipe, rates)
    text_tokens = sum(min(source.tokens, source.available_tokens) for source in sources)
    resources, disk = estimate_resources(recipe, workers, text_tokens), disk_by_stage(recipe, text_tokens)
    return Estimate(
        windows=sum(recipe.windows),
        sources=dict(zip(recipe.names, sources, strict=True)),
        disk_bytes=sum(disk.values()),
        disk=disk,
        memory_bytes=resources.memory_bytes,
        dedup_bytes=resources.index_bytes,
        cpu_seconds=cpu_seconds + START_SECONDS * workers,
        seconds=cpu_seconds / workers + START_SECONDS,
        workers=workers,
    )


def _training_seconds(recipe: Recipe, rates: Sequence[SourceRate]) -> float:
    """Processor time for the tokenizer: cleaning its sample, which is drawn by weight, and training on it."""
    weights = [source.weight for source in recipe.source]
    cleaning = sum(rate.seconds / rate.kept_bytes * weight for rate, weight in zip(rates, weights, strict=True))
    return recipe.tokenizer.sample * (cleaning / sum(weights) + 1 / TRAINED_PER_SECOND)


def _sample(recipe: Recipe, number: int, folder: Path, fetch_options: FetchOptions, progress: Progress) -> SourceSample:
    source: RecipeSource = recipe.source[number]
    listing = list_files(source, folder, fetch_options)
    for file in [file for file in listing.files if file.size][:1]:
        check_columns(source, file, fetch_options)
    needed = recipe.windows[number] * recipe.window
    return sample_source(recipe, source, listing, int(needed * MARGIN / FIRST_RATE * SURVEYED), fetch_options, progress)


def _train(recipe: Recipe, samples: Sequence[SourceSample], folder: Path) -> Encoder:
    """A tokenizer trained on the sample; its tokens are as long as those of the build's tokenizer, within 1%."""
    texts = [text.to_pylist() for sample in samples for piece in sample.pieces for text in piece.texts]
    trained = train_bpe(texts, recipe.tokenizer.vocab_size, recipe.tokenizer.special)
    artifact.save(trained.to_str(), folder, recipe.window)
    return Encoder(folder)


def _refuse_short_sources(recipe: Recipe, rates: Sequence[SourceRate]) -> None:
    """Raise one `ShortSourceError` for all sources that cannot fill their share at the upper end of their interval."""
    errors = []
    for source, windows, rate in zip(recipe.source, recipe.windows, rates, strict=True):
        tokens, (low, high) = windows * recipe.window, rate.interval
        if int(high) // recipe.window * source.max_epochs < windows:  # an epoch has whole windows only
            found = f"an estimated {rate.available:,.0f} ({low:,.0f} to {high:,.0f}) after cleaning and deduplication"
            epochs = -(-tokens // max(int(rate.available), 1))
            errors.append(str(too_short(source, tokens, f"{found} of all its files", epochs)))
    if errors:
        raise ShortSourceError("\n".join(errors))


def _source(
    recipe: Recipe, number: int, sample: SourceSample, rate: SourceRate, fetch_options: FetchOptions
) -> SourceEstimate:
    windows, source = recipe.windows[number], recipe.source[number]
    tokens = windows * recipe.window
    available = int(rate.available)
    units = _units_read(sample, tokens, rate)
    read_documents = sum(sample.documents_per_byte(sample.pieces_near(unit)) * unit.text_bytes for unit in units)
    costs = [fetch_cost(source, unit, fetch_options) for unit in units[:COUNTED_UNITS]]
    scale = len(units) / max(len(costs), 1)
    return SourceEstimate(
        windows=windows,
        tokens=tokens,
        documents_estimate=rate.documents(units, tokens),
        available_tokens=available,
        available_interval=(int(rate.interval[0]), int(rate.interval[1])),
        epochs=tokens / max(available, 1),
        units=len(units),
        read_bytes=round(sum(unit.text_bytes for unit in units) * sample.bytes_scale),
        read_documents=round(read_documents),
        kept_share=rate.kept,
        duplicate_share=rate.duplicates,
        download_bytes=round(sum(n_bytes for n_bytes, _ in costs) * scale),
        requests=round(sum(n_requests for _, n_requests in costs) * scale),
    )


def _units_read(sample: SourceSample, needed: int, rate: SourceRate) -> list[Unit]:
    """The units that the rounds of a build would read (`SourceUnits.take`), if each yields what its pieces suggest."""
    units: list[Unit] = []
    tokens, tokens_per_byte = 0.0, FIRST_RATE
    while tokens < needed and len(units) < len(sample.units):
        expected = 0.0
        while expected < (needed - tokens) * MARGIN and len(units) < len(sample.units):
            units.append(sample.units[len(units)])
            expected += units[-1].text_bytes * tokens_per_byte
        tokens = sum(unit.text_bytes * rate.tokens_per_byte(sample.pieces_near(unit)) for unit in units)
        tokens_per_byte = max(tokens / max(sum(unit.text_bytes for unit in units), 1), 1e-3)
    return units
