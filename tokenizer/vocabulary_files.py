"""Two further files of a byte-level BPE: a rank file for tiktoken, and a readable list of the vocabulary.

tiktoken merges the two neighbours whose combined bytes have the lowest rank, `tokenizers` the two whose merge comes
first. Our ranks are ids, and ids are in the order of the merges, so both merge the same neighbours.
"""

from __future__ import annotations

import base64
import json
from typing import Any


def tiktoken_ranks(tokenizer_json: str) -> bytes | None:
    """A rank file for `tiktoken.load`: one line per ordinary token with its bytes in base64 and its rank, by rank.

    None when a rank file cannot describe the tokenizer: its ids are not in the order of the merges, or it is not a
    byte-level BPE.
    """
    content = json.loads(tokenizer_json)
    ordinary = _ordinary_tokens(content)
    merged = [ordinary.get("".join(pair), -1) for pair in _merges(content)]
    if merged != sorted(set(merged)) or not all(set(token) <= _BYTES.keys() for token in ordinary):
        return None
    lines = [
        base64.b64encode(_token_bytes(token)) + f" {number}\n".encode()
        for token, number in sorted(ordinary.items(), key=lambda entry: entry[1])
    ]
    return b"".join(lines)


def vocabulary_listing(tokenizer_json: str) -> str:
    """One line per id: the id, the rank of its merge, its text or bytes as a Python literal, and its two parts."""
    content = json.loads(tokenizer_json)
    ranks: dict[str, tuple[int, list[str]]] = {}
    for rank, pair in enumerate(_merges(content)):
        ranks.setdefault("".join(pair), (rank, pair))
    special = {token["content"]: token["id"] for token in content["added_tokens"]}
    lines = ["id\tmerge\ttoken\tparts"]
    for token, number in sorted({**content["model"]["vocab"], **special}.items(), key=lambda entry: entry[1]):
        rank, pair = ranks.get(token, (-1, []))
        shown = token if token in special else _printable(token)
        lines.append(f"{number}\t{rank if pair else ''}\t{shown}\t{' + '.join(map(_printable, pair))}")
    return "\n".join(lines) + "\n"


def _ordinary_tokens(content: dict[str, Any]) -> dict[str, int]:
    special = {token["content"] for token in content["added_tokens"]}
    return {token: number for token, number in content["model"]["vocab"].items() if token not in special}


def _merges(content: dict[str, Any]) -> list[list[str]]:
    """Pairs of strings. Older files write a pair as one string with a space in between."""
    return [merge.split(" ") if isinstance(merge, str) else merge for merge in content["model"].get("merges", [])]


def _printable(token: str) -> str:
    if not set(token) <= _BYTES.keys():
        return repr(token)
    try:
        return repr(_token_bytes(token).decode())
    except UnicodeDecodeError:
        return repr(_token_bytes(token))


def _token_bytes(token: str) -> bytes:
    return bytes(_BYTES[char] for char in token)


def byte_characters() -> dict[str, int]:
    """GPT-2's mapping from characters to bytes.

    A printable Latin-1 byte is its own character; the other bytes are the characters 256, 257, ... in order.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTES = byte_characters()
