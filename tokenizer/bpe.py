"""Train a BPE tokenizer on texts, with our trainer where it gives the result of `tokenizers`, which is the reference.

    texts ── train both on the first 2 MB ── same tokenizer.json? ── yes: all texts by counting words
                                                                  └─ no: all texts by `tokenizers`

With less than 2 MB `tokenizers` does all the work. With more it would take 5 times as long (benchmarks/README.md).
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

CHECK_CHARACTERS = 2_000_000  # takes `tokenizers` a second; enough pairs to notice that its rules have changed
Texts = Iterable[list[str]]


def train_bpe(texts: Texts, vocab_size: int, special: Sequence[str] = ()) -> Tokenizer:
    """Train a byte-level BPE tokenizer whose pre-tokenizer is `PATTERN`.

    Id 0 is end-of-text, followed by `special`, the 256 bytes and the merges. The result depends on the texts, not on
    their batches. It has fewer than `vocab_size` entries when no pair is left to merge. `texts` is iterated over two or
    three times; an iterator is first read into memory.
    """
    texts = list(texts) if iter(texts) is texts else texts
    counted = None
    if (first_texts := _first_texts(texts)) and _both_agree([first_texts], vocab_size, special):
        counted = train_bpe_by_counting(texts, vocab_size, special)
    return counted or train_bpe_by_tokenizers(texts, vocab_size, special)


def train_bpe_by_tokenizers(texts: Texts, vocab_size: int, special: Sequence[str] = ()) -> Tokenizer:
    """Do what `train_bpe` does with `tokenizers`: the reference."""
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
    """Do what `train_bpe` does by counting words first. None when two merges would make the same string.

    See tokenizer.bpe_merges.
    """
    from tokenizers import models

    from gpts_data.tokenizer.bpe_merges import find_merges
    from gpts_data.tokenizer.word_counts import WordCounts

    words, names = WordCounts(), [END_OF_TEXT, *special, *_alphabet()]
    for batch in texts:
        words.add(batch)
    characters = {byte: character for character, byte in byte_characters().items()}
    byte_ids = np.array([names.index(characters[byte], 1 + len(special)) for byte in range(256)], np.int32)
    merges = find_merges(words, byte_ids, names, vocab_size)
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
    first_texts, size = [], 0
    for text in chain.from_iterable(texts):
        first_texts.append(text)
        size += len(text)
        if size >= CHECK_CHARACTERS:
            return first_texts
    return None


def _both_agree(texts: Texts, vocab_size: int, special: Sequence[str]) -> bool:
    """Whether both trainers give the same tokenizer.json."""
    counted = train_bpe_by_counting(texts, vocab_size, special)
    return counted is not None and counted.to_str() == train_bpe_by_tokenizers(texts, vocab_size, special).to_str()


def _alphabet() -> list[str]:
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())
