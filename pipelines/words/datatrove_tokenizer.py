"""spaCy's words for datatrove's own blocks, without the one that makes them depend on what the process saw before."""

from __future__ import annotations

from datatrove.utils.typeshelper import Languages
from datatrove.utils.word_tokenizers import WordTokenizer, load_word_tokenizer

# spaCy numbers this one word 1, which its hash map takes for "deleted": it reads a freed entry from the second time on
# and fails, whereupon datatrove removes the word from the text. Whether that happens depends on the texts before, so
# here it is always removed and spaCy never sees it.
UNSAFE = "IS_ALPHA"


class SteadyWords(WordTokenizer):  # type: ignore[misc]
    """datatrove's word tokenizer of a language. Give it to a filter as `language`."""

    def __init__(self, language: str = Languages.english) -> None:
        super().__init__(language)
        self._original: WordTokenizer = load_word_tokenizer(language)

    def word_tokenize(self, text: str) -> list[str]:
        words: list[str] = self._original.word_tokenize(text.replace(UNSAFE, ""))
        return words

    def sent_tokenize(self, text: str) -> list[str]:
        sentences: list[str] = self._original.sent_tokenize(text.replace(UNSAFE, ""))
        return sentences

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = self._original.span_tokenize(text.replace(UNSAFE, ""))
        return spans
