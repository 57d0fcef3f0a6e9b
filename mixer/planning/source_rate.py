"""What a byte of a source's text yields and costs: documents, training tokens, seconds. Measured on its sample.

The interval of the tokens is a bootstrap over the pieces of the sample.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.mixer.planning.source_sample import SourceSample
from gpts_data.mixer.recipe import Recipe
from gpts_data.pipelines.readers.source import Unit
from gpts_data.tokenizer.encode import Encoder

RESAMPLES = 1000  # of the bootstrap
INTERVAL = (2.5, 97.5)  # percentiles


class SourceRate:
    """The rates of one source, from its sample."""

    duplicates: float
    """Share of the kept documents that are duplicates."""
    kept: float
    """Share of the documents that the filters keep."""
    kept_bytes: float
    """Share of the bytes that the filters keep."""
    available: float
    """Training tokens of the whole source."""
    interval: tuple[float, float]
    """95% interval of `available`."""
    seconds: float
    """Processor time for a byte of text."""

    def __init__(self, recipe: Recipe, sample: SourceSample, encoder: Encoder) -> None:
        self._sample = sample
        self._strata = [(n_bytes, sample.bootstrap_rows(pieces)) for n_bytes, pieces in sample.strata]
        texts = [text for piece in sample.pieces for text in piece.texts] or [pa.array([], pa.string())]
        began = time.process_time()
        _, tokens = encoder.encode(pa.concat_arrays(texts))
        seconds = time.process_time() - began
        kept_bytes = max(sum(piece.kept_bytes for piece in sample.pieces), 1)
        is_duplicate = sample.duplicates(recipe)
        self.duplicates = float(is_duplicate.mean()) if len(is_duplicate) else 0.0
        self.kept = len(tokens) / max(sum(piece.read for piece in sample.pieces), 1)
        self.kept_bytes = kept_bytes / max(sample.sample_bytes, 1)
        unique_tokens = int(tokens[~is_duplicate].sum())
        self._tokens_per_kept_byte = unique_tokens / kept_bytes * (1 - recipe.validation.fraction)
        self.available = self._available(lambda rows: rows)
        self._tokens = np.split(tokens.astype(np.float64), np.cumsum([piece.kept for piece in sample.pieces])[:-1])
        self.interval = self._bootstrap()
        self.seconds = self._cleaning_seconds() + seconds / max(sample.sample_bytes, 1)

    def tokens_per_byte(self, pieces: Sequence[int]) -> float:
        """Training tokens for each byte in a unit's stated size, judged by these pieces."""
        return self._sample.bytes_scale * self._sample.kept_share(pieces) * self._tokens_per_kept_byte

    def documents(self, units: Sequence[Unit], needed: int) -> int:
        """How many documents hold `needed` training tokens, taken in the order of the units."""
        tokens = documents = 0.0
        for unit in units:
            pieces = self._sample.pieces_near(unit)
            sampled_bytes = sum(self._sample.pieces[i].text_bytes for i in pieces)
            scale = self._sample.bytes_scale * unit.text_bytes / max(sampled_bytes, 1) * (1 - self.duplicates)
            ends = tokens + np.cumsum(np.concatenate([self._tokens[i] for i in pieces])) * scale
            documents += int(np.searchsorted(ends, needed)) * scale
            tokens = float(ends[-1]) if len(ends) else tokens
            if tokens >= needed:
                break
        return round(documents)

    def _available(self, draw: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> float:
        """Training tokens of the whole source, by the rows that `draw` takes of each stratum's."""
        kept_bytes = 0.0
        for n_bytes, rows in self._strata:
            read, kept = draw(rows).sum(axis=0).tolist()
            kept_bytes += n_bytes * kept / max(read, 1)
        return kept_bytes * self._sample.bytes_scale * self._tokens_per_kept_byte

    def _bootstrap(self) -> tuple[float, float]:
        rng = np.random.default_rng(0)
        resamples = [self._available(lambda rows: rng.choice(rows, len(rows))) for _ in range(RESAMPLES)]
        low, high = np.percentile(resamples, INTERVAL)
        return float(low), float(high)

    def _cleaning_seconds(self) -> float:
        """For a byte of text. The first piece is left out, because this process loads modules and tables in it."""
        pieces = self._sample.pieces[1:] or self._sample.pieces
        cleaning = sum(piece.cleaning for piece in pieces) / max(sum(piece.text_bytes for piece in pieces), 1)
        return cleaning + sum(piece.reading for piece in pieces) / max(sum(piece.passed_bytes for piece in pieces), 1)
