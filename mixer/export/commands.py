"""The command or the lines of Python with which a trainer reads an export."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NANOGPT = """\
In nanoGPT's folder:
  python train.py {config}
  python sample.py --out_dir=out-mix"""
LLMC = """\
In llm.c's folder:
  ./train_gpt2cu -i {train} -j {val} -e d6 -t {window} -b 16 -d {batch} -h 0 -s 0"""
MODDED = """\
In modded-nanogpt's folder (val_tokens: a multiple of val_batch_size, at most {validation_tokens}):
  sed -i -e 's/^BOS_ID = .*/BOS_ID = {eos_id}/' -e 's#data/fineweb10B/fineweb_##' train_gpt.py
  DATA_PATH={out} ./run.sh"""
DATATROVE = """\
  from datatrove.utils.dataset import DatatroveFolderDataset
  # seq_len + 1 tokens are one window
  DatatroveFolderDataset({train!r}, seq_len={inputs}{token_size}, return_positions=True)"""
MEGATRON = """\
In Megatron-LM's folder, with the options of the model:
  python pretrain_gpt.py --train-data-path {train} --valid-data-path {val} --seq-length {window} \\
    --tokenizer-type HuggingFaceTokenizer --tokenizer-model {tokenizer} --reset-position-ids --reset-attention-mask"""
PARQUET = """\
  import datasets
  datasets.load_dataset({out!r})"""
MDS = """\
  from streaming import StreamingDataset
  StreamingDataset(local={out!r}, split="train", batch_size=8)"""


def command(manifest: Mapping[str, Any], out: Path) -> str:
    """What to run next, given the content of export.json and the folder of the export."""
    folder, window = out.resolve(), manifest["window"]
    name = manifest["export_format"]
    quoted = {key: shlex.quote(str(path)) for key, path in _paths(name, folder).items()}
    python = {key: str(path) for key, path in _paths(name, folder).items()}
    numbers = {
        "window": window,
        "inputs": window - 1,
        "batch": 16 * window,
        "eos_id": manifest["eos_id"],
        "token_size": "",
        "validation_tokens": f"{manifest['validation_windows'] * window:,}",
    }
    if manifest["vocab_size"] > 1 << 16:
        numbers["token_size"] = ", token_size=4"
    text = {
        "nanogpt": NANOGPT,
        "llmc": LLMC,
        "modded-nanogpt": MODDED,
        "datatrove": DATATROVE,
        "megatron": MEGATRON,
        "parquet": PARQUET,
        "mds": MDS,
    }[name]
    return text.format(**numbers, **(python if name in ("datatrove", "parquet", "mds") else quoted))


def missing_validation(manifest: Mapping[str, Any]) -> str | None:
    """One sentence when the export has no validation file; None otherwise."""
    if manifest["validation_windows"]:
        return None
    needs = {"nanogpt": "nanoGPT's train.py stops without val.bin; ", "llmc": "llm.c stops without a file for -j; "}
    return (
        f"no validation file: the held-out documents fill no window of {manifest['window']} tokens; "
        f"{needs.get(manifest['export_format'], '')}build the mix with a larger fraction in [validation]"
    )


def unmasked_padding(eos_id: int) -> str:
    """One sentence for an export of packed windows: none of the formats has a mask for the padding."""
    return (
        "The windows have padding, and this format has no mask for it: a training loop learns the padding unless it "
        f"sets labels to -100 where gpts_data.validation.loader.padding(ids, {eos_id}) is true"
    )


def _paths(name: str, out: Path) -> dict[str, Path]:
    files = {
        "llmc": ("train_*.bin", "val_*.bin"),
        "datatrove": ("train", "validation"),
        "megatron": ("train", "validation"),
    }
    train, val = files.get(name, ("train", "val"))
    return {
        "out": out,
        "train": out / train,
        "val": out / val,
        "config": out / "config/train_mix.py",
        "tokenizer": out / "tokenizer",
    }
