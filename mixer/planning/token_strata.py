"""Training tokens of a source before deduplication, estimated from its sample file by file.

Files differ in what filters keep and in the tokens of a byte, and a sample does not have the same share of each: it
takes as much from a row group of 10 MB as from one of 1 MB. So each file of which the sample has enough counts by its
size; all pieces together stand for the other files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.planning.source_sample import SourceSample, Stratum

RESAMPLES = 1000  # of the bootstrap
INTERVAL = (2.5, 97.5)  # percentiles
FEW_PIECES = 8  # with fewer, runs of documents are resampled instead of pieces

Rows = NDArray[np.float64]
"""Bytes read and training tokens of each piece or run of documents, shape (pieces or runs, 2)."""


class TokenStrata:
    """The strata of a sample with their training tokens."""

    def __init__(self, sample: SourceSample, training_tokens: NDArray[np.float64]) -> None:
        """training_tokens: of each document of the sample that the filters keep."""
        ends = np.cumsum([0, *(piece.kept for piece in sample.pieces)])
        sums = np.concatenate([[0.0], np.cumsum(training_tokens)])[ends]
        self.of_pieces: NDArray[np.float64] = np.diff(sums)
        """Training tokens of each piece."""
        self._sample = sample
        self._strata = [(stratum, self._rows(stratum.pieces)) for stratum in sample.strata]

    def tokens(self) -> float:
        """The training tokens of the source."""
        return self._tokens(lambda rows: rows)

    def interval(self) -> tuple[float, float]:
        """95% interval of `tokens()`."""
        rng = np.random.default_rng(0)
        resamples = [self._tokens(lambda rows: rng.choice(rows, len(rows))) for _ in range(RESAMPLES)]
        low, high = np.percentile(resamples, INTERVAL).tolist()
        return low, high

    def _tokens(self, draw: Callable[[Rows], Rows]) -> float:
        return sum(_tokens(stratum, rows, draw) for stratum, rows in self._strata) * self._sample.bytes_scale

    def _rows(self, pieces: Sequence[int]) -> Rows:
        """Return what the bootstrap resamples: pieces, or runs of documents where there are few pieces."""
        chosen = [(self._sample.pieces[i], self.of_pieces[i]) for i in pieces if self._sample.pieces[i].runs]
        if len(chosen) >= FEW_PIECES:
            rows = [(piece.text_bytes, tokens) for piece, tokens in chosen]
        else:
            rows = [
                (read, tokens * kept / max(piece.kept_bytes, 1))
                for piece, tokens in chosen
                for read, kept in piece.runs
            ]
        return np.array(rows or [(1, 0)], dtype=np.float64)


def _tokens(stratum: Stratum, rows: Rows, draw: Callable[[Rows], Rows]) -> float:
    """Training tokens of a stratum by the rows that are drawn.

    What is in the sample is certain, so only the rest of the stratum varies: finite population correction.
    """
    rate, drawn = _rate(rows), _rate(draw(rows))
    return stratum.text_bytes * (rate + (drawn - rate) * sqrt(1 - stratum.sampled))


def _rate(rows: Rows) -> float:
    read, tokens = rows.sum(axis=0).tolist()
    return tokens / read if read else 0.0
