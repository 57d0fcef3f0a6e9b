"""spaCy's English tokenizer for one chunk (a run between two whitespaces), from spaCy's own rules but without spaCy.

The rules are in spacy_rules.json, as spaCy 3.8.18 has them; tests/pipelines/words/write_spacy_rules.py writes it. The
words decide which documents are in a mix, and spaCy changed them between 3.8.7 and 3.8.18. Loading spaCy would also
take 0.9 s and 100 MB in every process.

Each chunk is split by itself here. spaCy looks for special cases across spaces too; the only effect is that a special
case beside such a run stays split: spaCy makes four words of ") :(You", here ":(" is one word. Of 24,199 documents of
books and web pages one has such a place, one word in 6,936.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.text.hash_table import hash_filter, hash_set
from gpts_data.pipelines.text.rolling_hash import word_hash
from gpts_data.pipelines.words.char_flags import END

RULES = Path(__file__).with_name("spacy_rules.json")
NEAR = (
    8  # characters: no suffix but periods in a row is longer than 5, and no rule looks more than 2 characters further
)


class English:
    """spaCy's rules: regular expressions for prefixes, suffixes and infixes, special cases, flags and units."""

    def __init__(self) -> None:
        rules = json.loads(RULES.read_bytes())
        self._prefix, self._suffix, self._infix, self._protocol, self._host = (
            re.compile(rules[name]) for name in ("prefix", "suffix", "infix", "protocol", "host")
        )
        self.special: dict[str, list[str]] = rules["special"]
        """The words of each special chunk: "cannot" is two words, ":)" is one."""
        self.longest = max(map(len, self.special))
        """The number of characters of the longest special case."""
        self.units: list[str] = rules["units"]
        """Units of measure: words of their own after a digit."""
        self.char_flags: list[tuple[int, int, int]] = rules["marks"]
        """Runs of characters with the same flags (char_flags.py): the first, the last, their flags."""
        self._split_forms = {
            tuple(self._strip_affixes(case, self._is_never_special)): words
            for case, words in self.special.items()
            if self._has_affix(case)
        }
        self._longest_run = max(map(len, self._split_forms))

    def _has_affix(self, text: str) -> bool:
        """Return whether the rules would split this text, were it no special case."""
        return self._strip_once(text, 0, len(text)) != (0, len(text)) or bool(self._infix.search(text))

    def words(self, chunk: str) -> list[str]:
        """Return `[token.text for token in spacy.blank("en").tokenizer(chunk)]`."""
        return self._merge_special_cases(self._strip_affixes(chunk, self._is_special))

    def _is_special(self, text: str, first: int, last: int) -> bool:
        return last - first <= self.longest and text[first:last] in self.special

    def _is_never_special(self, text: str, first: int, last: int) -> bool:
        return False

    def _strip_affixes(self, text: str, stop: Callable[[str, int, int], bool]) -> list[str]:
        """Strip a prefix and a suffix at a time until none is left or `stop` finds a special case; split the rest."""
        prefixes: list[str] = []
        suffixes: list[str] = []
        first, last = 0, len(text)
        while first < last and not stop(text, first, last):
            start, end = self._strip_once(text, first, last)
            if start > first and stop(text, start, last):
                end = last
            elif end < last and stop(text, first, end):
                start = first
            if start == first and end == last:
                break
            prefixes += [text[first:start]] * (start > first)
            suffixes += [text[end:last]] * (end < last)
            first, last = start, end
        if first < last:
            rest = text[first:last]
            prefixes += self.special[rest] if stop(text, first, last) else self._split_at_infixes(rest)
        return prefixes + suffixes[::-1]

    def _strip_once(self, text: str, first: int, last: int) -> tuple[int, int]:
        """Return where text[first:last] begins without its prefix and ends without its suffix."""
        prefix = self._prefix.match(text, first, last)
        start = prefix.end() if prefix else first
        near = last
        while near > start and text[near - 1] == ".":
            near -= 1
        near = max(start, near - NEAR)
        suffix = self._suffix.search(text[near:last])
        return start, near + suffix.start() if suffix else last

    def _split_at_infixes(self, text: str) -> list[str]:
        """Keep a URL whole and split anything else at its infixes, which are words too, except at the very start."""
        if self._is_url(text):
            return [text]
        words, start = [], 0
        for infix in self._infix.finditer(text):
            if infix.start():
                words += [text[start : infix.start()]] * (infix.start() > start)
                words.append(infix[0])
                start = infix.end()
        return words + [text[start:]] * (start < len(text))

    def _is_url(self, text: str) -> bool:
        """Return whether a host is at the start, after a protocol or after an "@", with only a port and path after it.

        spaCy's single regular expression for all of that takes hours for a megabyte of JSON without a space.
        """
        protocol = self._protocol.match(text)
        starts = {
            0,
            protocol.end() if protocol else 0,
            *(match.end() for match in re.finditer("(?<=.)@", text, re.DOTALL)),
        }
        return any(self._host.match(text, start) for start in starts)

    def _merge_special_cases(self, words: list[str]) -> list[str]:
        """Replace runs of words into which the rules split a special case by its words, the longest runs first."""
        runs = [
            (i, j)
            for i in range(len(words))
            for j in range(i + 1, min(i + self._longest_run, len(words)) + 1)
            if tuple(words[i:j]) in self._split_forms
        ]
        seen: set[int] = set()
        chosen = {}
        for i, j in sorted(runs, key=lambda run: (run[0] - run[1], run[0])):
            if i not in seen and j - 1 not in seen:
                chosen[i] = j
            seen.update(range(i, j))
        joined: list[str] = []
        i = 0
        while i < len(words):
            j = chosen.get(i, i + 1)
            joined += self._split_forms[tuple(words[i:j])] if i in chosen else words[i:j]
            i = j
        return joined


@lru_cache(maxsize=1)
def english() -> English:
    """Return the rules, read once per process."""
    return English()


class Rules(NamedTuple):
    """The rules as arrays for the kernels; units, special and divided are hash tables for `in_set`."""

    char_flags: NDArray[np.uint16]
    """The flags of each character (char_flags.py): uint16, shape (END,)."""
    units: NDArray[np.uint64]
    """Units of measure."""
    special: NDArray[np.uint64]
    """Special cases: a chunk in which a run of words, as one string, is one of them is left to this module."""
    divided: NDArray[np.uint64]
    """Special cases of more than one word ("cannot"): a chunk with such a single word is left to this module."""
    filter: NDArray[np.uint64]
    """All special cases, for `in_filter`: most words are not there, and need not be looked for in the tables."""
    longest: int
    """The number of characters of the longest special case."""


@lru_cache(maxsize=1)
def rules() -> Rules:
    """Return the rules as arrays, made once per process."""
    language, char_flags = english(), np.zeros(END, np.uint16)
    for first, last, flags in language.char_flags:
        char_flags[first : last + 1] = flags
    special = language.special
    divided = [chunk for chunk, words in special.items() if len(words) > 1]
    units, special_set, divided_set = (
        hash_set(map(word_hash, chunks)) for chunks in (language.units, special, divided)
    )
    return Rules(char_flags, units, special_set, divided_set, hash_filter(map(word_hash, special)), language.longest)
