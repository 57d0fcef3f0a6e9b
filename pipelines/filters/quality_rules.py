"""Gopher's and FineWeb's measures of quality, as datatrove takes them, exactly, from bytes and arrays of words."""

from __future__ import annotations

import numpy as np

from gpts_data.pipelines.filters.line_scan import count_characters, find_newline, may_repeat, newlines, room_for, seen
from gpts_data.pipelines.kernel import kernel
from gpts_data.pipelines.text.char_classes import ALPHA, LINE_END, NOT_PUNCTUATION, decode
from gpts_data.pipelines.text.hash_table import in_set, slot_of
from gpts_data.pipelines.text.hashing import U0, skip_spaces, strip_end
from gpts_data.pipelines.words.word_arrays import KINDS, LENGTH, hash_run

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

_HASH, _DOT, _DASH = ord("#"), ord("."), ord("-")
_BULLET, _ELLIPSIS = 0xA2, 0xA6  # behind the bytes E2 80


@kernel
def judge_gopher(data, offsets, kinds_of, rows, starts, counts, limits, stop_words):  # type: ignore[no-untyped-def]
    """The first rule each text breaks: int64, 0 for none, else its place in GOPHER_REASONS and 1.

    `limits`: float64 in the order of the reasons, two of them the same; what is switched off never holds.
    `stop_words`: a table of hashes. A text must have more than whitespace.
    """
    codes = np.zeros(len(counts), dtype=np.int64)
    met = np.empty(len(stop_words), dtype=np.bool_)
    for row in range(len(counts)):
        n = counts[row]
        words = rows[starts[row] : starts[row] + n + 1]
        codes[row] = _gopher(data, offsets[row], offsets[row + 1], kinds_of, words, max(n, 1), limits)
        if codes[row] == 0 and _stop_words(words, n, limits[9], stop_words, met) < limits[9]:
            codes[row] = 10
    return codes


@kernel
def _gopher(data, start, stop, kinds_of, words, n, limits):  # type: ignore[no-untyped-def]
    sound, length, alpha = _word_sums(words)
    if sound < limits[0]:
        return 1
    if sound > limits[1]:
        return 2
    if sound and length / sound < limits[2]:
        return 3
    if sound and length / sound > limits[3]:
        return 4
    hashes, ellipses = _symbols(data, start, stop)
    if hashes / n > limits[4]:
        return 5
    if ellipses / n > limits[5]:
        return 6
    lines, bullets, ends = _lines(data, start, stop, kinds_of)
    if bullets / lines > limits[6]:
        return 7
    if ends / lines > limits[7]:
        return 8
    return 9 if alpha / n < limits[8] else 0


@kernel
def _word_sums(words):  # type: ignore[no-untyped-def]
    """Words with more than punctuation, their characters, and words with a letter."""
    sound = length = alpha = np.int64(0)
    for i in range(len(words) - 1):
        kinds = np.int64(words[i, KINDS])
        if kinds & NOT_PUNCTUATION:
            sound += 1
            length += np.int64(words[i + 1, LENGTH] - words[i, LENGTH])
        alpha += kinds & ALPHA
    return sound, length, alpha


@kernel
def _symbols(data, start, stop):  # type: ignore[no-untyped-def]
    """How many "#", and how many ellipses: of three dots, as `str.count` finds them, or of one character."""
    hashes = ellipses = dots = 0
    for i in range(start, stop):
        byte = data[i]
        hashes += byte == _HASH
        if byte == _DOT:
            dots += 1
            if dots == 3:
                ellipses += 1
                dots = 0
        else:
            dots = 0
            if byte == _ELLIPSIS and i - start >= 2 and data[i - 1] == 0x80 and data[i - 2] == 0xE2:
                ellipses += 1
    return hashes, ellipses


