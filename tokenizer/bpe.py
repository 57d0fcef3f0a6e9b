"""Texts to a BPE tokenizer: counted words and our merges where these are the merges of `tokenizers`, else it itself.

    texts ── the first 2 MB by both ── the same tokenizer.json? ── all by counting │ all by tokenizers

Below 2 MB `tokenizers` is all there is. Beyond, it takes 5 times as long (benchmarks/README.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from gpts_data.tokenizer.artifact import END_OF_TEXT
from gpts_data.tokenizer.pretokenizer import new_tokenizer
from gpts_data.tokenizer.vocabulary_files import byte_characters

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHECK_CHARACTERS = (
    2_000_000  # characters: a second of `tokenizers`, and pairs enough to show a rule of theirs that changed
)
Texts = Iterable[list[str]]


def train_bpe(texts: Texts, vocab_size: int, special: Sequence[str] = ()) -> Tokenizer:
    """A byte-level BPE that cuts text by `PATTERN`: id 0 is end-of-text, then `special`, the 256 bytes, the merges.

    The same for the same texts, however they are batched. Fewer entries than wanted where no pair is left. Texts are
    gone through two or three times; what can be gone through once only is held in memory.
    """
    texts = list(texts) if iter(texts) is texts else texts
    counted = None
    if (head := _first_texts(texts)) and _both_agree([head], vocab_size, special):
        counted = train_bpe_by_counting(texts, vocab_size, special)
    return counted or train_bpe_by_tokenizers(texts, vocab_size, special)


def train_bpe_by_tokenizers(texts: Texts, vocab_size: int, special: Sequence[str] = ()) -> Tokenizer:
    """`learn` by the library: the reference."""
    from tokenizers import trainers

    tokenizer = new_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT, *special],
        initial_alphabet=_alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(iter(texts), trainer)
    return tokenizer


def train_bpe_by_counting(texts: Texts, vocab_size: int, special: Sequence[str] = ()) -> Tokenizer | None:
    """`learn` by counting each word once. None where a string could be merged in two ways (see
    tokenizer.bpe_merges)."""
    from tokenizers import models

    from gpts_data.tokenizer.bpe_merges import find_merges
    from gpts_data.tokenizer.word_counts import WordCounts

    words, names = WordCounts(), [END_OF_TEXT, *special, *_alphabet()]
    for batch in texts:
        words.add(batch)
    letters = {byte: letter for letter, byte in byte_characters().items()}
    ids = np.array([names.index(letters[byte], 1 + len(special)) for byte in range(256)], np.int32)
    merges = find_merges(words, ids, names, vocab_size)
    if merges is None:
        return None
    pairs = []
    for left, right in merges.tolist():
        pairs.append((names[left], names[right]))
        names.append(names[left] + names[right])
    tokenizer = new_tokenizer()
    tokenizer.model = models.BPE({name: i for i, name in enumerate(names)}, pairs)
    tokenizer.add_special_tokens([END_OF_TEXT, *special])
    return tokenizer


def _first_texts(texts: Texts) -> list[str] | None:
    """The first texts that have PROOF characters together; None where all of them have fewer."""
    head, size = [], 0
    for text in chain.from_iterable(texts):
        head.append(text)
        size += len(text)
        if size >= CHECK_CHARACTERS:
            return head
    return None


def _both_agree(texts: Texts, vocab_size: int, special: Sequence[str]) -> bool:
    """Whether both ways give one tokenizer.json."""
    counted = train_bpe_by_counting(texts, vocab_size, special)
    return counted is not None and counted.to_str() == train_bpe_by_tokenizers(texts, vocab_size, special).to_str()


def _alphabet() -> list[str]:
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())
