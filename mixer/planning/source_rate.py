"""What a byte of a source's text yields and costs: documents, training tokens, seconds. Measured on its sample.

The interval of the tokens is a bootstrap over the pieces of the sample, and over the repeats that were found in it.
Where the sample is the whole source, tokens and documents are counted unit by unit.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.mixer.planning.piece import Piece
from gpts_data.mixer.planning.repeats import find_repeats
from gpts_data.mixer.planning.sample_texts import similarity_test
from gpts_data.mixer.planning.source_repeats import TOGETHER, SourceRepeats
from gpts_data.mixer.planning.source_sample import SourceSample
from gpts_data.mixer.planning.token_strata import TokenStrata
from gpts_data.mixer.stages.dedup import HoldOutRule
from gpts_data.pipelines.dedup.greedy import FIRST_DUPLICATE
from gpts_data.pipelines.readers.source import Unit
from gpts_data.pipelines.text.personal_data import PersonalData, count_card_numbers, count_emails
from gpts_data.tokenizer.encode import Encoder

TOKENIZER_ERROR = 0.01  # of the length of tokens, where the tokenizer was trained on a part of the sources


@dataclass(frozen=True)
class SharedShare:
    """The part of a source that repeats earlier sources in the mix, of what repeats nothing in its own source."""

    documents: dict[str, float]
    """Share of the documents by reason."""
    tokens: float
    """Share of the training tokens."""
    tokens_interval: tuple[float, float]
    """95% interval of `tokens`."""


@dataclass(frozen=True)
class UnitRates:
    """The tokens and documents for each stated byte of a unit."""

    tokens: float
    """Training tokens after deduplication within the source."""
    documents: float
    """Documents before cleaning."""
    kept: float
    """Documents that the filters keep."""
    dropped: dict[str, float]
    """Damaged documents and those that the filters drop, by reason."""
    duplicates: dict[str, float]
    """Documents that repeat one of the same source, by reason."""


class SourceRate:
    """The rates of one source, from its sample."""

    def __init__(self, sample: SourceSample, encoder: Encoder, *, is_exact: bool) -> None:
        """`is_exact`: the encoder is that of the build, not one like it."""
        self.sample, self._is_exact = sample, is_exact
        self.shared = SharedShare({}, 0.0, (0.0, 0.0))
        """The part that repeats earlier sources in the mix; set when that is known."""
        texts = [text for piece in sample.pieces for text in piece.texts]
        began = time.process_time()
        _, tokens = encoder.encode(pa.concat_arrays(texts or [pa.array([], pa.string())]))
        seconds = time.process_time() - began
        self._tokens = tokens
        self.training_tokens = self._without_held_out(tokens)
        """For each document of the sample that the filters keep its tokens, less the share that is held out."""
        self._rates: dict[str, UnitRates] = {}
        self.texts = pa.chunked_array(texts, pa.string())
        similar = similarity_test(sample.recipe, texts)
        self.keys = [np.concatenate(piece.keys) for piece in sample.pieces if piece.keys]
        groups = [
            piece.file if piece.file in sample.sampled_files else TOGETHER for piece in sample.pieces if piece.keys
        ]
        self.sightings = find_repeats(self.keys, sample.recipe.dedup.n_keys, groups, self.training_tokens, similar)
        self._repeated_documents, self._repeated_tokens = (
            SourceRepeats(
                sightings,
                sample.sampled,
                sample.sampled_files,
                all_files=len(sample.sampled_files) == len(sample.listing.files),
            )
            for sightings in (self.sightings.documents, self.sightings.tokens)
        )
        self.seconds = self._cleaning_seconds() + seconds / max(sample.sample_bytes, 1)

    @cached_property
    def kept_bytes(self) -> float:
        """Share of the bytes of text that the filters keep."""
        return self._kept_bytes / max(self.sample.sample_bytes, 1)

    @property
    def personal_data(self) -> PersonalData:
        """E-mail addresses and card numbers in the texts of the sample that the filters keep."""
        return PersonalData(int(self._tokens.sum()), count_emails(self.texts), count_card_numbers(self.texts))

    @property
    def text_bytes(self) -> float:
        """Bytes of text of the whole source that the filters keep."""
        return self.sample.text_bytes * self.kept_bytes

    @property
    def available(self) -> float:
        """Training tokens of the whole source."""
        return self._unique_tokens * (1 - self.shared.tokens)

    @cached_property
    def _unique_tokens(self) -> float:
        """Training tokens of all documents that repeat none of the source."""
        if self.sample.is_whole:
            return float(self.training_tokens[self.sightings.representatives].sum())
        return self._strata.tokens() * (1 - self._repeated_tokens.share())

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of `available`. Repeats too rare to be in the sample twice are not in it."""
        low, high = self._unique_interval
        fewest, most = self.shared.tokens_interval
        return low * (1 - most), high * (1 - fewest)

    @cached_property
    def _unique_interval(self) -> tuple[float, float]:
        error = 0 if self._is_exact else TOKENIZER_ERROR
        if self.sample.is_whole:
            return self._unique_tokens * (1 - error), self._unique_tokens * (1 + error)
        low, high = self._strata.interval()
        few, many = self._repeated_tokens.interval(unseen=False)
        return low * (1 - error) * (1 - many), high * (1 + error) * (1 - few)

    def duplicate_interval(self) -> tuple[float, float]:
        """95% interval of the share of duplicates among the documents of the source."""
        return self._repeated_documents.interval(unseen=True)

    def of_unit(self, unit: Unit, part_of_file: float, part: float) -> UnitRates:
        """The rates of a unit when these parts of its file and of the source are read.

        They are those of the unit itself where the sample is the whole source, else of the pieces of its file if these
        are a fair sample of it, else of all pieces.
        """
        if self.sample.is_whole:
            return self._counted_rates(unit)
        rates = self._sampled_rates(unit)
        repeated = self._repeated_documents.share_of_file(unit.file.name, part_of_file, part) * rates.kept
        unique_tokens = 1 - self._repeated_tokens.share_of_file(unit.file.name, part_of_file, part)
        reasons = self.sightings.reasons()
        seen = max(sum(reasons.values()), 1)
        duplicates = {reason: repeated * count / seen for reason, count in reasons.items()}
        return replace(rates, tokens=rates.tokens * unique_tokens, duplicates=duplicates)

    def judged(self, unit: Unit, rates: UnitRates, used: float) -> tuple[float, dict[str, float]]:
        """Kept documents of a unit that come before the budget is filled with the share `used` of its tokens, and the
        duplicates within the source among them, by reason.

        Counted where the sample is the whole source: a few long documents may have most of the tokens.
        """
        if not self.sample.is_whole:
            documents = unit.text_bytes * used
            return documents * rates.kept, {reason: documents * share for reason, share in rates.duplicates.items()}
        rows = self._rows_of_unit[unit.name]
        is_unique = self.sightings.codes[rows] < FIRST_DUPLICATE
        taken = np.cumsum(np.where(is_unique, self.training_tokens[rows], 0.0))
        n_judged = len(taken) if used >= 1 else int(np.searchsorted(taken, used * taken[-1]) + 1) if used else 0
        duplicates = self.sightings.reasons(slice(rows.start, rows.start + n_judged))
        return n_judged, {reason: float(count) for reason, count in duplicates.items()}

    def _counted_rates(self, unit: Unit) -> UnitRates:
        if unit.name not in self._rates:
            rows = self._rows_of_unit[unit.name]
            is_unique = self.sightings.codes[rows] < FIRST_DUPLICATE
            scale = 1 / max(unit.text_bytes, 1)
            duplicates = {reason: count * scale for reason, count in self.sightings.reasons(rows).items()}
            tokens = float(self.training_tokens[rows][is_unique].sum()) * scale
            self._rates[unit.name] = _rates(self.sample.pieces_of_unit[unit.name], scale, tokens, duplicates)
        return self._rates[unit.name]

    def _sampled_rates(self, unit: Unit) -> UnitRates:
        """The rates without deduplication."""
        chosen = self.sample.pieces_near(unit.file)
        key = unit.file.name if len(chosen) < len(self.sample.pieces) else ""
        if key not in self._rates:
            pieces = [self.sample.pieces[i] for i in chosen]
            scale = self.sample.bytes_scale / max(sum(piece.text_bytes for piece in pieces), 1)
            tokens = float(self._strata.of_pieces[chosen].sum()) * scale
            self._rates[key] = _rates(pieces, scale, tokens, {})
        return self._rates[key]

    @cached_property
    def _rows_of_unit(self) -> dict[str, slice]:
        """The rows of each unit's documents among those that the filters keep."""
        rows, start = {}, 0
        for name, pieces in self.sample.pieces_of_unit.items():
            stop = start + sum(piece.kept for piece in pieces)
            rows[name], start = slice(start, stop), stop
        return rows

    @cached_property
    def _kept_bytes(self) -> int:
        return sum(piece.kept_bytes for piece in self.sample.pieces)

    def _without_held_out(self, tokens: NDArray[np.uint32]) -> NDArray[np.float64]:
        """Tokens without those of held-out documents; of a part of the source, less their expected share.

        The minimum of `[validation]` does not count: a source that is too short for it trains on these documents.
        """
        fraction = self.sample.recipe.validation.fraction
        if not self.sample.is_whole:
            return tokens.astype(np.float64) * (1 - fraction)
        draws = [draws for piece in self.sample.pieces for draws in piece.draws]
        is_held_out = HoldOutRule(fraction).applies(np.concatenate([np.empty(0, np.uint64), *draws]), 0)
        return np.where(is_held_out, 0.0, tokens).astype(np.float64)

    @cached_property
    def _strata(self) -> TokenStrata:
        return TokenStrata(self.sample, self.training_tokens)

    def _cleaning_seconds(self) -> float:
        """For a byte of text. The first piece is left out, because this process loads modules and tables in it."""
        pieces = self.sample.pieces[1:] or self.sample.pieces
        cleaning = sum(piece.cleaning for piece in pieces) / max(sum(piece.text_bytes for piece in pieces), 1)
        parts = self.sample.parts[1:] or self.sample.parts
        return cleaning + sum(part.reading for part in parts) / max(sum(part.passed_bytes for part in parts), 1)


def _rates(pieces: Sequence[Piece], scale: float, tokens: float, duplicates: dict[str, float]) -> UnitRates:
    """The rates of a stated byte. scale: bytes that these pieces stand for, as 1 over their number."""
    reasons = sum((piece.dropped for piece in pieces), Counter[str]())
    return UnitRates(
        tokens=tokens,
        documents=sum(piece.read for piece in pieces) * scale,
        kept=sum(piece.kept for piece in pieces) * scale,
        dropped={reason: count * scale for reason, count in reasons.items()},
        duplicates=duplicates,
    )
