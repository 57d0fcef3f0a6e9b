"""A run as a folder for the hub: `AutoModelForCausalLM` and `AutoTokenizer` load it without this package.

model.safetensors                 float32, Llama's names: model.embed_tokens.weight, model.layers.0. ...
config.json                       sizes, and in `auto_map` where the code is
modeling_gpts.py, model.py        the code, as it is here
generation_config.json            the ids, and the published sampling
tokenizer.json and its company    the tokenizer of the mix
README.md                         a model card, with the digest of the mix
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gpts_data.pipelines.errors import DataError, ForeignFolderError, UsageError
from gpts_data.pipelines.storage.atomic_files import pretty_json, write_bytes
from gpts_data.tokenizer.artifact import Artifact
from gpts_data.tokenizer.artifact import load as load_tokenizer
from gpts_data.validation.model.model import GPTS, GPTSConfig
from gpts_data.validation.model.model_card import CODE, model_card

HERE = Path(__file__).parent
SAMPLING = {  # GPT-S-5M's card: greedy, so small a model soon repeats itself
    "do_sample": True,
    "temperature": 0.8,
    "top_p": 0.95,
    "repetition_penalty": 1.1,
    "no_repeat_ngram_size": 4,
}


@dataclass(frozen=True)
class Run:
    """What smoke-train left: sizes and float32 weights, its result, the manifest of its mix, and the tokenizer."""

    config: GPTSConfig
    weights: dict[str, Tensor]
    result: dict[str, Any]
    mix: dict[str, Any]
    tokenizer: Artifact


def read_run(run: Path) -> Run:
    """Raises `UsageError` for a folder that is no finished run, `DataError` for weights that do not fit the sizes."""
    for name in ("result.json", "config.json", "model.safetensors", "mix.json", "tokenizer"):
        if not (run / name).exists():
            raise UsageError(
                f"{run}: no {name} there; expected a finished run: gpts-data smoke-train MIX --out {run} makes one"
            )
    sizes, result, mix = (_json(run / name) for name in ("config.json", "result.json", "mix.json"))
    tokenizer = load_tokenizer(run / "tokenizer")
    try:
        config = GPTSConfig(**sizes)
        weights = load((run / "model.safetensors").read_bytes())
        with torch.device("meta"):  # shapes without memory
            GPTS(config).load_state_dict(weights, assign=True)
    except (TypeError, RuntimeError, SafetensorError) as error:
        raise DataError(f"{run}: weights and config.json do not fit: {error}; train again") from error
    if config.vocab_size != tokenizer.vocab_size:
        raise DataError(
            f"{run}: the model has {config.vocab_size:,} ids, its tokenizer {tokenizer.vocab_size:,}; train again"
        )
    return Run(config, weights, result, mix, tokenizer)


def export_model(run: Path, out: Path) -> dict[str, Any]:
    """Write the folder; the same run gives the same bytes. Returns parameters, mix_root_digest and the files' names.

    Raises as `read_run` does, and `ForeignFolderError` for an `out` that holds anything but an export.
    """
    source = read_run(run)
    _check(out)
    files = contents(source)
    for name, content in files.items():
        write_bytes(out / name, content)
    return {
        "parameters": sum(weight.numel() for weight in source.weights.values()),
        "mix_root_digest": source.mix["root_digest"],
        "files": sorted(files),
    }


def contents(run: Run) -> dict[str, bytes]:
    """Bytes by file name, config.json last: with it the folder is one that transformers loads."""
    eos = run.tokenizer.eos_id
    weights = {f"model.{name}": weight.contiguous() for name, weight in run.weights.items()}
    return {
        "model.safetensors": save(weights, metadata={"format": "pt"}),
        **{name: (HERE / name).read_bytes() for name in CODE},
        **{path.name: path.read_bytes() for path in sorted(run.tokenizer.folder.iterdir())},
        "generation_config.json": pretty_json(
            {"bos_token_id": eos, "eos_token_id": eos, "pad_token_id": eos, **SAMPLING}
        ),
        "README.md": model_card(run.config, run.result, run.mix, run.tokenizer).encode(),
        "config.json": pretty_json(
            {**hub_config(run.config, eos), "mix_root_digest": run.mix["root_digest"]}  # transformers carries it along
        ),
    }


def hub_config(config: GPTSConfig, eos: int) -> dict[str, Any]:
    """config.json, with Llama's names where Llama has one."""
    return {
        "architectures": ["GPTSForCausalLM"],
        "auto_map": {
            "AutoConfig": "modeling_gpts.GPTSConfig",
            "AutoModelForCausalLM": "modeling_gpts.GPTSForCausalLM",
        },
        "model_type": "gpts",
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.ffn,
        "max_position_embeddings": config.context,
        "rope_theta": config.rope_theta,
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": True,
        "use_cache": True,
        "dtype": "float32",
        "bos_token_id": eos,
        "eos_token_id": eos,
    }


def _check(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ForeignFolderError(f"{out}: a file; expected a folder for the model")
    if out.is_dir() and any(out.iterdir()) and not (out / CODE[0]).exists():
        raise ForeignFolderError(f"{out}: holds something else; choose an empty or a new folder")


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: not JSON: {error}; train again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: found a {type(value).__name__}, expected an object; train again")
    return value
