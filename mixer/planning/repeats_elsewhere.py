"""How much of a source repeats an earlier source of the recipe, estimated from the samples of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import sqrt

import numpy as np
import pyarrow as pa

from gpts_data.mixer.planning.repeats import judge
from gpts_data.mixer.planning.sample_texts import similarity_test
from gpts_data.mixer.planning.source_rate import SharedShare, SourceRate
from gpts_data.pipelines.dedup.greedy import FIRST_DUPLICATE
from gpts_data.pipelines.dedup.signatures import REASONS

LAST = 0.02  # of the documents in the mix, those of which it is uncertain whether they are in it


class RepeatsElsewhere:
    """Matches between the samples of all sources. Documents that repeat one of their own source are left out."""

    def __init__(self, rates: Sequence[SourceRate]) -> None:
        recipe = rates[0].sample.recipe
        chosen = [rate.sightings.representatives for rate in rates]
        self._counts = np.array([len(ordinals) for ordinals in chosen])
        self._is_whole = np.array([rate.sample.is_whole for rate in rates])
        keys = [np.empty((0, recipe.dedup.n_keys), np.uint64)]
        texts: list[pa.Array] = []
        for rate, ordinals in zip(rates, chosen, strict=True):
            keys.append(np.concatenate([keys[0], *rate.keys])[ordinals])
            texts += rate.texts.take(pa.array(ordinals)).chunks
        verdicts = judge(np.concatenate(keys), similarity_test(recipe, texts))
        tokens = [rate.training_tokens[ordinals] for rate, ordinals in zip(rates, chosen, strict=True)]
        self._totals = [float(of_source.sum()) for of_source in tokens]
        ends = np.cumsum(self._counts)
        documents = np.flatnonzero(verdicts.codes >= FIRST_DUPLICATE)
        self._sources = np.searchsorted(ends, documents, side="right")
        self._earlier = np.searchsorted(ends, verdicts.duplicate_of, side="right")
        self._places = verdicts.duplicate_of - (ends - self._counts)[self._earlier]
        """For each match, the number of the earlier document in the sample of its source."""
        self._reasons = verdicts.codes[documents] - FIRST_DUPLICATE
        self._tokens = np.concatenate(tokens)[documents]

    def of(self, number: int, documents: Sequence[float]) -> SharedShare:
        """The part of source `number` that repeats an earlier source in the mix.

        documents: how many documents the mix has of each earlier source. A document of the sample whose copy is in a
        sample of a tenth of these stands for ten, whose copies may be anywhere. Where the sample is the whole earlier
        source, these are its first documents.
        """
        chosen = (self._sources == number) & (self._earlier < number)
        earlier, tokens = self._earlier[chosen], self._tokens[chosen]
        taken = np.array([*documents, 0.0])[earlier]
        is_whole = self._is_whole[earlier]
        is_taken = np.clip((taken - self._places[chosen]) / np.maximum(taken * LAST, 1.0) + 0.5, 0.0, 1.0)
        is_taken = np.where(taken >= self._counts[earlier] - 0.5, 1.0, is_taken)
        weights = np.where(is_whole, is_taken, taken / np.maximum(self._counts[earlier], 1))
        shares: Counter[str] = Counter()
        for code, weight in zip(self._reasons[chosen].tolist(), weights.tolist(), strict=True):
            shares[REASONS[code]] += weight / self._counts[number]
        total = max(sum(shares.values()), 1.0)
        is_counted = is_whole & self._is_whole[number]
        variances = tokens**2 * weights * np.where(is_counted, 1 - weights, np.maximum(weights, 1.0))
        share = float(tokens @ weights) / max(self._totals[number], 1.0)
        error = 2 * sqrt(float(variances.sum())) / max(self._totals[number], 1.0)
        return SharedShare(
            documents={reason: share / total for reason, share in shares.items()},
            tokens=min(share, 1.0),
            tokens_interval=(min(max(share - error, 0.0), 1.0), min(share + error, 1.0)),
        )
