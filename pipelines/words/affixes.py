"""The words of one chunk (a run between two whitespaces) by the rules of spaCy's English tokenizer, as kernels.

spaCy strips prefixes and suffixes until none is left, then keeps the rest whole if it is a URL, and splits it at
infixes otherwise. Its rules are regular expressions; here they are flags of characters (char_flags.py) and a few lines
of code each. spacy_rules.py splits the chunks that are not covered here: special cases ("Mr.", ":)"; the caller
recognizes those), mail and IP addresses, characters beyond U+FFFF and chunks of more than MAX_CHARACTERS, together 1%
of the different chunks of English text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import Int64Array, UInt8Array, UInt64Array, inner_kernel
from gpts_data.pipelines.text.hash_table import in_set
from gpts_data.pipelines.text.rolling_hash import hash_word
from gpts_data.pipelines.words.char_flags import (
    ALPHA,
    CODE,
    CURRENCY,
    LOWER,
    MAY_PRECEDE_PERIOD,
    OFFSET,
    PREFIX,
    QUOTE,
    SUFFIX,
    SUFFIX_OFFSET,
    SYMBOL,
    UPPER,
    digit,
    has_flag,
    read_chunk,
)
from gpts_data.pipelines.words.urls import is_url

LONGEST_UNIT = 5  # characters

_DOLLAR, _QUOTE, _STAR, _PLUS, _COMMA, _MINUS, _PERIOD, _SLASH, _COLON, _LESS, _EQUAL, _MORE, _CARET, _TILDE = (
    ord(c) for c in "$'*+,-./:<=>^~"
)
_DEGREE, _ENDASH, _EMDASH, _RIGHT_QUOTE, _ELLIPSIS = (ord(c) for c in "°–—’…")
_A, _C, _S, _U = (ord(c) for c in "ACSU")


@inner_kernel
def rule_words(
    data: UInt8Array,
    i: int,
    stop: int,
    char_flags: NDArray[np.uint16],
    units: UInt64Array,
    chars: Int64Array,
    cuts: Int64Array,
) -> int:
    """Write where the words of the chunk data[i:stop] begin, and `stop`, to `cuts`, and return their number.

    0 words mean that spacy_rules.py must split the chunk. `char_flags` and `units` are those of `Rules`, `chars` is
    `new_chunk_buffer`; `cuts` needs one element more than the chunk has characters.
    """
    last = read_chunk(data, i, stop, char_flags, chars)
    first = words = suffixes = 0
    while first < last:
        prefix = _prefix(chars, first, last)
        suffix = _suffix(chars, first + prefix, last, data, units)
        if prefix == 0 and suffix == 0:
            break
        if prefix:
            cuts[words] = chars[first, OFFSET]
            words += 1
        if suffix:
            chars[suffixes, SUFFIX_OFFSET] = chars[last - suffix, OFFSET]
            suffixes += 1
        first, last = first + prefix, last - suffix
    if first < last:
        url = is_url(chars, first, last)
        if url < 0:
            return 0
        words = _split_at_infixes(chars, first, last, cuts, words, url == 1)
    for k in range(suffixes):
        cuts[words + k] = chars[suffixes - 1 - k, SUFFIX_OFFSET]
    words += suffixes
    cuts[words] = stop
    return words


@inner_kernel
def is_suffix_after_letters(data: UInt8Array, start: int, i: int, char_flags: NDArray[np.uint16]) -> bool:
    """Return whether the byte at `i`, the last of a chunk, is a suffix of the ASCII letters data[start:i] before it."""
    if data[i] >= 0x80:
        return False
    if data[i] != _PERIOD:
        return bool(char_flags[data[i]] & SUFFIX != 0)
    before = np.int64(char_flags[data[i - 1]])
    return bool(before & MAY_PRECEDE_PERIOD != 0 or (i - start > 1 and before & char_flags[data[i - 2]] & UPPER != 0))


@inner_kernel
def _count_periods(chars: Int64Array, k: int, last: int) -> int:
    """Return how many periods there are in a row from `k` on, 0 if there is only one."""
    n = 0
    while k + n < last and chars[k + n, CODE] == _PERIOD:
        n += 1
    return n if n > 1 else 0


@inner_kernel
def _prefix(chars: Int64Array, first: int, last: int) -> int:
    """Return the number of characters of the prefix, 0 if there is none."""
    code = chars[first, CODE]
    if has_flag(chars, first, PREFIX):
        return 1
    if code == _PLUS:
        return 0 if first + 1 < last and digit(chars[first + 1, CODE]) else 1
    return max(_count_periods(chars, first, last), _dollars(chars, first, last))


@inner_kernel
def _dollars(chars: Int64Array, k: int, last: int) -> int:
    """Return the number of characters of "US$", "C$" or "A$" at `k`, 0 if none of them is there."""
    if k + 1 < last and chars[k, CODE] in (_C, _A) and chars[k + 1, CODE] == _DOLLAR:
        return 2
    us = k + 2 < last and chars[k, CODE] == _U and chars[k + 1, CODE] == _S
    return 3 if us and chars[k + 2, CODE] == _DOLLAR else 0


@inner_kernel
def _suffix(chars: Int64Array, first: int, last: int, data: UInt8Array, units: UInt64Array) -> int:
    """Return the number of characters of the suffix, the longest that any rule finds; 0 if there is none."""
    if first == last:
        return 0
    end = last - 1
    code = chars[end, CODE]
    if first == end:
        return 1 if has_flag(chars, end, SUFFIX) else 0
    before = chars[end - 1, CODE]
    if code == _PERIOD:
        return _final_periods(chars, first, last)
    if code == _ELLIPSIS:
        return 2 if before == _ELLIPSIS else 1
    if (code | 0x20) == 0x73 and before in (_QUOTE, _RIGHT_QUOTE):  # "'s"
        return 2
    if has_flag(chars, end, SUFFIX):
        return 1
    if digit(before) and (code == _PLUS or has_flag(chars, end, CURRENCY)):
        return 1
    for width in range(2, 4):  # "US$" after a digit
        k = last - width
        if k > first and digit(chars[k - 1, CODE]) and _dollars(chars, k, last) == width:
            return width
    return _unit(chars, first, last, data, units)


@inner_kernel
def _final_periods(chars: Int64Array, first: int, last: int) -> int:
    """Return how many of the periods at the end of the characters first..last are a suffix."""
    k = last - 1
    while k > first and chars[k - 1, CODE] == _PERIOD:
        k -= 1
    if last - k > 1:
        return last - k
    if k == first:
        return 0
    if has_flag(chars, k - 1, MAY_PRECEDE_PERIOD):
        return 1
    if k - 1 == first:
        return 0
    degrees = chars[k - 2, CODE] == _DEGREE and (chars[k - 1, CODE] | 0x20) in (0x63, 0x66, 0x6B)  # C, F, K
    return 1 if degrees or (has_flag(chars, k - 1, UPPER) and has_flag(chars, k - 2, UPPER)) else 0


@inner_kernel
def _unit(chars: Int64Array, first: int, last: int, data: UInt8Array, units: UInt64Array) -> int:
    """Return the number of characters of the unit of measure after a digit, 0 if there is none."""
    k = last
    while k > first and last - k <= LONGEST_UNIT and not digit(chars[k - 1, CODE]):
        k -= 1
    if k in (first, last) or not digit(chars[k - 1, CODE]):
        return 0
    return last - k if in_set(units, hash_word(data, chars[k, OFFSET], chars[last, OFFSET])) else 0


@inner_kernel
def _split_at_infixes(chars: Int64Array, first: int, last: int, cuts: Int64Array, words: int, whole: bool) -> int:
    """Append the words of the characters first..last, split at infixes unless `whole`, to the `words` in `cuts`.

    Returns the number of words in `cuts`.
    """
    start = k = first
    while k < last and not whole:
        width = _infix(chars, first, last, k)
        if width and k > first:
            if k > start:
                cuts[words] = chars[start, OFFSET]
                words += 1
            cuts[words] = chars[k, OFFSET]
            words += 1
            start = k + width
        k += max(width, 1)
    if start < last:
        cuts[words] = chars[start, OFFSET]
        words += 1
    return words


@inner_kernel
def _infix(chars: Int64Array, first: int, last: int, k: int) -> int:
    """Return the number of characters of the infix at `k`, 0 if there is none."""
    periods = _count_periods(chars, k, last)
    if periods or has_flag(chars, k, SYMBOL) or chars[k, CODE] == _ELLIPSIS:
        return max(periods, 1)
    if k == first or k + 1 == last:
        return 0
    code, letter, number = chars[k, CODE], has_flag(chars, k - 1, ALPHA), digit(chars[k - 1, CODE])
    following = chars[k + 1, CODE]
    if number and code in (_PLUS, _MINUS, _STAR, _CARET) and (digit(following) or following == _MINUS):
        return 1
    if code == _PERIOD:
        return 1 if has_flag(chars, k - 1, LOWER | QUOTE) and has_flag(chars, k + 1, UPPER | QUOTE) else 0
    if code == _COMMA:
        return 1 if letter and has_flag(chars, k + 1, ALPHA) else 0
    if not letter and not number:
        return 0
    if code in (_COLON, _LESS, _EQUAL, _MORE, _SLASH):
        return 1 if has_flag(chars, k + 1, ALPHA) else 0
    return _hyphen(chars, last, k)


@inner_kernel
def _hyphen(chars: Int64Array, last: int, k: int) -> int:
    """Return the number of characters of the hyphen at `k`, 0 if none is there or no letter follows.

    A hyphen is up to three "-", up to two "—", or one "–" or "~".
    """
    code, width = chars[k, CODE], 1
    most = 3 if code == _MINUS else 2 if code == _EMDASH else np.int64(code in (_ENDASH, _TILDE))
    while width < most and k + width < last and chars[k + width, CODE] == code:
        width += 1
    return width if most and k + width < last and has_flag(chars, k + width, ALPHA) else 0