@kernel
def _lines(data, i, stop, kinds_of):  # type: ignore[no-untyped-def]
    """Lines of `str.splitlines`, those that begin with a bullet, those that end with an ellipsis."""
    lines = bullets = ends = 0
    while i < stop:
        end, behind = _line_end(data, i, stop, kinds_of)
        lines += 1
        first, last = skip_spaces(data, i, end), strip_end(data, i, end)
        if first < last:
            bullets += data[first] == _DASH or _is_e280(data, first, last, _BULLET)
            dots = last - first >= 3 and data[last - 1] == _DOT and data[last - 2] == _DOT and data[last - 3] == _DOT
            ends += dots or _is_e280(data, last - 3, last, _ELLIPSIS)
        i = behind
    return lines, bullets, ends


@kernel
def _is_e280(data, i, stop, third):  # type: ignore[no-untyped-def]
    return i >= 0 and i + 2 < stop and data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == third


@kernel
def _line_end(data, i, stop, kinds_of):  # type: ignore[no-untyped-def]
    """Where the line that begins at `i` ends, and where the next begins."""
    while i < stop:
        byte = data[i]
        if byte < 0x20:
            if kinds_of[np.int64(byte)] & LINE_END:
                pair = byte == 0x0D and i + 1 < stop and data[i + 1] == 0x0A
                return i, i + 1 + pair
        elif byte == 0xC2 or byte == 0xE2:
            code_point, width = decode(data, i, stop)
            if kinds_of[code_point] & LINE_END:
                return i, i + width
        i += 1
    return stop, stop


@kernel
def _stop_words(words, n, enough, stop_words, met):  # type: ignore[no-untyped-def]
    """How many different stop words occur, counted up to `enough`."""
    met[:] = False
    found = 0
    for i in range(n):
        if found >= enough:
            break
        slot = slot_of(stop_words, hash_run(words, i, 1))
        if stop_words[slot] != U0 and not met[slot]:
            met[slot] = True
            found += 1
    return found


@kernel
def judge_fineweb(  # type: ignore[no-untyped-def]
    data, offsets, counts, stop_characters, line_punct, exclude_zero, short_line, short_length, char_dup, new_line
):
    """The first rule each text breaks: int64, 0 for none, else its place in FINEWEB_REASONS and 1.

    `stop_characters`: a table of code points. A text must have more than whitespace.
    """
    most = 2
    for row in range(len(counts)):
        most = max(most, newlines(data, offsets[row], offsets[row + 1]) + 1)
    table = np.zeros(room_for(most), dtype=np.uint64)
    codes = np.zeros(len(counts), dtype=np.int64)
    for row in range(len(counts)):
        start, stop = offsets[row], offsets[row + 1]
        n = newlines(data, start, stop)
        lines, ended, short = _line_sums(data, start, stop, stop_characters, short_length)
        if ended / lines < line_punct and not (ended == 0 and exclude_zero):
            codes[row] = 1
        elif short / lines > short_line:
            codes[row] = 2
        elif _repeats(data, start, stop, n, table) > char_dup:
            codes[row] = 3
        elif n / max(counts[row], 1) > new_line:
            codes[row] = 4
    return codes


@kernel
def _line_sums(data, i, stop, stop_characters, short_length):  # type: ignore[no-untyped-def]
    """Lines with more than whitespace, those that end with a stop character, short ones."""
    lines = ended = short = 0
    while i < stop:
        end = find_newline(data, i, stop)
        if skip_spaces(data, i, end) < end:
            lines += 1
            last = end - 1
            while last > i and data[last] & 0xC0 == 0x80:
                last -= 1
            code_point, _ = decode(data, last, end)
            ended += in_set(stop_characters, np.uint64(code_point))
            short += end - i <= 4 * short_length and count_characters(data, i, end) <= short_length
        i = end + 1
    return lines, ended, short


@kernel
def _repeats(data, i, stop, n_newlines, table):  # type: ignore[no-untyped-def]
    """Of the text's characters those in lines with more than whitespace that were there before."""
    if not may_repeat(data, i, stop, table):
        return 0.0
    length, repeated = count_characters(data, i, stop) - n_newlines, 0
    table = table[: room_for(n_newlines + 1)]
    table[:] = U0
    while i < stop:
        end = find_newline(data, i, stop)
        if skip_spaces(data, i, end) < end:
            repeated += seen(data, i, end, table)[1]
        i = end + 1
    return repeated / length
