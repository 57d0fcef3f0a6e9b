"""How well a tokenizer fits a mix: bytes per token of each source, beside vocabularies of other sizes.

    sample of the recipe ── by hash of the text ─┬─ 7/8 ── one training, cut off at 2,048, 4,096, 8,192, 16,384 entries
                                                 └─ 1/8 ── encoded by all of them, and by the tokenizer in question

The merges of a smaller vocabulary are the first ones of a larger, so one training gives all. The tokenizer in question
may have been trained on the eighth: what that is worth shows the vocabulary of its size, which was not.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.errors import DataError
from gpts_data.tokenizer import artifact
from gpts_data.tokenizer.bpe import train_bpe
from gpts_data.tokenizer.encode import Encoder
from gpts_data.tokenizer.vocabulary_files import byte_characters

SIZES = (2048, 4096, 8192, 16384)
HELD_OUT = 8  # one text of so many
LONGEST = 10
WIDTH, BODY = 192, 4_372_032  # GPT-S: width of an embedding, tied to the output; parameters of all that is no embedding

Texts = Mapping[str, Sequence[str]]


def report(
    folder: Path, texts: Texts, weights: Mapping[str, float], compare_with: Sequence[Path] = ()
) -> dict[str, Any]:
    """The tokenizer in `folder` on the held-out eighth of each source's `texts`, with others beside it.

    Raises `DataError` when a source has no text that is held out.
    """
    training, held = split_held_out(texts)
    with tempfile.TemporaryDirectory() as work:
        folders = {f"{size:,}": path for size, path in _smaller_vocabularies(training, Path(work))}
        folders |= {path.name: path for path in compare_with}
        others = {name: _measure(Encoder(path), held, weights)[0] for name, path in folders.items()}
    coder = Encoder(folder)
    rates, used = _measure(coder, held, weights)
    return {
        "digest": artifact.load(folder).digest,
        "held_out_bytes": {name: _utf8_size(some) for name, some in held.items()},
        **rates,
        **_entry_statistics(folder, used),
        "beside": others,
    }


def split_held_out(texts: Texts) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Texts to train on and texts held out, by source; equal texts are on one side."""
    training, held = {}, {}
    for name, some in texts.items():
        out = [sha256(text.encode()).digest()[0] % HELD_OUT == 0 for text in some]
        training[name] = [text for text, is_out in zip(some, out, strict=True) if not is_out]
        held[name] = [text for text, is_out in zip(some, out, strict=True) if is_out]
        if not held[name]:
            raise DataError(
                f"source {name!r}: none of {len(some):,} sampled documents is held out to measure on, expected one of "
                f"{HELD_OUT}; give the source more documents, or raise tokenizer.sample"
            )
    return training, held


def truncate_vocabulary(tokenizer_json: str, size: int) -> str | None:
    """The tokenizer with its first `size` entries; None when it has fewer."""
    content = json.loads(tokenizer_json)
    vocabulary = content["model"]["vocab"]
    if len(vocabulary) < size:
        return None
    kept = {token: i for token, i in vocabulary.items() if i < size}
    merges = [pair for pair in content["model"]["merges"] if "".join(pair) in kept]
    content["model"] |= {"vocab": kept, "merges": merges}
    return json.dumps(content, ensure_ascii=False)


def _smaller_vocabularies(training: Texts, work: Path) -> list[tuple[int, Path]]:
    found = []
    largest = train_bpe([list(some) for some in training.values()], max(SIZES)).to_str()
    for size in SIZES:
        if smaller := truncate_vocabulary(largest, size):
            artifact.save(smaller, work / str(size), 0)
            found.append((size, work / str(size)))
    return found


def _measure(coder: Encoder, held: Texts, weights: Mapping[str, float]) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """(size, embedding share, bytes per token by source and by weight), and how often each id was used, int64."""
    used, rates = np.zeros(coder.vocab_size, np.int64), {}
    for name, texts in held.items():
        ids, _ = coder.encode(list(texts))
        used += np.bincount(ids, minlength=coder.vocab_size)
        rates[name] = _utf8_size(texts) / max(len(ids) - len(texts), 1)
    used[coder.eos_id] = 0
    embedding = coder.vocab_size * WIDTH
    return {
        "vocab_size": coder.vocab_size,
        "embedding_share": embedding / (embedding + BODY),
        "bytes_per_token": rates,
        "by_weight": sum(weights.values()) / sum(weights[name] / rate for name, rate in rates.items()),
    }, used


def _entry_statistics(folder: Path, used: NDArray[np.int64]) -> dict[str, Any]:
    """What became of the entries: never used, single bytes, the longest."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    special = tokenizer.get_added_tokens_decoder()
    ordinary = {token: i for token, i in tokenizer.get_vocab().items() if i not in special}
    single = [i for token, i in ordinary.items() if len(token) == 1]
    longest = sorted(ordinary, key=lambda token: (-len(token), ordinary[token]))[:LONGEST]
    return {
        "never_used": sum(used[i] == 0 for i in ordinary.values()) / len(ordinary),
        "never_used_without_bytes": float(np.mean([used[i] == 0 for t, i in ordinary.items() if len(t) > 1] or [0])),
        "single_bytes": int(used[single].sum()) / max(int(used.sum()), 1),
        "longest": [_token_text(token) for token in longest],
    }


def _token_text(token: str) -> str:
    letters = byte_characters()
    if not set(token) <= letters.keys():
        return token
    return bytes(letters[letter] for letter in token).decode(errors="replace")


def _utf8_size(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in texts)
