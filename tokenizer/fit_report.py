"""Measure how well a tokenizer fits a recipe: bytes per token on each source, compared with other vocabulary sizes.

    sample of the recipe ── by hash of the text ─┬─ 7/8 ── train once, keep 2,048, 4,096, 8,192, 16,384 entries
                                                 └─ 1/8 ── encode with each of these and with the reported tokenizer

The merges of a smaller vocabulary are the first merges of a larger one, so one training gives all sizes. The reported
tokenizer may have been trained on the held-out eighth. Comparing it with the vocabulary of the same size, which was
not, shows how much that matters.
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
HELD_OUT = 8  # one text in 8 is held out
LONGEST = 10  # entries that the report lists
WIDTH, BODY = 192, 4_372_032  # GPT-S: width of the embedding, which is tied to the output; other parameters

Texts = Mapping[str, Sequence[str]]


def report(
    folder: Path, texts: Texts, weights: Mapping[str, float], compare_with: Sequence[Path] = ()
) -> dict[str, Any]:
    """Measure the tokenizer in `folder` on the held-out eighth of each source's texts.

    Args:
        folder: The reported tokenizer.
        texts: Sampled texts of each source.
        weights: Weight of each source in the mix.
        compare_with: Folders of other tokenizers to measure.

    Returns the facts of the report, ready for JSON; those of the other tokenizers are under "beside". Raises
    `DataError` when no text of a source is held out.
    """
    training, held_out = split_held_out(texts)
    with tempfile.TemporaryDirectory() as work:
        folders = {f"{size:,}": path for size, path in _smaller_vocabularies(training, Path(work))}
        folders |= {path.name: path for path in compare_with}
        others = {name: _measure(Encoder(path), held_out, weights)[0] for name, path in folders.items()}
    rates, used = _measure(Encoder(folder), held_out, weights)
    return {
        "digest": artifact.load(folder).digest,
        "held_out_bytes": {name: _utf8_size(source_texts) for name, source_texts in held_out.items()},
        **rates,
        **_entry_statistics(folder, used),
        "beside": others,
    }


def split_held_out(texts: Texts) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """(training texts, held-out texts) of each source, chosen by hash, so that equal texts are on the same side."""
    training, held_out = {}, {}
    for name, source_texts in texts.items():
        is_out = [sha256(text.encode()).digest()[0] % HELD_OUT == 0 for text in source_texts]
        training[name] = [text for text, out in zip(source_texts, is_out, strict=True) if not out]
        held_out[name] = [text for text, out in zip(source_texts, is_out, strict=True) if out]
        if not held_out[name]:
            raise DataError(
                f"source {name!r}: none of {len(source_texts):,} sampled documents is held out to measure on, expected "
                f"one of {HELD_OUT}; give the source more documents, or raise tokenizer.sample"
            )
    return training, held_out


def truncate_vocabulary(tokenizer_json: str, size: int) -> str | None:
    """The tokenizer with only its first `size` entries; None when it has fewer."""
    content = json.loads(tokenizer_json)
    vocabulary = content["model"]["vocab"]
    if len(vocabulary) < size:
        return None
    kept = {token: i for token, i in vocabulary.items() if i < size}
    merges = [pair for pair in content["model"]["merges"] if "".join(pair) in kept]
    content["model"] |= {"vocab": kept, "merges": merges}
    return json.dumps(content, ensure_ascii=False)


def _smaller_vocabularies(training: Texts, work: Path) -> list[tuple[int, Path]]:
    """Train the largest of SIZES and save each size in a folder of `work`; returns pairs of size and folder."""
    folders = []
    largest = train_bpe([list(texts) for texts in training.values()], max(SIZES)).to_str()
    for size in SIZES:
        if smaller := truncate_vocabulary(largest, size):
            artifact.save(smaller, work / str(size), 0)
            folders.append((size, work / str(size)))
    return folders


def _measure(
    encoder: Encoder, held_out: Texts, weights: Mapping[str, float]
) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """(sizes and bytes per token, ready for JSON; how often each id was used, int64, shape (vocab_size,)).

    "by_weight" is the bytes per token of the whole mix: the harmonic mean of the sources' rates, weighted.
    """
    used, rates = np.zeros(encoder.vocab_size, np.int64), {}
    for name, texts in held_out.items():
        ids, _ = encoder.encode(list(texts))
        used += np.bincount(ids, minlength=encoder.vocab_size)
        rates[name] = _utf8_size(texts) / max(len(ids) - len(texts), 1)
    used[encoder.eos_id] = 0
    embedding = encoder.vocab_size * WIDTH
    return {
        "vocab_size": encoder.vocab_size,
        "embedding_share": embedding / (embedding + BODY),
        "bytes_per_token": rates,
        "by_weight": sum(weights.values()) / sum(weights[name] / rate for name, rate in rates.items()),
    }, used


def _entry_statistics(folder: Path, used: NDArray[np.int64]) -> dict[str, Any]:
    """Shares of entries that were never used and of single-byte tokens, and the longest entries."""
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
    byte_of = byte_characters()
    if not set(token) <= byte_of.keys():
        return token
    return bytes(byte_of[character] for character in token).decode(errors="replace")


def _utf8_size(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in texts)
