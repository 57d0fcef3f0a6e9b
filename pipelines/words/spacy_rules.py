"""spaCy's English tokenizer for one chunk, the run between two whitespaces, from its own rules but without spaCy.

The rules are in spacy_rules.json, as spaCy 3.8.18 has them; tests/pipelines/words/write_spacy_rules.py writes it. What
is a word decides which documents are in a mix, and spaCy changed that between 3.8.7 and 3.8.18. To load spaCy would
also take 0.9 s and 100 MB in every process.

Chunks stand alone here. spaCy looks for special cases across spaces too, to no effect but that one beside such a run
stays cut: of ") :(You" it makes four words, here ":(" is one. Of 24,199 documents of books and web pages one has such a
place, one word in 6,936.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.text.hash_table import hash_set
from gpts_data.pipelines.text.rolling_hash import word_hash
from gpts_data.pipelines.words.char_flags import END

RULES = Path(__file__).with_name("spacy_rules.json")
NEAR = 8  # characters: no suffix is longer than 5, but points in a row, and no rule looks more than 2 behind itself


class English:
    """Expressions for what comes off at the ends of a chunk and what cuts it inside; special cases; marks, units."""

    def __init__(self) -> None:
        rules = json.loads(RULES.read_bytes())
        self._prefix, self._suffix, self._infix, self._protocol, self._host = (
            re.compile(rules[name]) for name in ("prefix", "suffix", "infix", "protocol", "host")
        )
        self.special: dict[str, list[str]] = rules["special"]
        """By chunk its words: "cannot" is two, ":)" is one."""
        self.longest = max(map(len, self.special))
        """Characters of the longest of them."""
        self.units: list[str] = rules["units"]
        """Of measure: words of their own behind a digit."""
        self.marks: list[tuple[int, int, int]] = rules["marks"]
        """Characters in a row with the same marks (char_flags.py): the first, the last, their marks."""
        cut = {case: words for case, words in self.special.items() if self._is_cut(case)}
        self._parts = {tuple(self._peel(case, self._never)): words for case, words in cut.items()}
        self._most = max(map(len, self._parts))

    def _is_cut(self, text: str) -> bool:
        return self._ends(text, 0, len(text)) != (0, len(text)) or bool(self._infix.search(text))

    def words(self, chunk: str) -> list[str]:
        """`[token.text for token in spacy.blank("en").tokenizer(chunk)]`."""
        return self._rejoin(self._peel(chunk, self._is_special))

    def _is_special(self, text: str, first: int, last: int) -> bool:
        return last - first <= self.longest and text[first:last] in self.special

    def _never(self, text: str, first: int, last: int) -> bool:
        return False

    def _peel(self, text: str, stop: Callable[[str, int, int], bool]) -> list[str]:
        """A prefix and a suffix off at a time, until none is left or `stop` says that it is a special case."""
        before: list[str] = []
        behind: list[str] = []
        first, last = 0, len(text)
        while first < last and not stop(text, first, last):
            start, end = self._ends(text, first, last)
            if start > first and stop(text, start, last):
                end = last
            elif end < last and stop(text, first, end):
                start = first
            if start == first and end == last:
                break
            before += [text[first:start]] * (start > first)
            behind += [text[end:last]] * (end < last)
            first, last = start, end
        if first < last:
            before += self.special[text[first:last]] if stop(text, first, last) else self._inside(text[first:last])
        return before + behind[::-1]

    def _ends(self, text: str, first: int, last: int) -> tuple[int, int]:
        """Where text[first:last] begins without its prefix, and where that ends without its suffix."""
        prefix = self._prefix.match(text, first, last)
        start = prefix.end() if prefix else first
        near = last
        while near > start and text[near - 1] == ".":
            near -= 1
        near = max(start, near - NEAR)
        suffix = self._suffix.search(text[near:last])
        return start, near + suffix.start() if suffix else last

    def _inside(self, text: str) -> list[str]:
        """A URL whole, all else cut at its infixes, each of which is a word; one at the very start is none."""
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
        """Whether a host is at the start, behind a protocol or behind an "@", with at most a port and a path behind it.

        spaCy's one expression for all of that takes hours for a megabyte of JSON without a space.
        """
        protocol = self._protocol.match(text)
        starts = {0, protocol.end() if protocol else 0, *(at.end() for at in re.finditer("(?<=.)@", text, re.DOTALL))}
        return any(self._host.match(text, start) for start in starts)

    def _rejoin(self, words: list[str]) -> list[str]:
        """The words with runs that peeling made of a special case replaced by its words, the longest runs first."""
        runs = [
            (i, j)
            for i in range(len(words))
            for j in range(i + 1, min(i + self._most, len(words)) + 1)
            if tuple(words[i:j]) in self._parts
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
            joined += self._parts[tuple(words[i:j])] if i in chosen else words[i:j]
            i = j
        return joined


@lru_cache(maxsize=1)
def english() -> English:
    """The rules, read once per process."""
    return English()


class Rules(NamedTuple):
    """Marks of characters, and tables of hashes for `in_set`."""

    char_flags: NDArray[np.uint16]
    """The bits of char_flags.py: shape (END,)."""
    units: NDArray[np.uint64]
    special: NDArray[np.uint64]
    """Special cases: a chunk with a run of words that is one of them as a string is for spacy_rules.py."""
    divided: NDArray[np.uint64]
    """Those that are more than one word ("cannot"): what a single word must not be."""
    longest: int
    """Characters of the longest special case."""


@lru_cache(maxsize=1)
def rules() -> Rules:
    """The tables, made once per process."""
    language, marks = english(), np.zeros(END, np.uint16)
    for first, last, bits in language.marks:
        marks[first : last + 1] = bits
    divided = (chunk for chunk, words in language.special.items() if len(words) > 1)
    return Rules(marks, _hashes(language.units), _hashes(language.special), _hashes(divided), language.longest)


def _hashes(words: Iterable[str]) -> NDArray[np.uint64]:
    return hash_set(word_hash(word) for word in words)
