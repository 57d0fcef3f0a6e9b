"""datatrove's word tokenizer for its own filters, with one fault of spaCy's worked around."""

from __future__ import annotations

from datatrove.utils.typeshelper import Languages
from datatrove.utils.word_tokenizers import WordTokenizer, load_word_tokenizer

# spaCy's number for this one word is 1, which its hash map takes for "deleted". From the second time on it reads a
# freed entry and may fail; datatrove then removes the word from the text. Whether that happens depends on what the
# process tokenized before, so the word is always removed here, before spaCy sees it.
UNSAFE = "IS_ALPHA"


class SteadyWords(WordTokenizer):  # type: ignore[misc]
    """datatrove's word tokenizer of a language, with results that do not depend on the texts before.

    Pass it to a filter as `language`.
    """

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
