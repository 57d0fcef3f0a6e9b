"""Whether a chunk is a URL to spaCy, by the expression that it has for them, `URL_PATTERN`.

An optional protocol, a host of at least two parts, the last of lower-case letters, an optional port and path. What has
"@" in it or numbers for a host is left to spacy_rules.py.
"""

from __future__ import annotations

from gpts_data.pipelines.kernel import kernel
from gpts_data.pipelines.words.char_flags import CODE, HOST, LOWER, digit, marked

_HASH, _PLUS, _MINUS, _POINT, _SLASH, _COLON, _QUESTION, _AT_SIGN, _UNDERSCORE = (ord(c) for c in "#+-./:?@_")


@kernel
def is_url(chars, first, last):  # type: ignore[no-untyped-def]
    """1 for a URL, which stays whole, 0 for none, -1 if spacy_rules.py must say."""
    points = 0
    for k in range(first, last):
        if chars[k, CODE] == _AT_SIGN:  # a name before a host, or anything else
            return -1
        points += chars[k, CODE] == _POINT
    if points == 0:
        return 0
    behind = _protocol(chars, first, last)
    if behind < 0:
        return -1
    found = _host(chars, first, last)
    return _host(chars, behind, last) if found == 0 and behind > first else found


@kernel
def _protocol(chars, first, last):  # type: ignore[no-untyped-def]
    """What lies behind "https://" or the like; `first` if there is none, -1 if spacy_rules.py must say."""
    k, known = first, True
    while k + 2 < last and chars[k, CODE] != _COLON:
        code = chars[k, CODE]
        if code >= 0x80:
            known = False
        elif not (digit(code) or 0x61 <= code | 0x20 <= 0x7A or code in (_PLUS, _MINUS, _POINT, _UNDERSCORE)):
            return first
        k += 1
    if k + 2 >= last or k - first < 2 or chars[k + 1, CODE] != _SLASH or chars[k + 2, CODE] != _SLASH:
        return first
    return k + 3 if known else -1


@kernel
def _host(chars, first, last):  # type: ignore[no-untyped-def]
    """1 if a host's name is there, with its port and path and nothing else, -1 if it may be a number's."""
    k = start = first
    points, numeric = 0, True
    while k < last and (marked(chars, k, HOST) or chars[k, CODE] in (_UNDERSCORE, _MINUS, _POINT)):
        if chars[k, CODE] == _POINT:
            if not 1 <= k - start <= 64 or not marked(chars, start, HOST) or not marked(chars, k - 1, HOST):
                return 0
            start, points = k + 1, points + 1
        elif chars[k, CODE] < 0x80 and not digit(chars[k, CODE]):  # beyond may be digits of another alphabet
            numeric = False
        k += 1
    if numeric and points == 3:
        return -1
    if points == 0 or not 2 <= k - start <= 63:
        return 0
    for j in range(start, k):
        if not marked(chars, j, LOWER):
            return 0
    return _path(chars, k, last)


@kernel
def _path(chars, k, last):  # type: ignore[no-untyped-def]
    """1 if behind a host is nothing but a port and a path, -1 if spacy_rules.py must say."""
    if k < last and chars[k, CODE] == _COLON:
        start = k + 1
        k = start
        while k < last and digit(chars[k, CODE]):
            k += 1
        if k < last and chars[k, CODE] >= 0x80:  # a digit of another alphabet
            return -1
        if not 2 <= k - start <= 5:
            return 0
    return 1 if k == last or chars[k, CODE] in (_SLASH, _QUESTION, _HASH) else 0
