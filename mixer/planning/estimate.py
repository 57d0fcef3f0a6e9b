"""PLAN: what a build would read, need and take, estimated before anything is done.

Tokens come from a survey of each source (source_sample.py): what the filters keep of a byte of text, the tokens of a
byte, the repeats within the sample. The interval is a bootstrap over the pieces. Units are then taken by the rule that
the rounds of a build take them by, at that rate.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.mixer.plan import too_short
from gpts_data.mixer.planning.resources import disk_by_stage, estimate_resources
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

DRAWS = 1000
INTERVAL = (2.5, 97.5)
ASSEMBLED = 50e6  # tokens a second of cut and assemble (benchmarks/README.md)
LEARNT = 25e6  # bytes of sample a second
START_SECONDS = 2.5  # of a process: imports, compiled kernels, tables; a build of 7 MB takes that long
SPARE = 2.0  # text looked at, as a multiple of what a build reads where nothing is dropped
LOOKED_AT = 4  # units whose fetched bytes are counted


@dataclass(frozen=True)
class SourceEstimate:
    """Of one source."""

    windows: int
    """In the mix."""
    tokens: int
    """The same in tokens."""
    documents_estimate: int
    """In the mix."""
    available_tokens: int
    """After cleaning and dedup of all its files."""
    available_interval: tuple[int, int]
    """Of that, 95%."""
    epochs: float
    """Passes over all there is; below 1, the part of it that is used."""
    units: int
    """That are read."""
    read_bytes: int
    """Of text."""
    read_documents: int
    """That are read."""
    kept_share: float
    """Of the documents read, by the filters; repeats count as kept."""
    duplicate_share: float
    """Of those."""
    download_bytes: int
    """From the hub: of the columns in use."""
    requests: int
    """To the hub."""


@dataclass(frozen=True)
class Estimate:
    """Of a build."""

    windows: int
    """Of the mix."""
    sources: dict[str, SourceEstimate]
    """By name."""
    disk_bytes: int
    """At the peak."""
    disk: dict[str, int]
    """The same by stage."""
    memory_bytes: int
    """At the peak, of all processes."""
    dedup_bytes: int
    """The part of `memory_bytes` that grows with the documents."""
    cpu_seconds: float
    """Of all workers together."""
    seconds: float
    """By the clock, with so many `workers`."""
    workers: int
    """Processes on one machine."""


def estimate(
    recipe: Recipe,
    recipe_folder: Path,
    *,
    workers: int = 1,
    tokenizer: AnyPath | None = None,
    retry_policy: RetryPolicy = RetryPolicy(),
    progress: Progress = lambda *_: None,
) -> Estimate:
    """What building `recipe` would take. Reads footers and a sample of each source; writes nothing.

    Raises `ShortSourceError` when sources cannot fill their shares even at the upper ends of their intervals, with what
    would do; the errors of listing and reading sources.
    """
    given = check_untrusted(tokenizer) if tokenizer else None
    with tempfile.TemporaryDirectory(prefix="gpts-data-") as scratch:
        fetch_options = FetchOptions(Path(scratch) / "spool", retry_policy)
        found = [_survey(recipe, i, recipe_folder, fetch_options, progress) for i in range(len(recipe.source))]
        coder = Encoder(given.folder) if given else _learnt(recipe, found, Path(scratch) / "tokenizer")
        rates = [_Rate(recipe, seen, coder) for seen in found]
        _refuse_short(recipe, rates)
        estimates = [_source(recipe, i, seen, rates[i], fetch_options) for i, seen in enumerate(found)]
    cpu = sum(one.read_bytes * rate.seconds for one, rate in zip(estimates, rates, strict=True))
    cpu += sum(recipe.windows) * recipe.window / ASSEMBLED + (0 if given else _learning(recipe, rates))
    once = sum(min(one.tokens, one.available_tokens) for one in estimates)
    wanted, disk = estimate_resources(recipe, workers, once), disk_by_stage(recipe, once)
    return Estimate(
        sum(recipe.windows),
        dict(zip(recipe.names, estimates, strict=True)),
        sum(disk.values()),
        disk,
        wanted.memory_bytes,
        wanted.index_bytes,
        cpu + START_SECONDS * workers,
        cpu / workers + START_SECONDS,
        workers,
    )


def _learning(recipe: Recipe, rates: Sequence[_Rate]) -> float:
    """Seconds to clean the tokenizer's sample, which comes from the sources by weight, and to learn from it."""
    weights = [source.weight for source in recipe.source]
    cleaning = sum(rate.seconds / rate.left * weight for rate, weight in zip(rates, weights, strict=True))
    return recipe.tokenizer.sample * (cleaning / sum(weights) + 1 / LEARNT)


