"""Bits per byte of held-out text: a loss that does not depend on the tokenizer, by source."""

from __future__ import annotations

import json
import math

import numpy as np
import torch
from numpy.typing import NDArray

from gpts_data.mixer.mix import Mix
from gpts_data.pipelines.errors import UsageError
from gpts_data.tokenizer.artifact import load
from gpts_data.validation.device import autocast
from gpts_data.validation.model import GPTS

VALIDATION_WINDOWS = 64  # per source: some 33,000 tokens, about 10 s on two cores


def bytes_per_id(mix: Mix) -> NDArray[np.int64]:
    """Bytes of text that every id stands for, shape (vocab_size,): an entry's characters, and 0 for end-of-text.

    In a byte-level vocabulary a character stands for one byte. Raises `UsageError` for any other vocabulary.
    """
    path = load(mix.tokenizer).folder / "tokenizer.json"
    content = json.loads(path.read_bytes())
    vocabulary: dict[str, int] = content["model"]["vocab"]
    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    lengths = np.zeros(mix.vocab_size, dtype=np.int64)
    for entry, number in vocabulary.items():
        if not (entry in added or _BYTE_CHARACTERS.issuperset(entry)):
            raise UsageError(f"{path}: entry {entry!r} is not byte-level; bits per byte need a byte-level BPE")
        lengths[number] = len(entry)
    for entry, number in added.items():
        lengths[number] = len(entry.encode())  # added tokens are spelled as they are
    lengths[mix.eos_id] = 0
    return lengths


def _byte_characters() -> set[str]:
    """GPT-2's 256: the printable characters of Latin-1 for themselves, then U+0100.. for the bytes without one."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    return {chr(b) for b in printable} | {chr(0x100 + n) for n in range(256 - len(printable))}


_BYTE_CHARACTERS = _byte_characters()


@torch.inference_mode()
def bits_per_byte(
    model: GPTS, mix: Mix, source: str, id_bytes: NDArray[np.int64], batch_size: int
) -> float | None:  # fmt: skip
    """Nats over all targets of the source's held-out windows / ln 2 / bytes of the targets; None without any byte."""
    windows = mix.validation(source)[:VALIDATION_WINDOWS].astype(np.int64)
    n_bytes = int(id_bytes[windows[:, 1:]].sum())  # the first id of a window is never a target
    device = next(model.parameters()).device
    nats = 0.0
    for start in range(0, len(windows), batch_size):
        ids = torch.from_numpy(windows[start : start + batch_size]).to(device)
        with autocast(device):
            nats += model.loss(ids).item() * ids[:, 1:].numel()
    return nats / math.log(2) / n_bytes if n_bytes else None
