"""The texts of a sample, as the similarity test of deduplication asks for them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from gpts_data.mixer.recipe import Recipe
from gpts_data.mixer.stages.similarity import SimilarTexts
from gpts_data.pipelines.dedup.greedy import SimilarityTest


class SampleTexts:
    """Texts by ordinal."""

    def __init__(self, texts: Sequence[pa.Array]) -> None:
        self._texts = pa.chunked_array(texts, pa.string())

    def text(self, ordinal: int) -> str:
        """The text of a document."""
        return str(self._texts[ordinal].as_py())


def similarity_test(recipe: Recipe, texts: Sequence[pa.Array]) -> SimilarityTest | None:
    """The test that a build applies to near-duplicates, if any. Ordinals count the documents of `texts`."""
    minhash = recipe.dedup.minhash
    return SimilarTexts(SampleTexts(texts), minhash.ngrams, minhash.jaccard) if minhash and minhash.jaccard else None
