"""Two more ways to read a byte-level BPE: tiktoken's rank file, and a list of the vocabulary for people.

tiktoken joins the two neighbours whose joint text has the lowest rank, `tokenizers` those whose merge comes first. A
rank is an id here, and ids are given in the order of the merges, so both join the same ones.
"""

from __future__ import annotations

import base64
import json
from typing import Any


def tiktoken_ranks(tokenizer_json: str) -> bytes | None:
    """Lines of base64 of a token's bytes and its rank, by rank, special tokens left out: `tiktoken.load` reads it.

    None where a rank file cannot say what the tokenizer does: ids not in the order of the merges, or no byte-level BPE.
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
    """One line an id: id, rank of its merge, text or bytes as Python writes them, the two parts it is merged from."""
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
    """Pairs; older files write them as one string with a blank between."""
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
    """GPT-2's: a printable Latin-1 byte is its own character, the others are 256, 257, ... in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTES = byte_characters()