class _Rate:
    """What a byte of a source's text gives and costs: documents, training tokens, seconds."""

    def __init__(self, recipe: Recipe, seen: SourceSample, coder: Encoder) -> None:
        self._seen = seen
        self._strata = [(n_bytes, seen.bootstrap_rows(pieces)) for n_bytes, pieces in seen.strata]
        texts = pa.concat_arrays([text for piece in seen.pieces for text in piece.texts] or [pa.array([], pa.string())])
        began = time.process_time()
        _, counts = coder.encode(texts)
        seconds = time.process_time() - began
        kept_bytes = max(sum(piece.kept_bytes for piece in seen.pieces), 1)
        read = sum(piece.read for piece in seen.pieces)
        repeats = seen.duplicates(recipe)
        self.duplicates = float(repeats.mean()) if len(repeats) else 0.0
        once = int(counts[~repeats].sum())
        self.kept = len(counts) / max(read, 1)
        self.left = kept_bytes / max(seen.sample_bytes, 1)
        self._of_kept = once / kept_bytes * (1 - recipe.validation.fraction)
        self.available = self._available(lambda draws: draws)
        self._counts = np.split(counts.astype(np.float64), np.cumsum([piece.kept for piece in seen.pieces])[:-1])
        self.interval = self._bootstrap()
        self.seconds = self._processor(seen) + seconds / max(seen.sample_bytes, 1)

    def of(self, pieces: Sequence[int]) -> float:
        """Training tokens of a byte that a unit says it has, in these pieces."""
        return self._seen.bytes_scale * self._seen.kept_share(pieces) * self._of_kept

    def documents(self, units: Sequence[Unit], needed: int) -> int:
        """How many documents hold so many training tokens, in the order of the units."""
        have = found = 0.0
        for unit in units:
            pieces = self._seen.pieces_near(unit)
            scale = (
                self._seen.bytes_scale * unit.text_bytes / max(sum(self._seen.pieces[i].text_bytes for i in pieces), 1)
            )
            share = scale * (1 - self.duplicates)
            ends = have + np.cumsum(np.concatenate([self._counts[i] for i in pieces])) * share
            found += int(np.searchsorted(ends, needed)) * share
            have = float(ends[-1]) if len(ends) else have
            if have >= needed:
                break
        return round(found)

    def _available(self, drawn: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> float:
        """Training tokens of all the text, by what is drawn of each stratum."""
        found = 0.0
        for n_bytes, draws in self._strata:
            read, kept = drawn(draws).sum(axis=0).tolist()
            found += n_bytes * kept / max(read, 1)
        return found * self._seen.bytes_scale * self._of_kept

    def _bootstrap(self) -> tuple[float, float]:
        rng = np.random.default_rng(0)
        found = [self._available(lambda draws: rng.choice(draws, len(draws))) for _ in range(DRAWS)]
        low, high = np.percentile(found, INTERVAL)
        return float(low), float(high)

    def _processor(self, seen: SourceSample) -> float:
        """Without the first piece, in which this process loads what it needs."""
        pieces = seen.pieces[1:] or seen.pieces
        cleaning = sum(piece.cleaning for piece in pieces) / max(sum(piece.text_bytes for piece in pieces), 1)
        return cleaning + sum(piece.reading for piece in pieces) / max(sum(piece.passed_bytes for piece in pieces), 1)


def _survey(recipe: Recipe, number: int, folder: Path, fetch_options: FetchOptions, progress: Progress) -> SourceSample:
    source: RecipeSource = recipe.source[number]
    listing = list_files(source, folder, fetch_options)
    for file in [file for file in listing.files if file.size][:1]:
        check_columns(source, file, fetch_options)
    needed = recipe.windows[number] * recipe.window
    return sample_source(recipe, source, listing, int(needed * MARGIN / FIRST_RATE * SPARE), fetch_options, progress)


def _learnt(recipe: Recipe, found: Sequence[SourceSample], folder: Path) -> Encoder:
    """A tokenizer learnt from the sample: its tokens are as long as the build's, to a percent."""
    texts = [text.to_pylist() for seen in found for piece in seen.pieces for text in piece.texts]
    trained = train_bpe(texts, recipe.tokenizer.vocab_size, recipe.tokenizer.special)
    artifact.save(trained.to_str(), folder, recipe.window)
    return Encoder(folder)


def _refuse_short(recipe: Recipe, rates: Sequence[_Rate]) -> None:
    """Raise `ShortSourceError` that names every source which cannot fill its share at the upper end of its interval."""
    errors = []
    for source, windows, rate in zip(recipe.source, recipe.windows, rates, strict=True):
        tokens, (low, high) = windows * recipe.window, rate.interval
        if int(high) // recipe.window * source.max_epochs < windows:  # a pass has whole windows only
            found = f"an estimated {rate.available:,.0f} ({low:,.0f} to {high:,.0f})"
            passes = -(-tokens // max(int(rate.available), 1))
            errors.append(str(too_short(source, tokens, f"{found} after cleaning and dedup of all its files", passes)))
    if errors:
        raise ShortSourceError("\n".join(errors))


def _source(
    recipe: Recipe, number: int, seen: SourceSample, rate: _Rate, fetch_options: FetchOptions
) -> SourceEstimate:
    windows, source = recipe.windows[number], recipe.source[number]
    tokens = windows * recipe.window
    available, interval = int(rate.available), (int(rate.interval[0]), int(rate.interval[1]))
    units = _taken(seen, tokens, rate)
    read_bytes = round(sum(unit.text_bytes for unit in units) * seen.bytes_scale)
    read = sum(seen.documents_per_byte(seen.pieces_near(unit)) * unit.text_bytes for unit in units)
    fetch = [fetch_cost(source, unit, fetch_options) for unit in units[:LOOKED_AT]]
    scale = len(units) / max(len(fetch), 1)
    return SourceEstimate(
        windows,
        tokens,
        rate.documents(units, tokens),
        available,
        interval,
        tokens / max(available, 1),
        len(units),
        read_bytes,
        round(read),
        rate.kept,
        rate.duplicates,
        round(sum(b for b, _ in fetch) * scale),
        round(sum(n for _, n in fetch) * scale),
    )


def _taken(seen: SourceSample, needed: int, rate: _Rate) -> list[Unit]:
    """The units that the rounds of a build take (rounds.Supply.take), each with the tokens its own pieces promise."""
    taken: list[Unit] = []
    have, expected_rate = 0.0, FIRST_RATE
    while have < needed and len(taken) < len(seen.units):
        expected = 0.0
        while expected < (needed - have) * MARGIN and len(taken) < len(seen.units):
            taken.append(seen.units[len(taken)])
            expected += taken[-1].text_bytes * expected_rate
        have = sum(unit.text_bytes * rate.of(seen.pieces_near(unit)) for unit in taken)
        expected_rate = max(have / max(sum(unit.text_bytes for unit in taken), 1), 1e-3)
    return taken
