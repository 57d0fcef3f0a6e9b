"""What a byte of a source's text yields and costs: documents, training tokens, seconds. Measured on its sample.

The interval of the tokens is a bootstrap over the pieces of the sample, and over the repeats that were found in it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.mixer.planning.repeats import find_repeats
from gpts_data.mixer.planning.sample_texts import similarity_test
from gpts_data.mixer.planning.source_repeats import TOGETHER, SourceRepeats
from gpts_data.mixer.planning.source_sample import SourceSample
from gpts_data.pipelines.readers.source import SourceFile
from gpts_data.pipelines.text.personal_data import PersonalData, count_card_numbers, count_emails
from gpts_data.tokenizer.encode import Encoder

RESAMPLES = 1000  # of the bootstrap
INTERVAL = (2.5, 97.5)  # percentiles
TOKENIZER_ERROR = 0.01  # of the length of tokens, where the sample trained the tokenizer


@dataclass(frozen=True)
class FileRates:
    """What a stated byte of a file's units holds."""

    tokens: float
    """Training tokens before deduplication."""
    documents: float
    """Documents before cleaning."""
    kept: float
    """Documents that the filters keep."""
    dropped: dict[str, float]
    """Damaged documents and those that the filters drop, by reason."""


class SourceRate:
    """The rates of one source, from its sample."""

    def __init__(self, sample: SourceSample, encoder: Encoder, *, given: bool) -> None:
        """`given`: the encoder is that of the build, not one that was trained on the sample."""
        self.sample, self._given = sample, given
        self.repeated_elsewhere: dict[str, float] = {}
        """Share of the documents that repeat one of an earlier source in the mix, by reason; set when that is known."""
        texts = [text for piece in sample.pieces for text in piece.texts]
        began = time.process_time()
        _, tokens = encoder.encode(pa.concat_arrays(texts or [pa.array([], pa.string())]))
        seconds = time.process_time() - began
        self._tokens = tokens.astype(np.float64)
        self._rates: dict[str, FileRates] = {}
        self.texts = pa.chunked_array(texts, pa.string())
        similar = similarity_test(sample.recipe, texts)
        self.keys = [np.concatenate(piece.keys) for piece in sample.pieces if piece.keys]
        groups = [
            piece.file if piece.file in sample.sampled_files else TOGETHER for piece in sample.pieces if piece.keys
        ]
        self.sightings = find_repeats(self.keys, sample.recipe.dedup.n_keys, groups, similar)
        self.repeats = SourceRepeats(
            self.sightings,
            sample.sampled,
            sample.sampled_files,
            all_files=len(sample.sampled_files) == len(sample.listing.files),
        )
        self.seconds = self._cleaning_seconds() + seconds / max(sample.sample_bytes, 1)

    @cached_property
    def kept(self) -> float:
        """Share of the documents that the filters keep."""
        return len(self._tokens) / max(self._read, 1)

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
        return self._kept_tokens(lambda rows: rows) * self._lasting(self.repeats.share())

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95% interval of `available`. Repeats too rare to be in the sample twice are not in it."""
        rng = np.random.default_rng(0)
        middle = self._kept_tokens(lambda rows: rows)
        resamples = [self._kept_tokens(lambda rows: rng.choice(rows, len(rows))) for _ in range(RESAMPLES)]
        low, high = np.percentile(resamples, INTERVAL).tolist()
        unseen = sqrt(1 - self.sample.sampled)  # what is in the sample is certain: finite population correction
        error = 0 if self._given else TOKENIZER_ERROR
        few, many = self.duplicate_interval(seen_only=True)
        low = (middle - (middle - low) * unseen) * (1 - error) * self._lasting(many)
        return low, (middle + (high - middle) * unseen) * (1 + error) * self._lasting(few)

    def duplicate_interval(self, *, seen_only: bool = False) -> tuple[float, float]:
        """95% interval of the share of duplicates within the source; `seen_only` leaves out what cannot be seen."""
        return self.repeats.interval(unseen=not seen_only)

    def lasting(self, file: SourceFile, part_of_file: float, part: float) -> float:
        """Share of a file's kept documents that deduplication leaves when these parts of file and source are read."""
        return self._lasting(self.repeats.share_of_file(file.name, part_of_file, part))

    def duplicates(self, file: SourceFile, part_of_file: float, part: float) -> dict[str, float]:
        """Duplicates by reason, as shares of the file's kept documents, when these parts are read."""
        within = self.repeats.share_of_file(file.name, part_of_file, part)
        seen = max(sum(self.sightings.reasons.values()), 1)
        shares = Counter({reason: within * count / seen for reason, count in self.sightings.reasons.items() if count})
        shares.update({reason: (1 - within) * share for reason, share in self.repeated_elsewhere.items()})
        return dict(shares)

    def of_file(self, file: SourceFile) -> FileRates:
        """The rates of a file, from its own pieces if they are a fair sample of it, else from all."""
        chosen = self.sample.pieces_near(file)
        key = file.name if len(chosen) < len(self.sample.pieces) else ""
        if key not in self._rates:
            pieces = [self.sample.pieces[i] for i in chosen]
            scale = self.sample.bytes_scale / max(sum(piece.text_bytes for piece in pieces), 1)
            tokens = sum(piece.kept_bytes for piece in pieces) * self._tokens_per_kept_byte
            documents, kept = sum(piece.read for piece in pieces), sum(piece.kept for piece in pieces)
            reasons = sum((piece.dropped for piece in pieces), Counter[str]())
            dropped = {reason: count * scale for reason, count in reasons.items()}
            self._rates[key] = FileRates(tokens * scale, documents * scale, kept * scale, dropped)
        return self._rates[key]

    @cached_property
    def _read(self) -> int:
        return sum(piece.read for piece in self.sample.pieces)

    @cached_property
    def _kept_bytes(self) -> int:
        return sum(piece.kept_bytes for piece in self.sample.pieces)

    @property
    def _training_share(self) -> float:
        return 1 - self.sample.recipe.validation.fraction

    def _lasting(self, duplicates: float) -> float:
        """Share of the kept tokens that deduplication leaves."""
        return (1 - duplicates) * (1 - sum(self.repeated_elsewhere.values()))

    @cached_property
    def _tokens_per_kept_byte(self) -> float:
        return float(self._tokens.sum()) / max(self._kept_bytes, 1) * self._training_share

    @cached_property
    def _strata(self) -> list[tuple[float, NDArray[np.int64]]]:
        return [(stratum.text_bytes, self.sample.bootstrap_rows(stratum.pieces)) for stratum in self.sample.strata]

    def _kept_tokens(self, draw: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> float:
        """Training tokens before deduplication, by the rows that `draw` takes of each stratum's."""
        kept_bytes = 0.0
        for n_bytes, rows in self._strata:
            read, kept = draw(rows).sum(axis=0).tolist()
            kept_bytes += n_bytes * kept / max(read, 1)
        return kept_bytes * self.sample.bytes_scale * self._tokens_per_kept_byte

    def _cleaning_seconds(self) -> float:
        """For a byte of text. The first piece is left out, because this process loads modules and tables in it."""
        pieces = self.sample.pieces[1:] or self.sample.pieces
        cleaning = sum(piece.cleaning for piece in pieces) / max(sum(piece.text_bytes for piece in pieces), 1)
        parts = self.sample.parts[1:] or self.sample.parts
        return cleaning + sum(part.reading for part in parts) / max(sum(part.passed_bytes for part in parts), 1)
