"""Made-up prose that passes for English: real words as often as they are, in an order that means nothing.

datatrove's filters keep it, a vocabulary of 4,096 fits it like text of the web, and no two documents are near
duplicates. 12 MB take a second or two.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from functools import lru_cache
from itertools import accumulate

import pyarrow.parquet as pq

from gpts_data.validation.api import PRESETS

WORDS = 8_000  # the commonest of the bundled sample; rarer ones are typos and formulas


def documents(seed: str, total_bytes: int) -> list[str]:
    """Documents of 1 to 6 kB, `total_bytes` of text in all, or up to one document more."""
    rng = random.Random(seed)
    made: list[str] = []
    size = 0
    while size < total_bytes:
        made.append(document(rng, rng.randint(180, 1100)))
        size += len(made[-1]) + 1
    return made


def document(rng: random.Random, n_words: int) -> str:
    """Paragraphs, one a line, of some five sentences of some fifteen words."""
    words, weights = vocabulary()
    drawn = rng.choices(words, cum_weights=weights, k=n_words)
    sentences, start = [], 0
    while start < n_words:
        stop = start + rng.randint(8, 22)
        sentences.append(_sentence(drawn[start:stop]))
        start = stop
    starts = range(0, len(sentences), 5)
    return "\n".join(" ".join(sentences[start : start + 5]) for start in starts)


def _sentence(words: list[str]) -> str:
    """With a comma in the middle when it is long."""
    half = len(words) // 2
    text = " ".join(words[:half]) + ", " + " ".join(words[half:]) if half > 6 else " ".join(words)
    return text[0].upper() + text[1:] + "."


@lru_cache(maxsize=1)
def vocabulary() -> tuple[list[str], list[int]]:
    """Words, and how often each and all before it occur."""
    texts = pq.read_table(PRESETS / "sample/cosmopedia-v2.parquet", columns=["text"]).column("text").to_pylist()
    counts = Counter(word for text in texts for word in re.findall(r"\b[a-z]+\b", text))
    common = counts.most_common(WORDS)
    return [word for word, _ in common], list(accumulate(count for _, count in common))
