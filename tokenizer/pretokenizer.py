"""Where text is cut before merges are learnt: no entry of the vocabulary reaches over a cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def blank(pattern: str = PATTERN) -> Tokenizer:
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
