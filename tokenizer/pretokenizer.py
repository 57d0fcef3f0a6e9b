"""Where text is cut before merges are learnt: no entry of the vocabulary reaches over a cut.

cl100k's pattern with every digit apart. Bytes per token by the mix's weights, 4,096 entries learnt from 96 MB, on books
and pages not among them (benchmarks/pretokenizers.py; the whole table is in benchmarks/README.md):

    GPT-2                        3.277   half of the numbers that occur twice have the same ids both times
    cl100k, digits in threes     3.344   a third of 100 to 9,999 is cut where the place tells the value: too few threes
                                         are entries in so small a vocabulary
    cl100k, every digit apart    3.326   all equal, all aligned: 0.6% more tokens, and 2.8 more in a sum of 17

No model was trained to compare: that a digit should always be the same id is the usual choice, and here it is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def new_tokenizer(pattern: str = PATTERN) -> Tokenizer:
    """A byte-level BPE without a vocabulary that cuts text by `pattern`, in tokenizer.json's own words."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def spans(pattern: str, text: str) -> list[tuple[int, int]]:
    """Start and end, in characters, of every match of `pattern` in `text`, as `tokenizers` finds them."""
    from tokenizers import Regex, pre_tokenizers

    matches = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return [span for _, span in matches.pre_tokenize_str(text)]
