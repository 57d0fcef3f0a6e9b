"""The words of texts as rows of an array, instead of one Python object a word: how they are written and hashed.

There is one row a word, so that the hash and the length of any run of words are differences of two rows. Its columns:

- SUM, the polynomial sum of (byte + 1) * B^position over the bytes of all words before, modulo 2^64;
- INVERSE, B^-position: the hash of words i..j as one string is (SUM[j] - SUM[i]) * INVERSE[i];
- LENGTH, the number of characters of all words before;
- CLASSES, the bits of char_classes.py that occur in this word.
"""

from __future__ import annotations

import numpy as np

from gpts_data.pipelines.kernel import Int64Array, UInt8Array, UInt64Array, inner_kernel, kernel
from gpts_data.pipelines.text.char_classes import decode
from gpts_data.pipelines.text.hash_table import in_filter, in_set
from gpts_data.pipelines.text.hashing import U1, mix64
from gpts_data.pipelines.text.rolling_hash import BASE, POWERS
from gpts_data.pipelines.words.spacy_rules import Rules

SUM, INVERSE, LENGTH, CLASSES = range(4)


@kernel
def hash_run(rows: UInt64Array, i: int, n: int) -> np.uint64:
    """Hash the words i..i+n as one string, as `hash_word` does. Never 0."""
    return max(mix64((rows[i + n, SUM] - rows[i, SUM]) * rows[i, INVERSE]), U1)


@inner_kernel
def is_case(cases: UInt64Array, case_filter: UInt64Array, key: np.uint64) -> bool:
    """Return whether `key` is the hash of one of the special cases `cases`; `case_filter` is `Rules.filter`."""
    return in_filter(case_filter, key) and in_set(cases, key)


@inner_kernel
def any_special(rules: Rules, rows: UInt64Array, at: int, n: int) -> bool:
    """Return whether any run of these words, as one string, is a special case, or any of them a divided one."""
    for first in range(at, at + n):
        if is_case(rules.divided, rules.filter, hash_run(rows, first, 1)):
            return True
        for end in range(first + 2, at + n + 1):
            if rows[end, LENGTH] - rows[first, LENGTH] > rules.longest:
                break
            if is_case(rules.special, rules.filter, hash_run(rows, first, end - first)):
                return True
    return False


@inner_kernel
def append_ascii_word(
    rows: UInt64Array, at: int, total: np.uint64, inverse_power: np.uint64, length: np.uint64, classes: np.uint8
) -> None:
    """Write a word of one-byte characters into row `at`, and its sums into the next row."""
    rows[at, CLASSES] = classes
    rows[at + 1, SUM] = total
    rows[at + 1, INVERSE] = rows[at, INVERSE] * inverse_power
    rows[at + 1, LENGTH] = rows[at, LENGTH] + length


@inner_kernel
def append_words(
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


@inner_kernel
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
