"""Gopher's and FineWeb's quality rules as datatrove computes them, exactly, from bytes and arrays of words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpts_data.pipelines.filters.line_scan import (
    add_and_compare,
    count_characters,
    count_newlines,
    find_newline,
    has_zero_byte,
    is_plain,
    may_repeat,
    table_size,
)
from gpts_data.pipelines.kernel import BoolArray, Int64Array, UInt8Array, UInt64Array, inner_kernel, kernel
from gpts_data.pipelines.text.byte_blocks import ONES, load_block
from gpts_data.pipelines.text.char_classes import ALPHA, LINE_END, NOT_PUNCTUATION, decode, last_character
from gpts_data.pipelines.text.hash_table import in_set, slot_of
from gpts_data.pipelines.text.hashing import U0, skip_spaces, strip_end
from gpts_data.pipelines.words.word_arrays import WordArrays
from gpts_data.pipelines.words.word_rows import CLASSES, LENGTH, hash_run

GOPHER_REASONS = (
    "gopher_short_doc",
    "gopher_long_doc",
    "gopher_below_avg_threshold",
    "gopher_above_avg_threshold",
    "gopher_too_many_hashes",
    "gopher_too_many_ellipsis",
    "gopher_too_many_bullets",
    "gopher_too_many_end_ellipsis",
    "gopher_below_alpha_threshold",
    "gopher_enough_stop_words",
)
FINEWEB_REASONS = ("line_punct_ratio", "short_line_ratio", "char_dup_ratio", "list_ratio")

_HASH, _PERIOD, _DASH = ord("#"), ord("."), ord("-")
_BULLET, _ELLIPSIS = 0xA2, 0xA6  # third byte of "•" and "…", after E2 80


_HASHES, _PERIODS, _ELLIPSES = (ONES * np.uint64(byte) for byte in (_HASH, _PERIOD, _ELLIPSIS))


class GopherLimits(NamedTuple):
    """Thresholds of Gopher's rules; inf for an upper limit that is off, -inf for a lower one."""

    min_words: float
    """Words with more than punctuation; the same below."""
    max_words: float
    min_word_length: float
    """Mean characters of a word."""
    max_word_length: float
    max_symbol_ratio: float
    """"#" per word; ellipses per word."""
    max_bullet_ratio: float
    """Lines that begin with a bullet, per line."""
    max_ellipsis_ratio: float
    """Lines that end with an ellipsis, per line."""
    min_alpha_ratio: float
    """Words with a letter, per word."""
    min_stop_words: float
    """Different stop words."""


class FineWebLimits(NamedTuple):
    """Thresholds of FineWeb's rules, by datatrove's names."""

    line_punct: float
    exclude_zero: bool
    short_line: float
    short_length: int
    char_dup: float
    new_line: float


@kernel
def judge_gopher(
    data: UInt8Array,
    offsets: Int64Array,
    classes: UInt8Array,
    words: WordArrays,
    limits: GopherLimits,
    stop_words: UInt64Array,
    met: BoolArray,
    codes: Int64Array,
) -> None:
    """Write the code of the first rule that each text breaks, 0 for none, else 1 + the index of its reason, to `codes`.

    `classes` is `char_classes`, `stop_words` a `hash_set` of word hashes, `met` scratch space of its length. A text
    must not be blank.
    """
    for row in range(len(codes)):
        first, n = words.starts[row], words.counts[row]
        rows = words.rows[first : first + n + 1]
        codes[row] = _judge_gopher_text(data, offsets[row], offsets[row + 1], classes, rows, limits)
        if codes[row] == 0 and _count_stop_words(rows, limits.min_stop_words, stop_words, met) < limits.min_stop_words:
            codes[row] = 10


@inner_kernel
def _judge_gopher_text(
    data: UInt8Array, start: int, stop: int, classes: UInt8Array, words: UInt64Array, limits: GopherLimits
) -> int:
    n = max(len(words) - 1, 1)
    non_symbol, length, alpha = _word_sums(words)
    if non_symbol < limits.min_words:
        return 1
    if non_symbol > limits.max_words:
        return 2
    if non_symbol and length / non_symbol < limits.min_word_length:
        return 3
    if non_symbol and length / non_symbol > limits.max_word_length:
        return 4
    hashes, ellipses = _count_symbols(data, start, stop)
    if hashes / n > limits.max_symbol_ratio:
        return 5
    if ellipses / n > limits.max_symbol_ratio:
        return 6
    lines, bullets, ends = _count_lines(data, start, stop, classes)
    if bullets / lines > limits.max_bullet_ratio:
        return 7
    if ends / lines > limits.max_ellipsis_ratio:
        return 8
    return 9 if alpha / n < limits.min_alpha_ratio else 0


@inner_kernel
def _word_sums(words: UInt64Array) -> tuple[np.int64, np.int64, np.int64]:
    """Return the number of words with more than punctuation, the characters of those, and the words with a letter."""
    non_symbol = length = alpha = np.int64(0)
    for i in range(len(words) - 1):
        classes = np.int64(words[i, CLASSES])
        if classes & NOT_PUNCTUATION:
            non_symbol += 1
            length += np.int64(words[i + 1, LENGTH] - words[i, LENGTH])
        alpha += classes & ALPHA
    return non_symbol, length, alpha


@inner_kernel
def _count_symbols(data: UInt8Array, start: int, stop: int) -> tuple[int, int]:
    """Return the number of "#" and of ellipses: three periods, as `str.count` finds them, or the one character."""
    hashes = ellipses = periods = 0
    i = start
    while i < stop:
        block_end = min(i + 8, stop)
        if block_end - i == 8 and not _may_have_symbol(load_block(data, i)):
            periods, i = 0, block_end
        while i < block_end:
            byte = data[i]
            hashes += byte == _HASH
            if byte == _PERIOD:
                periods += 1
                if periods == 3:
                    ellipses += 1
                    periods = 0
            else:
                periods = 0
                if byte == _ELLIPSIS and i - start >= 2 and data[i - 1] == 0x80 and data[i - 2] == 0xE2:
                    ellipses += 1
            i += 1
    return hashes, ellipses


