"""What a build would read and use of one source."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from gpts_data.mixer.plan import too_short
from gpts_data.mixer.planning.source_rate import SourceRate
from gpts_data.mixer.stages.dedup import OVER_BUDGET_REASON
from gpts_data.mixer.stages.large_losses import first_advice
from gpts_data.mixer.stages.rounds import FIRST_RATE, MARGIN
from gpts_data.pipelines.errors import ShortSourceError
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.readers.reader import fetch_cost
from gpts_data.pipelines.readers.source import Unit
from gpts_data.pipelines.text.personal_data import PersonalData

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
    """95% interval of `available_tokens`; both ends are the same when all sources were read whole. Duplicates too rare
    to be in the sample are not in it, nor what `[exclude]` and `[decontaminate]` drop."""
    epochs: float
    """How often the source is repeated; below 1, the part of it that is used."""
    files_read: int
    """Files that the build reads from."""
    files_total: int
    """Files of the source, without those of zero bytes."""
    units: int
    """Units that the build reads."""
    read_bytes: int
    """Bytes of text in these units."""
    read_documents: int
    """Documents in these units."""
    dropped: dict[str, int]
    """Documents of these that are dropped, by reason, `over_budget` included. Contamination is not estimated."""
    kept_share: float
    """Share of the documents read that the filters keep, duplicates among them."""
    duplicate_share: float
    """Share of the kept documents that are duplicates, of their own source or of an earlier one."""
    duplicate_interval: tuple[float, float]
    """95% interval of the share of duplicates within the whole source; (0, 1) when the sample cannot tell."""
    sampled_share: float
    """Share of the source that was read for this estimate."""
    download_bytes: int
    """Bytes to download from the hub; only the columns in use are."""
    requests: int
    """Requests to the hub."""
    personal_data: PersonalData
    """E-mail addresses and card numbers in the part of the sample that the filters keep."""


def estimate_source(rate: SourceRate, windows: int, fetch_options: FetchOptions) -> SourceEstimate:
    """The estimate for a source of which the mix takes so many windows."""
    tokens = windows * rate.sample.recipe.window
    units = _units_read(rate, tokens)
    flow = _Flow(rate, units, tokens)
    source = rate.sample.source
    counted = [unit for unit in units if rate.sample.sizes.is_known(unit)][:COUNTED_UNITS]
    costs = [fetch_cost(source, unit, fetch_options) for unit in counted]
    scale = sum(unit.text_bytes for unit in units) / max(sum(unit.text_bytes for unit in counted), 1)
    low, high = rate.interval
    return SourceEstimate(
        windows=windows,
        tokens=tokens,
        documents_estimate=round(flow.mixed),
        available_tokens=int(rate.available),
        available_interval=(int(low), int(high)),
        epochs=tokens / max(int(rate.available), 1),
        files_read=len({file.name for unit in units for file in unit.file.single_files}),
        files_total=sum(file.size > 0 for file in rate.sample.listing.single_files),
        units=len(units),
        read_bytes=round(sum(unit.text_bytes for unit in units) * rate.sample.bytes_scale),
        read_documents=round(flow.read),
        dropped=flow.dropped(),
        kept_share=flow.kept / max(flow.read, 1),
        duplicate_share=flow.duplicates / max(flow.judged, 1e-9),
        duplicate_interval=rate.duplicate_interval(),
        sampled_share=rate.sample.sampled,
        download_bytes=round(sum(n_bytes for n_bytes, _ in costs) * scale),
        requests=round(sum(n_requests for _, n_requests in costs) * scale),
        personal_data=rate.personal_data,
    )


def short_source(rate: SourceRate, windows: int) -> ShortSourceError | None:
    """The error for a source that cannot fill its share even at the upper end of its interval."""
    recipe, source, (low, high) = rate.sample.recipe, rate.sample.source, rate.interval
    if int(high) // recipe.window * source.max_epochs >= windows:  # an epoch has whole windows only
        return None
    found = f"an estimated {rate.available:,.0f} ({low:,.0f} to {high:,.0f})" if low < high else f"{high:,.0f}"
    tokens = windows * recipe.window
    pieces = rate.sample.pieces
    dropped = sum((piece.dropped for piece in pieces), Counter[str]())
    advice = first_advice(sum(piece.read for piece in pieces), dropped, recipe.cleaning(source))
    found += " after cleaning and deduplication of all its files"
    return too_short(source, tokens, found, -(-tokens // max(int(rate.available), 1)), advice)


class _Flow:
    """Documents of a source on their way through the build."""

    read: float
    """In the units that the build reads."""
    kept: float
    """Of these, kept by the filters."""
    judged: float
    """Of the kept ones, those that come before the budget is filled."""
    duplicates: float
    """Of these, dropped as duplicates."""
    mixed: float
    """Documents in the mix, without held-out ones."""

    def __init__(self, rate: SourceRate, units: list[Unit], tokens: int) -> None:
        parts = _PartsRead(rate)
        for unit in units:
            parts.add(unit)
        self.read = self.kept = self.judged = 0.0
        self._dropped, self._repeated = Counter[str](), Counter[str]()
        missing = float(tokens)
        for unit in units:
            rates = rate.of_unit(unit, *parts.of(unit))
            yielded = unit.text_bytes * rates.tokens * (1 - rate.shared.tokens)
            used = min(missing / max(yielded, 1e-9), 1.0)
            missing = max(missing - yielded, 0.0)
            judged, duplicates = rate.judged(unit, rates, used)
            unique = judged - sum(duplicates.values())
            self.read += unit.text_bytes * rates.documents
            self.kept += unit.text_bytes * rates.kept
            self.judged += judged
            self._dropped.update({reason: unit.text_bytes * share for reason, share in rates.dropped.items()})
            self._repeated.update(duplicates)
            self._repeated.update({reason: unique * share for reason, share in rate.shared.documents.items()})
        self.duplicates = self._repeated.total()
        self.mixed = (self.judged - self.duplicates) * (1 - rate.sample.recipe.validation.fraction)

    def dropped(self) -> dict[str, int]:
        """Dropped documents by reason."""
        counts = self._dropped + self._repeated + Counter({OVER_BUDGET_REASON: self.kept - self.judged})
        return {reason: round(count) for reason, count in sorted(counts.items()) if round(count)}


class _PartsRead:
    """Which parts of a source and of its files have been read."""

    def __init__(self, rate: SourceRate) -> None:
        self._sizes = rate.sample.sizes
        self._whole = max(rate.sample.stated_bytes, 1)
        self._by_file = Counter[str]()
        self._total = 0

    def add(self, unit: Unit) -> None:
        """Count a unit as read."""
        self._by_file[unit.file.name] += unit.text_bytes
        self._total += unit.text_bytes

    def of(self, unit: Unit) -> tuple[float, float]:
        """The parts of the unit's file and of the source."""
        file_bytes = max(self._sizes.text_bytes([unit.file]), 1)
        return min(self._by_file[unit.file.name] / file_bytes, 1.0), min(self._total / self._whole, 1.0)


def _units_read(rate: SourceRate, needed: int) -> list[Unit]:
    """The units that the rounds of a build would read (`SourceUnits.take`), if each yields what its pieces suggest."""
    part = min(needed / max(rate.available, 1), 1.0)
    parts = _PartsRead(rate)
    drawn = rate.sample.draw()
    units: list[Unit] = []
    tokens, text_bytes, tokens_per_byte, n_before = 0.0, 0, FIRST_RATE, -1
    while tokens < needed and len(units) > n_before:
        n_before, expected, missing = len(units), 0.0, (needed - tokens) * MARGIN
        while expected < missing and (unit := next(drawn, None)):
            units.append(unit)
            expected += unit.text_bytes * tokens_per_byte
            parts.add(unit)
            part_of_file, _ = parts.of(unit)
            tokens += unit.text_bytes * rate.of_unit(unit, part_of_file, part).tokens * (1 - rate.shared.tokens)
            text_bytes += unit.text_bytes
        tokens_per_byte = max(tokens / max(text_bytes, 1), 1e-3)
    return units
