"""The padding token of an exported model.

Training needs none, since sequences are whole. With end-of-text in its place a fine-tuned model would never learn to
stop, because collators give padding no target; a new id would need a row in the weights. The vocabulary of a
byte-level BPE has an entry for each byte, however, and 13 bytes occur in no UTF-8 text. The export renames the entry of
such a byte to `<|pad|>`: the model never saw that id, and no other id changes.
"""

from __future__ import annotations

import json
from typing import Any

from gpts_data.pipelines.storage.atomic_files import pretty_json
from gpts_data.tokenizer.artifact import END_OF_TEXT
from gpts_data.tokenizer.vocabulary_files import byte_characters, vocabulary_listing

PAD = "<|pad|>"
BYTE = 0xFF  # the others are F5 to FE, C0 and C1: RFC 3629, section 1
Files = dict[str, bytes]


def with_padding_token(files: Files) -> tuple[Files, int]:
    """Return the files of a tokenizer with a padding token, and its id.

    tokenizer.tiktoken stays as it is: it has the bytes of every ordinary entry, and no special tokens.
    """
    content = json.loads(files["tokenizer.json"])
    pad = _add_padding_token(content)
    config, special = (
        json.loads(files.get(f"{name}.json", b"{}")) for name in ("tokenizer_config", "special_tokens_map")
    )
    settings = {
        "pad_token": pad,
        "padding_side": "left",  # generation continues at the right end of a row
        "model_input_names": ["input_ids", "attention_mask"],  # transformers 4 would add token_type_ids
    }
    changed = {
        "tokenizer.json": json.dumps(content, ensure_ascii=False, indent=2).encode(),
        "tokenizer_config.json": pretty_json({**config, **settings}),
        "special_tokens_map.json": pretty_json({**special, "pad_token": pad}),
        "vocabulary.txt": vocabulary_listing(json.dumps(content)).encode(),
    }
    ids = {token["content"]: token["id"] for token in content["added_tokens"]}
    return {**files, **changed}, ids[pad]


def _add_padding_token(content: dict[str, Any]) -> str:
    """Give the parsed tokenizer.json a padding token and return its string.

    A special token `<|pad|>` of the recipe is taken as it is. A vocabulary without such an entry, or with others merged
    from it, gets end-of-text.
    """
    added = {token["content"] for token in content["added_tokens"]}
    if PAD in added:
        return PAD
    vocabulary: dict[str, int] = content["model"]["vocab"]
    characters = {byte: character for character, byte in byte_characters().items()}
    entry = characters[BYTE]
    is_merged = any(entry in token for token in vocabulary.keys() - {entry} - added)
    if PAD in vocabulary or entry in added or is_merged or not vocabulary.keys() >= set(characters.values()):
        return END_OF_TEXT
    content["model"]["vocab"] = {PAD if token == entry else token: number for token, number in vocabulary.items()}
    token = {"id": vocabulary[entry], "content": PAD, "special": True, "normalized": False}
    token |= {"single_word": False, "lstrip": False, "rstrip": False}
    content["added_tokens"] = sorted([*content["added_tokens"], token], key=lambda each: each["id"])
    return PAD
