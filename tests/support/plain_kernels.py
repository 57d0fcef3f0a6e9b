"""The hashing kernels written again with Python's integers and strings, as the reference of tests."""

from __future__ import annotations

import re
import unicodedata

ALL = (1 << 64) - 1
TAIL = 0xA0761D6478BD642F
SEPARATORS = re.compile(r"[\W_]+")
UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u4e00-\u9fff\U00020000-\U0003ffff]")


def mix64(x: int) -> int:
    for _ in range(2):
        x = (x ^ x >> 32) * 0xD6E8FEB86659FD93 & ALL
    return x ^ x >> 32


def init_state(seed: int) -> int:
    return mix64((seed + 1) * 0x9E3779B97F4A7C15 & ALL)


def hash_string(value: str, seed: int) -> int:
    raw, state = value.encode(), init_state(seed)
    whole = len(raw) // 8 * 8
    for i in range(0, whole, 8):
        state = mix64(state ^ int.from_bytes(raw[i : i + 8], "big"))
    last = int.from_bytes(raw[whole:], "big") ^ len(raw) % 8 << 56
    return max(mix64((state + TAIL & ALL) ^ last), 1) if raw else 0


def words(text: str, split_unspaced: bool = True) -> list[str]:
    """Split a text of letters, digits, accents, ASCII punctuation and whitespace as `hash_words` does."""
    bare = "".join(
        c
        for c in unicodedata.normalize("NFD", text.lower().replace("\u03c2", "\u03c3"))
        if unicodedata.category(c) not in ("Mn", "Cf")
    )
    digits = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in bare)
    apart = UNSPACED.sub(lambda match: f" {match[0]} ", digits) if split_unspaced else digits
    return SEPARATORS.sub(" ", apart).split()


def hash_word(word: str) -> int:
    state = 0xCBF29CE484222325
    for letter in word:
        state = (state ^ ord(letter)) * 0x100000001B3 & ALL
    return mix64(state)


def ngrams(text: str, n: int) -> set[tuple[str, ...]]:
    text_words = words(text)
    return {tuple(text_words[i : i + n]) for i in range(len(text_words) - n + 1)}


def hash_ngram(ngram: tuple[str, ...]) -> int:
    rolling = 0
    for word in ngram:
        rolling = rolling * 0x2D358DCCAA6C78A7 + hash_word(word) & ALL
    return mix64(rolling)


def minima(hashes: set[int], n: int) -> list[int]:
    coefficients = [mix64(init_state(0xC0EF + k)) >> 32 for k in range(n)]
    return [min(((x & 0xFFFFFFFF) * a + (x >> 32)) & 0xFFFFFFFF for x in hashes) for a in coefficients]


def bands(text: str, n: int, buckets: int, hashes: int, seed: int) -> list[int]:
    grams = {hash_ngram(ngram) for ngram in ngrams(text, n)}
    if not grams:
        return [0] * buckets
    smallest, keys = minima(grams, buckets * hashes), []
    for band in range(buckets):
        state = init_state(seed + band)
        for minimum in smallest[band * hashes : (band + 1) * hashes]:
            state = mix64(state ^ minimum)
        keys.append(max(state, 1))
    return keys
