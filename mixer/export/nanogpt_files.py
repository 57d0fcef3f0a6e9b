"""The two files that nanoGPT needs beside the token ids: `meta.pkl` for train.py and sample.py, and a config.

sample.py decodes with `"".join(itos[id] for id in ids)` and encodes a prompt with `[stoi[c] for c in prompt]`, one id
for each character.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import IO

from gpts_data.mixer.format.mix import Mix
from gpts_data.tokenizer.artifact import TokenizerJson, read_tokenizer_json
from gpts_data.tokenizer.vocabulary_files import byte_characters

REPLACEMENT = "\ufffd"
BATCH = 64
CONFIG = """\
# Config of nanoGPT, in its folder:   python train.py FILE
#                                     python sample.py --out_dir=out-mix
# Without a GPU, append to both: --device=cpu, and to train.py also: --compile=False
# `config_file` is the path of this file, as nanoGPT's configurator.py knows it.
dataset = os.path.dirname(os.path.dirname(os.path.abspath(config_file)))
out_dir = "out-mix"

# One iteration draws {batch} sequences of {block_size} tokens; all together, as many tokens as the mix has: {tokens:,}.
batch_size = {batch}
block_size = {block_size}
gradient_accumulation_steps = 1
max_iters = {iterations}
lr_decay_iters = {iterations}
warmup_iters = {warmup}
eval_interval = {interval}  # a checkpoint is written at each evaluation
eval_iters = 20

# A model of 6.3M parameters without its embeddings
n_layer = 8
n_head = 4
n_embd = 256
dropout = 0.0
learning_rate = 1e-3
min_lr = 1e-4
beta2 = 0.99
"""


def config(mix: Mix, validation_windows: int) -> str:
    """The text of config/train_mix.py, which train.py executes.

    nanoGPT draws a sequence of block_size + 1 tokens at a random place of a file, so a file of one window has room for
    block_size = window - 1 at most.
    """
    block_size = mix.window - int(min(mix.windows, validation_windows or mix.windows) == 1)
    draws = -(-mix.tokens // (BATCH * block_size))
    interval = min(max(draws // 10, 1), 1000)
    iterations = -(-draws // interval) * interval  # the last iteration writes a checkpoint too
    return CONFIG.format(
        batch=BATCH,
        block_size=block_size,
        tokens=mix.tokens,
        iterations=iterations,
        warmup=min(max(iterations // 100, 1), 1000),
        interval=interval,
    )


def meta(file: IO[bytes], mix: Mix) -> Iterator[int]:
    """Write meta.pkl: a pickle of `vocab_size`, `itos` (id to text) and `stoi` (text to id).

    `itos` has every id. An id that is part of a character only has the text U+FFFD. `stoi` has every text that is a
    vocabulary entry on its own; of these, sample.py looks up those of one character. Raises `UsageError` for a
    tokenizer.json that cannot be read.
    """
    texts = _texts(read_tokenizer_json(mix.file("tokenizer/tokenizer.json")))
    itos = {number: texts.get(number, REPLACEMENT) for number in range(mix.vocab_size)}
    stoi: dict[str, int] = {}
    for number, text in itos.items():
        if REPLACEMENT not in text:
            stoi.setdefault(text, number)
    content = {"vocab_size": mix.vocab_size, "itos": itos, "stoi": stoi}
    file.write(pickle.dumps(content, protocol=4))
    yield 0


def _texts(tokenizer: TokenizerJson) -> dict[int, str]:
    """The text of each id. Tokens of a byte-level BPE spell their bytes by GPT-2's characters."""
    characters = byte_characters()
    texts = {}
    for token, number in tokenizer["model"]["vocab"].items():
        is_bytes = set(token) <= characters.keys()
        texts[number] = bytes(characters[c] for c in token).decode(errors="replace") if is_bytes else token
    return texts | {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
