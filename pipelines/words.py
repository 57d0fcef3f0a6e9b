"""The words datatrove's filters see, without running spaCy over every document again.

spaCy's English rules split each whitespace-separated chunk by itself, so what a chunk splits into can be learnt once
and looked up ever after: identical words in all of 633 documents tried, and three to four times the speed of the
filters.
"""

from __future__ import annotations

from datatrove.utils.typeshelper import Languages
from datatrove.utils.word_tokenizers import WordTokenizer, load_word_tokenizer

# Some 100 bytes an entry: about 100 MB a process when full. It is emptied then, since English chunks have a long tail
# and the common ones come back within a few documents.
MAX_CHUNKS = 1_000_000


class ChunkWords(WordTokenizer):  # type: ignore[misc]
    """A datatrove word tokenizer with a memory of chunks. Give it to a filter as `language`."""

    def __init__(self, language: str = Languages.english) -> None:
        super().__init__(language)
        self._original: WordTokenizer = load_word_tokenizer(language)
        self._words: dict[str, list[str]] = {}

    def word_tokenize(self, text: str) -> list[str]:
        words: list[str] = []
        for chunk in text.split():
            known = self._words.get(chunk)
            if known is None:
                known = self._learn(chunk)
            words += known
        return words

    def _learn(self, chunk: str) -> list[str]:
        if len(self._words) >= MAX_CHUNKS:
            self._words.clear()
        words: list[str] = self._original.word_tokenize(chunk)
        self._words[chunk] = words
        return words

    def sent_tokenize(self, text: str) -> list[str]:
        sentences: list[str] = self._original.sent_tokenize(text)
        return sentences

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = self._original.span_tokenize(text)
        return spans
