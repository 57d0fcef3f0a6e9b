"""The words of texts as datatrove's filters see them, in arrays instead of one Python object a word.

There is one row a word, so that the hash and the length of any run of words are differences of two rows. Its columns:

- SUM, the polynomial sum of (byte + 1) * B^position over the bytes of all words before, modulo 2^64;
- INVERSE, B^-position: the hash of words i..j as one string is (SUM[j] - SUM[i]) * INVERSE[i];
- LENGTH, the number of characters of all words before;
- CLASSES, the bits of char_classes.py that occur in this word.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import Int64Array, UInt8Array, UInt64Array, kernel
from gpts_data.pipelines.text.char_classes import ALPHA, ASCII_SPACES, NOT_PUNCTUATION, char_classes, decode
from gpts_data.pipelines.text.hash_table import in_set
from gpts_data.pipelines.text.hashing import U0, U1, mix64, skip_spaces, space_width, string_buffers
from gpts_data.pipelines.text.rolling_hash import BASE, POWERS, inverse_powers
from gpts_data.pipelines.words.affixes import is_suffix_after_letters, rule_words
from gpts_data.pipelines.words.char_flags import new_chunk_buffer
from gpts_data.pipelines.words.chunk_cache import ChunkTable, chunk_words, chunks
from gpts_data.pipelines.words.spacy_rules import Rules, rules

UNSAFE = "IS_ALPHA"  # spaCy's words for it depend on the texts before: see datatrove_tokenizer.py

SUM, INVERSE, LENGTH, CLASSES = range(4)
BEGIN, END, ROW, POWER = range(4)  # columns of an unknown chunk: its bytes, its row, B^position at its beginning


class WordArrays(NamedTuple):
    """Words of texts: rows[starts[i] : starts[i] + counts[i]] are those of text i; one more row closes the sums."""

    rows: UInt64Array
    """Columns as above: uint64, shape (words + texts or more, 4)."""
    starts: Int64Array
    """The first row of each text: int64, shape (texts,)."""
    counts: Int64Array
    """The number of words of each text: int64, shape (texts,)."""

    def take(self, chosen: NDArray[np.bool_]) -> WordArrays:
        """Return the words of the chosen texts."""
        return WordArrays(self.rows, self.starts[chosen], self.counts[chosen])


class _Tables(NamedTuple):
    """What the kernels look up and never change: `char_classes()`, `inverse_powers()` and `rules()`."""

    classes: UInt8Array
    powers: UInt64Array
    rules: Rules


class _Scratch(NamedTuple):
    """Arrays used again for each chunk: its characters; where its words begin, and where the last one ends."""

    chars: Int64Array
    cuts: Int64Array


def split_words(texts: pa.Array) -> WordArrays:
    """Split a column of strings into words as datatrove's English tokenizer does."""
    data, offsets = string_buffers(texts)
    if UNSAFE.encode() in data[offsets[0] : offsets[-1]].tobytes():
        data, offsets = string_buffers(pc.replace_substring(texts, UNSAFE, ""))
    cache, tables = chunks(), _Tables(char_classes(), inverse_powers(), rules())
    size = int(offsets[-1] - offsets[0])  # room for one word a byte: memory pages that stay unused are never allocated
    words = WordArrays(
        np.empty((size + len(texts) + 1, 4), np.uint64), np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
    )
    unknown = np.empty((1 + (size + len(texts)) // 2, 4), np.int64)  # between two chunks of a text is a space
    n_rows, n_unknown = _split(data, offsets, tables, cache.table, words, unknown)
    if len(unknown := unknown[:n_unknown]):
        cache.add(sorted({data[begin:end].tobytes() for begin, end in unknown[:, : END + 1].tolist()}))
        _insert_split_chunks(data, tables, cache.table, words, unknown, n_rows)
    return words


@kernel
def _split(
    data: UInt8Array, offsets: Int64Array, tables: _Tables, table: ChunkTable, words: WordArrays, unknown: Int64Array
) -> tuple[int, int]:
    """Split all texts into words; chunks that neither the rules nor the table know become one word each.

    Returns the number of rows and of unknown chunks.
    """
    longest = at = n_unknown = 0
    for row in range(len(words.counts)):
        longest = max(longest, offsets[row + 1] - offsets[row])
    scratch = _Scratch(new_chunk_buffer(), np.empty(longest + 1, dtype=np.int64))
    rows = words.rows
    for row in range(len(words.counts)):
        rows[at, SUM], rows[at, INVERSE], rows[at, LENGTH] = U0, U1, U0
        words.starts[row] = at
        start, stop = offsets[row], offsets[row + 1]
        at, n_unknown = _split_text(data, start, stop, tables, table, rows, at, unknown, n_unknown, scratch)
        words.counts[row] = at - words.starts[row]
        at += 1
    return at, n_unknown


@kernel
def _split_text(
    data: UInt8Array,
    i: int,
    stop: int,
    tables: _Tables,
    table: ChunkTable,
    rows: UInt64Array,
    at: int,
    unknown: Int64Array,
    n_unknown: int,
    scratch: _Scratch,
) -> tuple[int, int]:
    """Append the words of one text from row `at` on. Return the row after them and the number of unknown chunks."""
    classes, powers, rules, chars, cuts = tables.classes, tables.powers, tables.rules, scratch.chars, scratch.cuts
    char_flags, units = rules.char_flags, rules.units
    power = U1
    while True:
        i, at, power = _append_short_words(data, i, stop, tables, rows, at, power)
        if i >= stop:
            return at, n_unknown
        end = i
        while end < stop and space_width(data, end, stop) == 0:
            end += 1
        n = rule_words(data, i, end, char_flags, units, chars, cuts)
        if n > 0:
            next_power = _append_words(data, cuts, n, classes, powers, rows, at, power)
            if not _any_special(rules, rows, at, n):
                at, power, i = at + n, next_power, end
                continue
        n = chunk_words(data, i, end, table, cuts)
        if n == 0:
            n, cuts[0], cuts[1] = 1, i, end
            unknown[n_unknown, BEGIN], unknown[n_unknown, END] = i, end
            unknown[n_unknown, ROW], unknown[n_unknown, POWER] = at, np.int64(power)
            n_unknown += 1
        power = _append_words(data, cuts, n, classes, powers, rows, at, power)
        at, i = at + n, end


@kernel
def _append_short_words(
    data: UInt8Array, i: int, stop: int, tables: _Tables, rows: UInt64Array, at: int, power: np.uint64
) -> tuple[int, int, np.uint64]:
    """Append chunks of ASCII letters with at most one suffix of one byte, until there is another kind of chunk.

    Nine of ten chunks are of this kind. The result is that of `rule_words` and `_append_words`, in one pass. Returns
    where the other chunk begins, and the row and B^position there.
    """
    classes, powers, rules = tables.classes, tables.powers, tables.rules
    char_flags, divided, special = rules.char_flags, rules.divided, rules.special
    while True:
        i = skip_spaces(data, i, stop)
        start, first_power, total = i, power, rows[at, SUM]
        while i < stop and 0x61 <= (data[i] | 0x20) <= 0x7A:
            total += (np.uint64(data[i]) + U1) * power
            power *= BASE
            i += 1
        width = i - start
        if width == 0 or width >= POWERS:
            return start, at, first_power
        suffix = i < stop and not ASCII_SPACES[data[i]]
        alone = i + 1 >= stop or ASCII_SPACES[data[i + 1]]
        if suffix and not (alone and is_suffix_after_letters(data, start, i, char_flags)):
            return start, at, first_power
        _append_ascii_word(rows, at, total, powers[width], np.uint64(width), np.uint8(ALPHA | NOT_PUNCTUATION))
        if in_set(divided, hash_run(rows, at, 1)):
            return start, at, first_power
        if suffix:
            total += (np.uint64(data[i]) + U1) * power
            _append_ascii_word(rows, at + 1, total, powers[1], U1, classes[np.int64(data[i])])
            if in_set(special, hash_run(rows, at, 2)):
                return start, at, first_power
            power *= BASE
            i += 1
            at += 1
        at += 1


@kernel
def _insert_split_chunks(
    data: UInt8Array, tables: _Tables, table: ChunkTable, words: WordArrays, unknown: Int64Array, n_rows: int
) -> None:
    """Replace the one row of each unknown chunk by the rows of its words, now that the table has all of them.

    The sums in a row do not depend on how the words before were split, so all other rows only move: from the last to
    the first, each once. Splitting the texts again took five times as long.
    """
    rows, starts, counts, k, shift = words.rows, words.starts, words.counts, 0, 0
    classes, powers = tables.classes, tables.powers
    cuts = np.empty(len(rows) + 1, dtype=np.int64)  # no chunk is longer; pages that stay unused are never allocated
    added = np.empty(len(unknown), dtype=np.int64)
    for row in range(len(counts)):
        end = starts[row] + counts[row]
        starts[row] += shift
        while k < len(unknown) and unknown[k, ROW] < end:
            added[k] = chunk_words(data, unknown[k, BEGIN], unknown[k, END], table, cuts) - 1
            counts[row] += added[k]
            shift += added[k]
            k += 1
    end = n_rows
    for k in range(len(unknown) - 1, -1, -1):
        chunk_row = unknown[k, ROW]
        for row in range(end - 1, chunk_row, -1):
            for column in range(4):  # to assign a whole row takes numba 2.5 s longer to compile
                rows[row + shift, column] = rows[row, column]
        shift -= added[k]
        for column in range(4):
            rows[chunk_row + shift, column] = rows[chunk_row, column]
        n = chunk_words(data, unknown[k, BEGIN], unknown[k, END], table, cuts)
        _append_words(data, cuts, n, classes, powers, rows, chunk_row + shift, np.uint64(unknown[k, POWER]))
        end = chunk_row


@kernel
def _append_ascii_word(
    rows: UInt64Array, at: int, total: np.uint64, inverse_power: np.uint64, length: np.uint64, classes: np.uint8
) -> None:
    """Write a word of one-byte characters into row `at`, and its sums into the next row."""
    rows[at, CLASSES] = classes
    rows[at + 1, SUM] = total
    rows[at + 1, INVERSE] = rows[at, INVERSE] * inverse_power
    rows[at + 1, LENGTH] = rows[at, LENGTH] + length


@kernel
def _any_special(rules: Rules, rows: UInt64Array, at: int, n: int) -> bool:
    """Return whether any run of these words, as one string, is a special case, or any of them a divided one."""
    for first in range(at, at + n):
        if in_set(rules.divided, hash_run(rows, first, 1)):
            return True
        for end in range(first + 2, at + n + 1):
            if rows[end, LENGTH] - rows[first, LENGTH] > rules.longest:
                break
            if in_set(rules.special, hash_run(rows, first, end - first)):
                return True
    return False


@kernel
def hash_run(rows: UInt64Array, i: int, n: int) -> np.uint64:
    """Hash the words i..i+n as one string, as `hash_word` does. Never 0."""
    return max(mix64((rows[i + n, SUM] - rows[i, SUM]) * rows[i, INVERSE]), U1)


@kernel
def _append_words(
    data: UInt8Array,
    cuts: Int64Array,
    n: int,
    classes: UInt8Array,
    powers: UInt64Array,
    rows: UInt64Array,
    at: int,
    power: np.uint64,
) -> np.uint64:
    """Write the `n` words between the cuts into the rows from `at` on. Return B^position after them."""
    for k in range(n):
        power = _append_word(data, cuts[k], cuts[k + 1], classes, powers, rows, at + k, power)
    return power


@kernel
def _append_word(
    data: UInt8Array,
    i: int,
    stop: int,
    classes: UInt8Array,
    powers: UInt64Array,
    rows: UInt64Array,
    at: int,
    power: np.uint64,
) -> np.uint64:
    """Write the word data[i:stop] into row `at`, and its sums into the next row. Return B^position after it."""
    total, length, word_classes, inverse = rows[at, SUM], rows[at, LENGTH], np.uint8(0), rows[at, INVERSE]
    rest = stop - i
    while rest >= POWERS:
        inverse *= powers[POWERS - 1]
        rest -= POWERS - 1
    while i < stop:
        if data[i] < 0x80:
            width = 1
            word_classes |= classes[np.int64(data[i])]
        else:
            code_point, width = decode(data, i, stop)
            word_classes |= classes[code_point]
        for j in range(i, i + width):
            total += (np.uint64(data[j]) + U1) * power
            power *= BASE
        i += width
        length += U1
    rows[at, CLASSES] = word_classes
    rows[at + 1, SUM], rows[at + 1, INVERSE], rows[at + 1, LENGTH] = total, inverse * powers[rest], length
    return power
