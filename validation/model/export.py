"""Exports a training run as a model folder that transformers loads without this package.

`AutoModelForCausalLM` and `AutoTokenizer` need trust_remote_code, since the folder brings its own code:

    model.safetensors         float32 weights under Llama's names: model.embed_tokens.weight, model.layers.0. ...
    config.json               the sizes, the special ids, and in `auto_map` the names of the classes
    modeling_gpts.py, ...     copies of the code in this package: CODE of model_card.py
    generation_config.json    special ids, and the published sampling parameters
    tokenizer.json, ...       the mix's tokenizer (tokenizer_files.py) with a padding token (padding_token.py)
    README.md                 model card, with the root digest of the mix
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gpts_data.pipelines.errors import DataError, ForeignFolderError, UsageError
from gpts_data.pipelines.storage.atomic_files import pretty_json, write_bytes
from gpts_data.pipelines.storage.typed_json import read_regular_file
from gpts_data.tokenizer.artifact import Artifact
from gpts_data.tokenizer.untrusted import check_untrusted
from gpts_data.validation.model.model import GPTS, GPTSConfig
from gpts_data.validation.model.model_card import CODE, model_card
from gpts_data.validation.model.padding_token import with_padding_token
from gpts_data.validation.model.tokenizer_files import exported_tokenizer
from gpts_data.validation.model.weights import load_weights
from gpts_data.validation.run_files import MixOfRun, ModelSizes, RunResult, read_mix, read_result, read_run_file

CODE_FOLDER = Path(__file__).parent
MAX_WEIGHT_BYTES = 64 << 30  # 16 billion parameters
SAMPLING = {  # as on GPT-S-5M's card; with greedy decoding so small a model soon repeats itself
    "do_sample": True,
    "temperature": 0.8,
    "top_p": 0.95,
    "repetition_penalty": 1.1,
    "no_repeat_ngram_size": 4,
}


@dataclass(frozen=True)
class Run:
    """A finished training run, read from its folder."""

    config: GPTSConfig
    weights: dict[str, Tensor]
    """float32, by the parameter names of model.py."""
    result: RunResult
    mix: MixOfRun
    tokenizer: Artifact


def read_run(run: Path) -> Run:
    """Read the folder of a run.

    Raises `UsageError` for a folder that is not a finished run, and `DataError` when its weights, sizes and tokenizer
    do not fit together.
    """
    for name in ("result.json", "config.json", "model.safetensors", "mix.json", "tokenizer"):
        if not (run / name).exists():
            missing = f"no {name} in this folder" if run.is_dir() else "no such folder"
            raise UsageError(
                f"{run}: {missing}; expected a finished run, as written by gpts-data smoke-train MIX --out {run}"
            )
    sizes = read_run_file(run / "config.json", ModelSizes)
    result, mix = read_result(run), read_mix(run)
    tokenizer = check_untrusted(run / "tokenizer")
    try:
        config = GPTSConfig(**sizes)
        weights = load(read_regular_file(run / "model.safetensors", MAX_WEIGHT_BYTES))
        if config.heads % config.kv_heads or config.head_dim % 2:
            raise ValueError(f"{config.heads} heads in {config.kv_heads} groups, of dimension {config.head_dim}")
        if config.layers > len(weights):  # a model of a billion layers would take hours to make, even without memory
            raise ValueError(f"{config.layers:,} layers, but {len(weights):,} tensors")
        with torch.device("meta"):  # shapes without memory
            load_weights(GPTS(config), weights, assign=True)
    except (TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise DataError(f"{run}: the weights do not fit config.json: {error}; train again") from error
    if config.vocab_size != tokenizer.vocab_size:
        raise DataError(
            f"{run}: the model has {config.vocab_size:,} vocabulary entries, its tokenizer {tokenizer.vocab_size:,}; "
            "train again"
        )
    return Run(config, weights, result, mix, tokenizer)


def export_model(run: Path, out: Path) -> dict[str, Any]:
    """Export the run `run` to the folder `out`. The same run always gives the same bytes.

    Returns `parameters`, `mix_root_digest` and `files`, the sorted file names. Raises what `read_run` raises, and
    `ForeignFolderError` when `out` holds anything but an earlier export.
    """
    source = read_run(run)
    _check_folder(out)
    files = contents(source)
    for name, content in files.items():
        write_bytes(out / name, content)
    return {
        "parameters": sum(weight.numel() for weight in source.weights.values()),
        "mix_root_digest": source.mix["root_digest"],
        "files": sorted(files),
    }


def contents(run: Run) -> dict[str, bytes]:
    """Return the content of each file. config.json is last, because with it transformers accepts the folder."""
    tokenizer, pad = with_padding_token(exported_tokenizer(run.tokenizer.folder))
    ids = special_ids(run.tokenizer.eos_id, pad)
    weights = {f"model.{name}": weight.contiguous() for name, weight in run.weights.items()}
    return {
        "model.safetensors": save(weights, metadata={"format": "pt"}),
        **tokenizer,
        **{name: (CODE_FOLDER / name).read_bytes() for name in CODE},
        "generation_config.json": pretty_json({**ids, **SAMPLING}),
        "README.md": model_card(run.config, run.result, run.mix, run.tokenizer, pad).encode(),
        "config.json": pretty_json(
            {
                **hub_config(run.config, ids),
                "mix_root_digest": run.mix["root_digest"],
            }  # transformers keeps unknown keys
        ),
    }


def special_ids(eos: int, pad: int) -> dict[str, int]:
    """Return the special ids under transformers' keys. End-of-text, which stands between documents, also begins one."""
    return {"bos_token_id": eos, "eos_token_id": eos, "pad_token_id": pad}


def hub_config(config: GPTSConfig, ids: dict[str, int]) -> dict[str, Any]:
    """Return the content of config.json. Sizes have the names that Llama's configuration gives them."""
    return {
        "architectures": ["GPTSForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_gpts.GPTSConfig",
            "AutoModel": "modeling_gpts.GPTSModel",
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
        **ids,
    }


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ForeignFolderError(f"{out}: found a file, expected a folder for the model")
    if out.is_dir() and any(out.iterdir()) and not (out / CODE[0]).exists():
        raise ForeignFolderError(f"{out}: the folder holds something else; choose an empty or a new one")
