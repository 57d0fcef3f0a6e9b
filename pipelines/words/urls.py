"""Whether spaCy takes a chunk for a URL, by its regular expression `URL_PATTERN`.

A URL is an optional protocol, a host of at least two parts, the last of lower-case letters, and an optional port and
path. Chunks with "@" and hosts that are numbers are left to spacy_rules.py.
"""

from __future__ import annotations

from gpts_data.pipelines.kernel import Int64Array, inner_kernel
from gpts_data.pipelines.words.char_flags import CODE, HOST, LOWER, digit, has_flag

_HASH, _PLUS, _MINUS, _PERIOD, _SLASH, _COLON, _QUESTION, _AT_SIGN, _UNDERSCORE = (ord(c) for c in "#+-./:?@_")


@inner_kernel
def is_url(chars: Int64Array, first: int, last: int) -> int:
    """Return 1 if the characters first..last are a URL, 0 if not, -1 if spacy_rules.py must decide."""
    periods = 0
    for k in range(first, last):
        if chars[k, CODE] == _AT_SIGN:  # a user name before a host, or anything else
            return -1
        periods += chars[k, CODE] == _PERIOD
    if periods == 0:
        return 0
    host = _skip_protocol(chars, first, last)
    if host < 0:
        return -1
    verdict = _host(chars, first, last)
    return _host(chars, host, last) if verdict == 0 and host > first else verdict


@inner_kernel
def _skip_protocol(chars: Int64Array, first: int, last: int) -> int:
    """Return the position after "https://" or the like; `first` if there is none, -1 if spacy_rules.py must decide."""
    k, known = first, True
    while k + 2 < last and chars[k, CODE] != _COLON:
        code = chars[k, CODE]
        if code >= 0x80:
            known = False
        elif not (digit(code) or 0x61 <= code | 0x20 <= 0x7A or code in (_PLUS, _MINUS, _PERIOD, _UNDERSCORE)):
            return first
        k += 1
    if k + 2 >= last or k - first < 2 or chars[k + 1, CODE] != _SLASH or chars[k + 2, CODE] != _SLASH:
        return first
    return k + 3 if known else -1


@inner_kernel
def _host(chars: Int64Array, first: int, last: int) -> int:
    """Return 1 for a host's name with an optional port and path and nothing else, 0 otherwise.

    -1 means that spacy_rules.py must decide, as the host may be an IP address.
    """
    k = start = first
    periods, numeric = 0, True
    while k < last and (has_flag(chars, k, HOST) or chars[k, CODE] in (_UNDERSCORE, _MINUS, _PERIOD)):
        if chars[k, CODE] == _PERIOD:
            if not 1 <= k - start <= 64 or not has_flag(chars, start, HOST) or not has_flag(chars, k - 1, HOST):
                return 0
            start, periods = k + 1, periods + 1
        elif chars[k, CODE] < 0x80 and not digit(chars[k, CODE]):  # others may be digits of another script
            numeric = False
        k += 1
    if numeric and periods == 3:
        return -1
    if periods == 0 or not 2 <= k - start <= 63:
        return 0
    for j in range(start, k):
        if not has_flag(chars, j, LOWER):
            return 0
    return _path(chars, k, last)


@inner_kernel
def _path(chars: Int64Array, k: int, last: int) -> int:
    """Return 1 if only a port and a path follow the host, 0 if not, -1 if spacy_rules.py must decide."""
    if k < last and chars[k, CODE] == _COLON:
        start = k + 1
        k = start
        while k < last and digit(chars[k, CODE]):
            k += 1
        if k < last and chars[k, CODE] >= 0x80:  # may be a digit of another script
            return -1
        if not 2 <= k - start <= 5:
            return 0
    return 1 if k == last or chars[k, CODE] in (_SLASH, _QUESTION, _HASH) else 0
