"""The pre-tokenizer: splits text into words before BPE; no entry of the vocabulary spans two words.

The pattern is that of cl100k with every digit split off. Bytes per token on held-out text, weighted like the mix, with
4,096 entries trained on 96 MB (benchmarks/pretokenizers.py; the whole table is in benchmarks/README.md):

    GPT-2                        3.277   half of the numbers that occur twice have the same ids both times
    cl100k, digits in threes     3.344   only a third of 100 to 9,999 is split by place value: a small vocabulary has
                                         too few groups of three digits
    cl100k, single digits        3.326   every number always has the same ids; 0.6% more tokens in all, and 2.8 more in
                                         a sum of 17

No models were trained to compare the patterns. Single digits are the usual choice, and cost little here.
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
    """A byte-level BPE tokenizer without a vocabulary that splits text with `pattern`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def spans(pattern: str, text: str) -> list[tuple[int, int]]:
    """Start and end, in characters, of every match of `pattern` in `text`, as found by `tokenizers`."""
    from tokenizers import Regex, pre_tokenizers

    matches = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return [span for _, span in matches.pre_tokenize_str(text)]
