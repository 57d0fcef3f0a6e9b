"""How many documents of a source repeat one of an earlier source of the recipe, estimated from the samples of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from gpts_data.mixer.planning.repeats import judge
from gpts_data.mixer.planning.sample_texts import similarity_test
from gpts_data.mixer.planning.source_rate import SourceRate
from gpts_data.pipelines.dedup.greedy import FIRST_DUPLICATE
from gpts_data.pipelines.dedup.signatures import REASONS


class RepeatsElsewhere:
    """Matches between the samples of all sources. Documents that repeat one of their own source are left out."""

    def __init__(self, rates: Sequence[SourceRate]) -> None:
        recipe = rates[0].sample.recipe
        chosen = [rate.sightings.representatives for rate in rates]
        self._counts = [len(ordinals) for ordinals in chosen]
        keys = [np.empty((0, recipe.dedup.n_keys), np.uint64)]
        texts: list[pa.Array] = []
        for rate, ordinals in zip(rates, chosen, strict=True):
            keys.append(np.concatenate([keys[0], *rate.keys])[ordinals])
            texts += rate.texts.take(pa.array(ordinals)).chunks
        verdicts = judge(np.concatenate(keys), similarity_test(recipe, texts))
        ends = np.cumsum(self._counts)
        is_duplicate = verdicts.codes >= FIRST_DUPLICATE
        self._matches = Counter(
            zip(
                np.searchsorted(ends, np.flatnonzero(is_duplicate), side="right").tolist(),
                np.searchsorted(ends, verdicts.duplicate_of, side="right").tolist(),
                (verdicts.codes[is_duplicate] - FIRST_DUPLICATE).tolist(),
                strict=True,
            )
        )

    def of(self, number: int, documents: Sequence[float]) -> dict[str, float]:
        """Share of the documents of source `number` that repeat one of an earlier source in the mix, by reason.

        documents: how many documents the mix has of each earlier source. A document of the sample whose copy is in a
        sample of a tenth of these stands for ten, whose copies may be anywhere.
        """
        shares: Counter[str] = Counter()
        for (source, earlier, code), count in self._matches.items():
            if source == number and earlier < number:
                weight = documents[earlier] / self._counts[earlier]
                shares[REASONS[code]] += count * weight / self._counts[number]
        total = max(sum(shares.values()), 1.0)
        return {reason: share / total for reason, share in shares.items()}
