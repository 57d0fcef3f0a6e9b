"""The tokenizer's files of an exported model: those that we know, without anything that would load code.

The tokenizer of a mix may come from a stranger, and an exported model is loaded with `trust_remote_code`, which runs
any module in the folder that `auto_map` names, and any in another repository of the hub.
"""

from __future__ import annotations

from typing import Any

from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.atomic_files import pretty_json
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.storage.typed_json import JsonError, parse_json, read_regular_file
from gpts_data.tokenizer.artifact import FILES, MAX_BYTES

CONFIG = "tokenizer_config.json"
TOKEN_KEYS = {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}
KEPT_KEYS = {
    *TOKEN_KEYS,
    "added_tokens_decoder",
    "additional_special_tokens",
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "chat_template",
    "clean_up_tokenization_spaces",
    "extra_special_tokens",
    "model_max_length",
    "padding_side",
    "truncation_side",
}
"""The keys of tokenizer_config.json that say how texts become ids. `auto_map` and classes of other names load code."""


def exported_tokenizer(folder: AnyPath) -> dict[str, bytes]:
    """The content of each file, by name. Raises `UsageError` for a file that is too large, a pipe, or not JSON."""
    files: dict[str, bytes] = {}
    for name in FILES:
        path = folder / name
        try:
            content = read_regular_file(path, MAX_BYTES)
            files[name] = _safe_config(content) if name == CONFIG else content
        except FileNotFoundError:
            continue
        except JsonError as error:
            raise UsageError(f"{path}: {error}; expected a file of a tokenizer") from error
    return files


def _safe_config(content: bytes) -> bytes:
    """tokenizer_config.json with the keys that we know; unchanged when it has no others."""
    config = parse_json(content, dict[str, Any])
    kept = {key: value for key, value in config.items() if key in KEPT_KEYS}
    kept["tokenizer_class"] = "PreTrainedTokenizerFast"
    return content if kept == config else pretty_json(kept)
