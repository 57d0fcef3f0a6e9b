"""The words of texts as datatrove's filters see them, in arrays instead of one Python object a word.

The columns of a row are those of word_rows.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import Int64Array, UInt8Array, UInt64Array, inlined_kernel, kernel
from gpts_data.pipelines.text.byte_blocks import letters, load_block, n_bytes
from gpts_data.pipelines.text.char_classes import ALPHA, ASCII_SPACES, NOT_PUNCTUATION, char_classes
from gpts_data.pipelines.text.hashing import U0, U1, mix64, skip_spaces, space_width, string_buffers
from gpts_data.pipelines.text.rolling_hash import BASE, BASE_POWERS, BLOCK_SUMS, block_sum, inverse_powers
from gpts_data.pipelines.words.affixes import is_suffix_after_letters, rule_words
from gpts_data.pipelines.words.char_flags import new_chunk_buffer
from gpts_data.pipelines.words.chunk_cache import ChunkTable, chunk_words, chunks
from gpts_data.pipelines.words.spacy_rules import Rules, rules
from gpts_data.pipelines.words.word_rows import (
    INVERSE,
    LENGTH,
    SUM,
    any_special,
    append_ascii_word,
    append_words,
    is_case,
)

UNSAFE = "IS_ALPHA"  # spaCy's words for it depend on the texts before: see datatrove_tokenizer.py

SHORT = 16
"""Bytes of two blocks; a word of as many letters or more is left to `rule_words`."""
BEGIN, END, ROW, POWER = range(4)  # columns of an unknown chunk: its bytes, its row, B^position at its beginning


class WordArrays(NamedTuple):
    """Words of texts: rows[starts[i] : starts[i] + counts[i]] are those of text i; one more row closes the sums."""

    rows: UInt64Array
    """uint64, shape (words + texts or more, 4)."""
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
    longest = int(np.diff(offsets).max(initial=0))
    scratch = _Scratch(new_chunk_buffer(), np.empty(longest + 1, np.int64))
    size = int(offsets[-1] - offsets[0])  # room for one word a byte: memory pages that stay unused are never allocated
    words = WordArrays(
        np.empty((size + len(texts) + 1, 4), np.uint64), np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
    )
    unknown = np.empty((1 + (size + len(texts)) // 2, 4), np.int64)  # between two chunks of a text is a space
    n_rows, n_unknown = _split(data, offsets, tables, cache.table, words, unknown, scratch)
    if len(unknown := unknown[:n_unknown]):
        cache.add(sorted({data[begin:end].tobytes() for begin, end in unknown[:, : END + 1].tolist()}))
        _insert_split_chunks(data, tables, cache.table, words, unknown, n_rows, scratch.cuts)
    return words


@kernel
def _split(
    data: UInt8Array,
    offsets: Int64Array,
    tables: _Tables,
    table: ChunkTable,
    words: WordArrays,
    unknown: Int64Array,
    scratch: _Scratch,
) -> tuple[int, int]:
    """Split all texts into words; chunks that neither the rules nor the table know become one word each.

    Returns the number of rows and of unknown chunks.
    """
    at = n_unknown = 0
    rows = words.rows
    for row in range(len(words.counts)):
        rows[at, SUM], rows[at, INVERSE], rows[at, LENGTH] = U0, U1, U0
        words.starts[row] = at
        start, stop = offsets[row], offsets[row + 1]
        at, n_unknown = _split_text(data, start, stop, tables, table, rows, at, unknown, n_unknown, scratch)
        words.counts[row] = at - words.starts[row]
        at += 1
    return at, n_unknown


@inlined_kernel
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
            next_power = append_words(data, cuts, n, classes, powers, rows, at, power)
            if not any_special(rules, rows, at, n):
                at, power, i = at + n, next_power, end
                continue
        n = chunk_words(data, i, end, table, cuts)
        if n == 0:
            n, cuts[0], cuts[1] = 1, i, end
            unknown[n_unknown, BEGIN], unknown[n_unknown, END] = i, end
            unknown[n_unknown, ROW], unknown[n_unknown, POWER] = at, np.int64(power)
            n_unknown += 1
        power = append_words(data, cuts, n, classes, powers, rows, at, power)
        at, i = at + n, end


@inlined_kernel
def _append_short_words(
    data: UInt8Array, i: int, stop: int, tables: _Tables, rows: UInt64Array, at: int, power: np.uint64
) -> tuple[int, int, np.uint64]:
    """Append chunks of ASCII letters with at most one suffix of one byte, until there is another kind of chunk.

    Nine of ten chunks are of this kind. The result is that of `rule_words` and `append_words`, but a word is read as
    one block of eight bytes, or two. Returns where the other chunk begins, and the row and B^position there. The last
    SHORT + 1 bytes of a text are of another kind, too.
    """
    classes, powers, rules = tables.classes, tables.powers, tables.rules
    while True:
        i = skip_spaces(data, i, stop)
        if i + SHORT >= stop:
            return i, at, power
        block = load_block(data, i)
        mask = letters(block)
        value, width = block_sum(block & mask), n_bytes(mask)
        if width == 8:
            block = load_block(data, i + 8)
            mask = letters(block)
            value, width = value + block_sum(block & mask) * BASE_POWERS[8], 8 + n_bytes(mask)
        value += BLOCK_SUMS[width]
        if width == 0 or width == SHORT:
            return i, at, power
        end = i + width
        suffix = not ASCII_SPACES[data[end]]
        if suffix and not (ASCII_SPACES[data[end + 1]] and is_suffix_after_letters(data, i, end, rules.char_flags)):
            return i, at, power
        total, next_power = rows[at, SUM] + value * power, power * BASE_POWERS[width]
        append_ascii_word(rows, at, total, powers[width], np.uint64(width), np.uint8(ALPHA | NOT_PUNCTUATION))
        if is_case(rules.divided, rules.filter, max(mix64(value), U1)):  # as `hash_run`
            return i, at, power
        if suffix:
            byte = np.uint64(data[end]) + U1
            append_ascii_word(rows, at + 1, total + byte * next_power, powers[1], U1, classes[np.int64(data[end])])
            if is_case(rules.special, rules.filter, max(mix64(value + byte * BASE_POWERS[width]), U1)):
                return i, at, power
            next_power *= BASE
            end += 1
            at += 1
        i, at, power = end, at + 1, next_power


@kernel
def _insert_split_chunks(
    data: UInt8Array,
    tables: _Tables,
    table: ChunkTable,
    words: WordArrays,
    unknown: Int64Array,
    n_rows: int,
    cuts: Int64Array,
) -> None:
    """Replace the one row of each unknown chunk by the rows of its words, now that the table has all of them.

    The sums in a row do not depend on how the words before were split, so all other rows only move: from the last to
    the first, each once. Splitting the texts again took five times as long.
    """
    rows, starts, counts, k, shift = words.rows, words.starts, words.counts, 0, 0
    classes, powers = tables.classes, tables.powers
    for row in range(len(counts)):
        end = starts[row] + counts[row]
        starts[row] += shift
        while k < len(unknown) and unknown[k, ROW] < end:
            added = chunk_words(data, unknown[k, BEGIN], unknown[k, END], table, cuts) - 1
            counts[row] += added
            shift += added
            k += 1
    end = n_rows
    for k in range(len(unknown) - 1, -1, -1):
        chunk_row = unknown[k, ROW]
        for row in range(end - 1, chunk_row, -1):
            for column in range(4):  # to assign a whole row takes numba 2.5 s longer to compile
                rows[row + shift, column] = rows[row, column]
        n = chunk_words(data, unknown[k, BEGIN], unknown[k, END], table, cuts)
        shift -= n - 1
        for column in range(4):
            rows[chunk_row + shift, column] = rows[chunk_row, column]
        append_words(data, cuts, n, classes, powers, rows, chunk_row + shift, np.uint64(unknown[k, POWER]))
        end = chunk_row
