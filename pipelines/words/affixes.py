"""The words of one chunk, the run between two whitespaces, by the rules of spaCy's English tokenizer.

spaCy takes prefixes and suffixes off until none is left, then asks whether the rest is a URL, then cuts it at infixes.
Its rules are regular expressions; here they are marks of characters (char_flags.py) and a few lines each. Left to
spacy_rules.py are special cases ("Mr.", ":)"; the caller sees to those), addresses of mail and of machines, characters
beyond U+FFFF and chunks of more than MAX_CHARACTERS: 1% of the different chunks of English text.
"""

from __future__ import annotations

import numpy as np

from gpts_data.pipelines.kernel import kernel
from gpts_data.pipelines.text.hash_table import in_set
from gpts_data.pipelines.text.rolling_hash import hash_word
from gpts_data.pipelines.words.char_flags import (
    ALPHA,
    AT,
    CODE,
    CURRENCY,
    LOWER,
    MAY_PRECEDE_PERIOD,
    PREFIX,
    QUOTE,
    SUFFIX,
    SYMBOL,
    TAIL,
    UPPER,
    digit,
    marked,
    read_chunk,
)
from gpts_data.pipelines.words.urls import is_url

LONGEST_UNIT = 5  # characters

_DOLLAR, _QUOTE, _STAR, _PLUS, _COMMA, _MINUS, _POINT, _SLASH, _COLON, _LESS, _EQUAL, _MORE, _CARET, _TILDE = (
    ord(c) for c in "$'*+,-./:<=>^~"
)
_DEGREE, _ENDASH, _EMDASH, _RIGHT_QUOTE, _ELLIPSIS = (ord(c) for c in "°–—’…")
_A, _C, _S, _U = (ord(c) for c in "ACSU")


@kernel
def rule_words(data, i, stop, marks, units, chars, cuts):  # type: ignore[no-untyped-def]
    """Where the words of the chunk data[i:stop] begin into `cuts`, and where it ends; their number.

    0 words if spacy_rules.py must say. `marks`, `units`: of `Rules`. `cuts` has room for a word a character, and one
    more.
    """
    last = read_chunk(data, i, stop, marks, chars)
    first = words = tails = 0
    while first < last:
        before = _prefix(chars, first, last)
        behind = _suffix(chars, first + before, last, data, units)
        if before == 0 and behind == 0:
            break
        if before:
            cuts[words] = chars[first, AT]
            words += 1
        if behind:
            chars[tails, TAIL] = chars[last - behind, AT]
            tails += 1
        first, last = first + before, last - behind
    if first < last:
        url = is_url(chars, first, last)
        if url < 0:
            return 0
        words = _cut(chars, first, last, cuts, words, url == 1)
    for k in range(tails):
        cuts[words + k] = chars[tails - 1 - k, TAIL]
    words += tails
    cuts[words] = stop
    return words


@kernel
def is_suffix_after_letters(data, start, i, marks):  # type: ignore[no-untyped-def]
    """Whether the one byte at `i` is a suffix of the ASCII letters data[start:i], and with them a chunk."""
    if data[i] >= 0x80:
        return False
    if data[i] != _POINT:
        return marks[data[i]] & SUFFIX != 0
    before = np.int64(marks[data[i - 1]])
    return before & MAY_PRECEDE_PERIOD != 0 or (i - start > 1 and before & marks[data[i - 2]] & UPPER != 0)


@kernel
def _points(chars, k, last):  # type: ignore[no-untyped-def]
    """How many points lie there in a row: two or more, else 0."""
    n = 0
    while k + n < last and chars[k + n, CODE] == _POINT:
        n += 1
    return n if n > 1 else 0


@kernel
def _prefix(chars, first, last):  # type: ignore[no-untyped-def]
    """Characters of the prefix, 0 for none."""
    code = chars[first, CODE]
    if marked(chars, first, PREFIX):
        return 1
    if code == _PLUS:
        return 0 if first + 1 < last and digit(chars[first + 1, CODE]) else 1
    return max(_points(chars, first, last), _dollars(chars, first, last))


@kernel
def _dollars(chars, k, last):  # type: ignore[no-untyped-def]
    """Characters of the "US$", "C$" or "A$" at `k`, 0 for none of them."""
    if k + 1 < last and chars[k, CODE] in (_C, _A) and chars[k + 1, CODE] == _DOLLAR:
        return 2
    us = k + 2 < last and chars[k, CODE] == _U and chars[k + 1, CODE] == _S
    return 3 if us and chars[k + 2, CODE] == _DOLLAR else 0


