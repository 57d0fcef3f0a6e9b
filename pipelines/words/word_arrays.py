"""The words of texts as datatrove's filters see them, in arrays: no Python object for a word.

One row a word, so that any run of words has its hash and its length by subtraction:

- SUM, the polynomial sum of (byte + 1) * B^position over the bytes of all words before, modulo 2^64;
- INVERSE, B^-position: the hash of words i..j as one string is (SUM[j] - SUM[i]) * INVERSE[i];
- LENGTH, the characters of all words before;
- KINDS, the bits of char_classes.py that occur in this word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import kernel
from gpts_data.pipelines.text.char_classes import ALPHA, ASCII_SPACES, NOT_PUNCTUATION, char_classes, decode
from gpts_data.pipelines.text.hash_table import in_set
from gpts_data.pipelines.text.hashing import U0, U1, mix64, skip_spaces, space_width, string_buffers
from gpts_data.pipelines.text.rolling_hash import BASE, POWERS, inverse_powers
from gpts_data.pipelines.words.affixes import is_suffix_after_letters, rule_words
from gpts_data.pipelines.words.char_flags import new_chunk_buffer
from gpts_data.pipelines.words.chunk_cache import chunk_words, chunks
from gpts_data.pipelines.words.spacy_rules import rules

UNSAFE = "IS_ALPHA"  # datatrove_tokenizer.py says why

SUM, INVERSE, LENGTH, KINDS = range(4)
BEGIN, END, ROW, POWER = range(4)  # of an unknown chunk: its bytes, its row, B^position there


@dataclass(frozen=True)
class WordArrays:
    """Words of a batch of texts: those of text `row` are rows[starts[row] : starts[row] + counts[row]], and one row
    more closes the sums. rows: uint64, shape (words and texts, 4); starts, counts: int64."""

    rows: NDArray[np.uint64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]

    def take(self, chosen: NDArray[np.bool_]) -> WordArrays:
        """The words of the chosen texts."""
        return WordArrays(self.rows, self.starts[chosen], self.counts[chosen])


def split_words(texts: pa.Array) -> WordArrays:
    """The words of a column of strings, as datatrove's English tokenizer splits them."""
    data, offsets = string_buffers(texts)
    if UNSAFE.encode() in data[offsets[0] : offsets[-1]].tobytes():
        data, offsets = string_buffers(pc.replace_substring(texts, UNSAFE, ""))
    table = chunks()
    size = int(offsets[-1] - offsets[0])  # room for a word a byte: the pages of what is not used are never touched
    rows = np.empty((size + len(texts) + 1, 4), np.uint64)
    unknown = np.empty((1 + (size + len(texts)) // 2, 4), np.int64)  # chunks: a space between any two of one text
    starts, counts = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
    at, missing = _split(
        data, offsets, char_classes(), rules(), table.keys, table.masks, table.long, unknown, starts, counts, rows
    )
    if missing:
        unknown = unknown[:missing]
        text = data.data
        table.add(sorted({bytes(text[begin:end]) for begin, end in unknown[:, : END + 1].tolist()}))
        _insert_split_chunks(
            data, char_classes(), table.keys, table.masks, table.long, unknown, starts, counts, rows, at
        )
    return WordArrays(rows, starts, counts)


@kernel
def _split(  # type: ignore[no-untyped-def]
    data, offsets, kinds_of, rules, keys, masks, long, unknown, starts, counts, rows
):
    """The words of all texts, but of chunks that nobody knows one word each: the row behind the last, and how many."""
    powers = inverse_powers()
    longest = at = missing = 0
    for row in range(len(counts)):
        longest = max(longest, offsets[row + 1] - offsets[row])
    cuts, chars = np.empty(longest + 1, dtype=np.int64), new_chunk_buffer()
    for row in range(len(counts)):
        rows[at, SUM], rows[at, INVERSE], rows[at, LENGTH] = U0, U1, U0
        starts[row] = at
        at, missing = _split_text(
            data,
            offsets[row],
            offsets[row + 1],
            kinds_of,
            powers,
            rules,
            keys,
            masks,
            long,
            rows,
            at,
            chars,
            cuts,
            unknown,
            missing,
        )
        counts[row] = at - starts[row]
        at += 1
    return at, missing


@kernel
def _split_text(  # type: ignore[no-untyped-def]
    data, i, stop, kinds_of, powers, rules, keys, masks, long, rows, at, chars, cuts, unknown, missing
):
    """The words of one text: the row behind them, and how many chunks are unknown so far."""
    power = U1
    while True:
        i, at, power = _short_words(data, i, stop, kinds_of, powers, rules, rows, at, power)
        if i >= stop:
            return at, missing
        end = i
        while end < stop and space_width(data, end, stop) == 0:
            end += 1
        n = rule_words(data, i, end, rules.char_flags, rules.units, chars, cuts)
        if n > 0:
            power_behind = _append_words(data, cuts, n, kinds_of, powers, rows, at, power)
            if not _any_special(rules, rows, at, n):
                at, power, i = at + n, power_behind, end
                continue
        n = chunk_words(data, i, end, keys, masks, long, cuts)
        if n == 0:
            n, cuts[0], cuts[1] = 1, i, end
            unknown[missing, BEGIN], unknown[missing, END] = i, end
            unknown[missing, ROW], unknown[missing, POWER] = at, np.int64(power)
            missing += 1
        power = _append_words(data, cuts, n, kinds_of, powers, rows, at, power)
        at, i = at + n, end


@kernel
def _short_words(  # type: ignore[no-untyped-def]
    data, i, stop, kinds_of, powers, rules, rows, at, power
):
    """Chunks of letters and at most one suffix of one byte, nine of ten, until there is another one.

    As `rule_words` and `_put` do it, in one pass. Returns where that other one begins, the row and B^position there.
    """
    while True:
        i = skip_spaces(data, i, stop)
        start, before, total = i, power, rows[at, SUM]
        while i < stop and 0x61 <= (data[i] | 0x20) <= 0x7A:
            total += (np.uint64(data[i]) + U1) * power
            power *= BASE
            i += 1
        width = i - start
        if width == 0 or width >= POWERS:
            return start, at, before
        suffix = i < stop and not ASCII_SPACES[data[i]]
        alone = i + 1 >= stop or ASCII_SPACES[data[i + 1]]
        if suffix and not (alone and is_suffix_after_letters(data, start, i, rules.char_flags)):
            return start, at, before
        _append_ascii_word(rows, at, total, powers[width], np.uint64(width), np.uint8(ALPHA | NOT_PUNCTUATION))
        if in_set(rules.divided, hash_run(rows, at, 1)):
            return start, at, before
        if suffix:
            total += (np.uint64(data[i]) + U1) * power
            _append_ascii_word(rows, at + 1, total, powers[1], U1, kinds_of[np.int64(data[i])])
            if in_set(rules.special, hash_run(rows, at, 2)):
                return start, at, before
            power *= BASE
            i += 1
            at += 1
        at += 1


@kernel
def _insert_split_chunks(  # type: ignore[no-untyped-def]
    data, kinds_of, keys, masks, long, unknown, starts, counts, rows, at
):
    """Give each unknown chunk, so far one word, the rows of its words.

    What a row says of the words before it does not depend on where those were cut, so all others only move up: from
    the last to the first, each once. Splitting the texts again took five times as long.
    """
    powers, k, up = inverse_powers(), 0, 0
    cuts = np.empty((unknown[:, END] - unknown[:, BEGIN]).max() + 2, dtype=np.int64)
    more = np.empty(len(unknown), dtype=np.int64)
    for row in range(len(counts)):
        behind = starts[row] + counts[row]
        starts[row] += up
        while k < len(unknown) and unknown[k, ROW] < behind:
            more[k] = chunk_words(data, unknown[k, BEGIN], unknown[k, END], keys, masks, long, cuts) - 1
            counts[row] += more[k]
            up += more[k]
            k += 1
    for k in range(len(unknown) - 1, -1, -1):
        place = unknown[k, ROW]
        for row in range(at - 1, place, -1):
            rows[row + up] = rows[row]
        up -= more[k]
        rows[place + up] = rows[place]
        n = chunk_words(data, unknown[k, BEGIN], unknown[k, END], keys, masks, long, cuts)
        _append_words(data, cuts, n, kinds_of, powers, rows, place + up, np.uint64(unknown[k, POWER]))
        at = place


@kernel
def _append_ascii_word(rows, at, total, inverse_power, length, kinds):  # type: ignore[no-untyped-def]
    """Write a word of one-byte characters into row `at`, its sums into the next."""
    rows[at, KINDS] = kinds
    rows[at + 1, SUM] = total
    rows[at + 1, INVERSE] = rows[at, INVERSE] * inverse_power
    rows[at + 1, LENGTH] = rows[at, LENGTH] + length


@kernel
def _any_special(rules, rows, at, n):  # type: ignore[no-untyped-def]
    """Whether any run of these words, as one string, is a special case, or a single one a divided one."""
    for first in range(at, at + n):
        if in_set(rules.divided, hash_run(rows, first, 1)):
            return True
        for behind in range(first + 2, at + n + 1):
            if rows[behind, LENGTH] - rows[first, LENGTH] > rules.longest:
                break
            if in_set(rules.special, hash_run(rows, first, behind - first)):
                return True
    return False


@kernel
def hash_run(rows, i, n):  # type: ignore[no-untyped-def]
    """The hash of the words i..i+n as one string; `hash_word` of it. Never 0."""
    return max(mix64((rows[i + n, SUM] - rows[i, SUM]) * rows[i, INVERSE]), U1)


@kernel
def _append_words(data, cuts, n, kinds_of, powers, rows, at, power):  # type: ignore[no-untyped-def]
    """Put the `n` words between the cuts into the rows from `at` on; returns B^position behind them."""
    for k in range(n):
        power = _add(data, cuts[k], cuts[k + 1], kinds_of, powers, rows, at + k, power)
    return power


@kernel
def _add(data, i, stop, kinds_of, powers, rows, at, power):  # type: ignore[no-untyped-def]
    """Put the word data[i:stop] into row `at`; returns B^position behind it."""
    total, length, kinds, inverse = rows[at, SUM], rows[at, LENGTH], np.uint8(0), rows[at, INVERSE]
    rest = stop - i
    while rest >= POWERS:
        inverse *= powers[POWERS - 1]
        rest -= POWERS - 1
    while i < stop:
        if data[i] < 0x80:
            width = 1
            kinds |= kinds_of[np.int64(data[i])]
        else:
            code_point, width = decode(data, i, stop)
            kinds |= kinds_of[code_point]
        for j in range(i, i + width):
            total += (np.uint64(data[j]) + U1) * power
            power *= BASE
        i += width
        length += U1
    rows[at, KINDS] = kinds
    rows[at + 1, SUM], rows[at + 1, INVERSE], rows[at + 1, LENGTH] = total, inverse * powers[rest], length
    return power