@inner_kernel
def _may_have_symbol(block: np.uint64) -> bool:
    """Return whether one of eight bytes is "#", a period, or the last byte of an ellipsis."""
    return has_zero_byte(block ^ _HASHES) or has_zero_byte(block ^ _PERIODS) or has_zero_byte(block ^ _ELLIPSES)


@inner_kernel
def _count_lines(data: UInt8Array, i: int, stop: int, classes: UInt8Array) -> tuple[int, int, int]:
    """Return the number of lines as `str.splitlines` finds them, of those that begin with a bullet, and of those that
    end with an ellipsis."""
    lines = bullets = ends = 0
    while i < stop:
        end, next_line = _line_end(data, i, stop, classes)
        lines += 1
        first, last = skip_spaces(data, i, end), strip_end(data, i, end)
        if first < last:
            bullets += data[first] == _DASH or _is_e280(data, first, last, _BULLET)
            ends += _ends_with_periods(data, first, last) or _is_e280(data, last - 3, last, _ELLIPSIS)
        i = next_line
    return lines, bullets, ends


@inner_kernel
def _ends_with_periods(data: UInt8Array, first: int, last: int) -> bool:
    if last - first < 3:
        return False
    return bool(data[last - 1] == _PERIOD and data[last - 2] == _PERIOD and data[last - 3] == _PERIOD)


@inner_kernel
def _is_e280(data: UInt8Array, i: int, stop: int, third: int) -> bool:
    """Return whether the character at `i` has the UTF-8 bytes E2, 80 and `third`."""
    return i >= 0 and i + 2 < stop and data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == third


@inner_kernel
def _line_end(data: UInt8Array, i: int, stop: int, classes: UInt8Array) -> tuple[int, int]:
    """Return where the line that begins at `i` ends and where the next one begins."""
    while i < stop:
        block_end = min(i + 8, stop)
        if block_end - i == 8 and is_plain(load_block(data, i)):
            i = block_end
        while i < block_end:
            byte = data[i]
            if byte < 0x20:
                if classes[np.int64(byte)] & LINE_END:
                    pair = byte == 0x0D and i + 1 < stop and data[i + 1] == 0x0A
                    return i, i + 1 + pair
            elif byte == 0xC2 or byte == 0xE2:
                code_point, width = decode(data, i, stop)
                if classes[code_point] & LINE_END:
                    return i, i + width
            i += 1
    return stop, stop


@inner_kernel
def _count_stop_words(words: UInt64Array, enough: float, stop_words: UInt64Array, met: BoolArray) -> int:
    """Return how many different stop words occur, counted up to `enough`. `met` is scratch space for `stop_words`."""
    met[:] = False
    n = 0
    for i in range(len(words) - 1):
        if n >= enough:
            break
        slot = slot_of(stop_words, hash_run(words, i, 1))
        if stop_words[slot] != U0 and not met[slot]:
            met[slot] = True
            n += 1
    return n


@kernel
def judge_fineweb(
    data: UInt8Array,
    offsets: Int64Array,
    word_counts: Int64Array,
    stop_characters: UInt64Array,
    limits: FineWebLimits,
    table: UInt64Array,
    codes: Int64Array,
) -> None:
    """Write the code of the first rule that each text breaks, 0 for none, else 1 + the index of its reason, to `codes`,
    which must be zeros.

    `stop_characters` is a `hash_set` of code points, `table` scratch space for the lines of any of the texts. A text
    must not be blank.
    """
    for row in range(len(word_counts)):
        start, stop = offsets[row], offsets[row + 1]
        n = count_newlines(data, start, stop)
        lines, ended, short = _line_sums(data, start, stop, stop_characters, limits.short_length)
        if ended / lines < limits.line_punct and not (ended == 0 and limits.exclude_zero):
            codes[row] = 1
        elif short / lines > limits.short_line:
            codes[row] = 2
        elif _repeated_share(data, start, stop, n, table) > limits.char_dup:
            codes[row] = 3
        elif n / max(word_counts[row], 1) > limits.new_line:
            codes[row] = 4


@inner_kernel
def _line_sums(
    data: UInt8Array, i: int, stop: int, stop_characters: UInt64Array, short_length: int
) -> tuple[int, int, int]:
    """Return the number of lines that are not blank, of those that end with a stop character, and of short ones."""
    lines = ended = short = 0
    while i < stop:
        end = find_newline(data, i, stop)
        if skip_spaces(data, i, end) < end:
            lines += 1
            code_point, _ = decode(data, last_character(data, i, end), end)
            ended += in_set(stop_characters, np.uint64(code_point))
            short += end - i <= 4 * short_length and count_characters(data, i, end) <= short_length
        i = end + 1
    return lines, ended, short


@inner_kernel
def _repeated_share(data: UInt8Array, i: int, stop: int, n_newlines: int, table: UInt64Array) -> float:
    """Return the share of the text's characters that are in repeated lines; blank lines do not count as repeated."""
    if not may_repeat(data, i, stop, table):
        return 0.0
    length, repeated = count_characters(data, i, stop) - n_newlines, 0
    table = table[: table_size(n_newlines + 1)]
    table[:] = U0
    while i < stop:
        end = find_newline(data, i, stop)
        if skip_spaces(data, i, end) < end:
            repeated += add_and_compare(data, i, end, table)[1]
        i = end + 1
    return repeated / length