@kernel
def _suffix(chars, first, last, data, units):  # type: ignore[no-untyped-def]
    """Characters of the suffix, the longest that a rule finds, 0 for none."""
    if first == last:
        return 0
    end = last - 1
    code = chars[end, CODE]
    if first == end:
        return 1 if marked(chars, end, SUFFIX) else 0
    before = chars[end - 1, CODE]
    if code == _POINT:
        return _last_points(chars, first, last)
    if code == _ELLIPSIS:
        return 2 if before == _ELLIPSIS else 1
    if (code | 0x20) == 0x73 and before in (_QUOTE, _RIGHT_QUOTE):  # "'s"
        return 2
    if marked(chars, end, SUFFIX):
        return 1
    if digit(before) and (code == _PLUS or marked(chars, end, CURRENCY)):
        return 1
    for width in range(2, 4):  # "US$" behind a digit
        k = last - width
        if k > first and digit(chars[k - 1, CODE]) and _dollars(chars, k, last) == width:
            return width
    return _unit(chars, first, last, data, units)


@kernel
def _last_points(chars, first, last):  # type: ignore[no-untyped-def]
    """Of a text that ends with a point, how many of them are its suffix."""
    k = last - 1
    while k > first and chars[k - 1, CODE] == _POINT:
        k -= 1
    if last - k > 1:
        return last - k
    if k == first:
        return 0
    if marked(chars, k - 1, MAY_PRECEDE_PERIOD):
        return 1
    if k - 1 == first:
        return 0
    degrees = chars[k - 2, CODE] == _DEGREE and (chars[k - 1, CODE] | 0x20) in (0x63, 0x66, 0x6B)  # C, F, K
    return 1 if degrees or (marked(chars, k - 1, UPPER) and marked(chars, k - 2, UPPER)) else 0


@kernel
def _unit(chars, first, last, data, units):  # type: ignore[no-untyped-def]
    """Characters of the unit of measure behind a digit."""
    k = last
    while k > first and last - k <= LONGEST_UNIT and not digit(chars[k - 1, CODE]):
        k -= 1
    if k in (first, last) or not digit(chars[k - 1, CODE]):
        return 0
    return last - k if in_set(units, hash_word(data, chars[k, AT], chars[last, AT])) else 0


@kernel
def _cut(chars, first, last, cuts, words, whole):  # type: ignore[no-untyped-def]
    """Cut the rest at its infixes into `cuts`, unless it stays whole; the number of words so far."""
    start = k = first
    while k < last and not whole:
        width = _infix(chars, first, last, k)
        if width and k > first:
            if k > start:
                cuts[words] = chars[start, AT]
                words += 1
            cuts[words] = chars[k, AT]
            words += 1
            start = k + width
        k += max(width, 1)
    if start < last:
        cuts[words] = chars[start, AT]
        words += 1
    return words


@kernel
def _infix(chars, first, last, k):  # type: ignore[no-untyped-def]
    """Characters of the infix at `k`, 0 for none."""
    points = _points(chars, k, last)
    if points or marked(chars, k, SYMBOL) or chars[k, CODE] == _ELLIPSIS:
        return max(points, 1)
    if k == first or k + 1 == last:
        return 0
    code, letter, number = chars[k, CODE], marked(chars, k - 1, ALPHA), digit(chars[k - 1, CODE])
    following = chars[k + 1, CODE]
    if number and code in (_PLUS, _MINUS, _STAR, _CARET) and (digit(following) or following == _MINUS):
        return 1
    if code == _POINT:
        return np.int64(marked(chars, k - 1, LOWER | QUOTE) and marked(chars, k + 1, UPPER | QUOTE))
    if code == _COMMA:
        return np.int64(letter and marked(chars, k + 1, ALPHA))
    if not letter and not number:
        return 0
    if code in (_COLON, _LESS, _EQUAL, _MORE, _SLASH):
        return np.int64(marked(chars, k + 1, ALPHA))
    return _hyphen(chars, last, k)


@kernel
def _hyphen(chars, last, k):  # type: ignore[no-untyped-def]
    """Characters of the hyphen at `k` with a letter behind it: up to three "-", up to two "—", one of the others."""
    code, width = chars[k, CODE], 1
    most = 3 if code == _MINUS else 2 if code == _EMDASH else np.int64(code in (_ENDASH, _TILDE))
    while width < most and k + width < last and chars[k + width, CODE] == code:
        width += 1
    return width if most and k + width < last and marked(chars, k + width, ALPHA) else 0
