"""How similar a dropped near-duplicate is to the document that it repeats, as a measurement that can be shown."""

from __future__ import annotations

from typing import Any

from gpts_data.mixer.stages.unit_texts import jaccard, ngrams_of
from gpts_data.pipelines.filters.measure import Measurement


def similarity(minhash: dict[str, Any], text: str, other: str) -> Measurement:
    """The Jaccard similarity of the n-grams of two near-duplicates; `minhash` is the recipe's table."""
    value = jaccard(ngrams_of(text, minhash["ngrams"]), ngrams_of(other, minhash["ngrams"]))
    return Measurement("Jaccard similarity", value, minhash["jaccard"], "dedup.minhash.jaccard", is_match=True)
