"""Checks that a mix holds language in the ids of its own tokenizer: seconds of work before hours of training.

A mix can match its manifest and still be worthless, if a broken program wrote it or its manifest was written anew after
the damage. Checksums cannot detect that. These checks read the beginning of every shard and validation file:

    size        the file has as many windows as the manifest says
    vocabulary  no id is too large; if one is, but none with its bytes swapped, the byte order is wrong
    repeats     the file does not repeat windows of itself or of another, except for further epochs (max_epochs)
    order       an id predicts the next one better than it predicts any other id of the window
    text        ids that are decoded and encoded again come back, which those of another tokenizer do not
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.mix_encoder import open_encoder
from gpts_data.mixer.format.training_order import sidecar
from gpts_data.tokenizer.artifact import TokenIds
from gpts_data.tokenizer.encode import Encoder
from gpts_data.validation.verify import Problem

REPEAT_WINDOWS = 1 << 18  # hashed, over all files: 256 MB and 2 s for 25B tokens, which is 700 windows of each shard
MAX_REPEATED = 0.1  # share of a file's windows; documents are deduplicated, so almost none are equal by chance
ORDER_WINDOWS = 1 << 13  # over all files
ORDER_FILE_WINDOWS = 32  # at least, of each file
MIN_ORDER_IDS = 1000  # fewer ids of a file prove nothing
MIN_GAIN = (
    0.05  # nats; the sample has 1.75, 20 windows of it 0.45, invented words of syllables 0.12, shuffled ids 0.013
)
TEXT_WINDOWS = 256
TEXT_FILE_WINDOWS = 4
CHUNK = 48  # ids that are encoded again together
MARGIN = 8  # ids at both ends of a chunk that may differ, because the text was cut there
MIN_UNCHANGED = 0.8  # share of chunks: the sample has 1.0, other tokenizers 0.13 to 0.32, shuffled windows at most 0.4
MIN_CHUNKS = 8  # fewer chunks of a file prove nothing

Rows = TokenIds  # (windows, window)


def find_data_problems(mix: Mix) -> list[Problem]:
    """Return the first problem of each file that makes training on the mix useless; an empty list for a good mix."""
    problems = list(_check_sizes(mix))
    files = [] if problems else _open_files(mix)
    encoder = open_encoder(mix, "tokenizers")
    for check in (_check_vocabulary, _check_repeats, _check_order, partial(_check_text, encoder=encoder)):
        problems += check(mix, files)
        bad_files = {problem.file for problem in problems}
        files = [(name, rows) for name, rows in files if name not in bad_files]
    return problems


def _check_sizes(mix: Mix) -> Iterator[Problem]:
    for entry in mix.manifest["shards"]:
        path, expected = mix.path / entry["file"], entry["windows"] * mix.window * mix.dtype.itemsize
        size = path.stat().st_size if path.is_file() else 0
        if size != expected:
            yield Problem(entry["file"], f"{size:,} bytes, expected {expected:,} for its windows")


def _open_files(mix: Mix) -> list[tuple[str, Rows]]:
    """Return names and memory-mapped windows of all shards, then of all validation files; empty ones left out."""
    shards = [(entry["file"], mix.shard(number)) for number, entry in enumerate(mix.manifest["shards"])]
    validation = [(f"validation/{name}.bin", mix.validation(name)) for name in mix.sources]
    return [(name, rows) for name, rows in (*shards, *validation) if len(rows)]


def _first_windows(files: list[tuple[str, Rows]], total: int, each: int = 1) -> Iterator[tuple[str, Rows]]:
    """Yield the first windows of every file: `total` divided by the files, but at least `each`."""
    for name, rows in files:
        yield name, rows[: max(total // len(files), each)]


def _check_vocabulary(mix: Mix, files: list[tuple[str, Rows]]) -> Iterator[Problem]:
    for name, rows in _first_windows(files, REPEAT_WINDOWS):
        if (highest := int(rows.max())) < mix.vocab_size:
            continue
        highest_swapped = int(rows[: ORDER_FILE_WINDOWS * 32].byteswap().max())
        cause = (
            f"with bytes swapped the highest is {highest_swapped:,}: its byte order is big-endian, expected "
            "little-endian"
            if highest_swapped < mix.vocab_size
            else "these are ids of another, larger vocabulary"
        )
        yield Problem(name, f"id {highest:,}, expected ids below {mix.vocab_size:,}; {cause}")


def _check_repeats(mix: Mix, files: list[tuple[str, Rows]]) -> Iterator[Problem]:
    """Compare windows by 64-bit hashes: the sum of their ids, each multiplied by a random number of its position."""
    factors = np.random.default_rng(0).integers(2**64, size=mix.window, dtype=np.uint64)
    hashes = [_hash_windows(rows, factors) for _, rows in _first_windows(files, REPEAT_WINDOWS)]
    if not hashes:
        return
    file_numbers = np.repeat(np.arange(len(files)), [len(part) for part in hashes])
    keys = np.concatenate([_epoch_keys(mix, name, len(part)) for (name, _), part in zip(files, hashes, strict=True)])
    _, first, inverse = np.unique(np.concatenate(hashes), return_index=True, return_inverse=True)
    earlier = first[inverse]  # the first window that equals each one
    further_epoch = (keys == keys[earlier]) & (keys >= 0)
    repeated = (earlier < np.arange(len(file_numbers))) & ~further_epoch
    for number, (name, _) in enumerate(files):
        in_file = repeated & (file_numbers == number)
        if in_file.sum() > MAX_REPEATED * len(hashes[number]):
            ((original, _),) = Counter(file_numbers[earlier[in_file]].tolist()).most_common(1)
            where = "itself" if original == number else files[original][0]
            yield Problem(
                name,
                f"{in_file.sum():,} of {len(hashes[number]):,} windows repeat earlier ones, most of them in {where}",
            )


def _epoch_keys(mix: Mix, file: str, count: int) -> NDArray[np.int64]:
    """Return which window of its source each row is, if the source has several epochs; else -1: repeats are errors."""
    epochs = np.array([mix.manifest["sources"][name]["epochs"] for name in mix.sources])
    if (epochs <= 1).all() or not file.startswith("shards/"):
        return np.full(count, -1, np.int64)
    number = [shard["file"] for shard in mix.manifest["shards"]].index(file)
    rows = sidecar(mix, number)[:count]
    source = rows["source"].astype(np.int64)
    return np.where(epochs[source] > 1, source << 32 | rows["window"], -1)


def _hash_windows(rows: Rows, factors: NDArray[np.uint64]) -> NDArray[np.uint64]:
    blocks = [rows[start : start + 1024] for start in range(0, len(rows), 1024)]  # each 4 MB as uint64
    return np.concatenate([(block.astype(np.uint64) * factors).sum(axis=1) for block in blocks])


def _check_order(mix: Mix, files: list[tuple[str, Rows]]) -> Iterator[Problem]:
    """Compare with the same windows shuffled, so that neither their topics nor the size of the sample matter."""
    for name, rows in _first_windows(files, ORDER_WINDOWS, ORDER_FILE_WINDOWS):
        if rows.size < MIN_ORDER_IDS:
            continue
        gain = next_id_entropy(np.random.default_rng(0).permuted(rows, axis=1)) - next_id_entropy(rows)
        if gain < MIN_GAIN:
            yield Problem(
                name,
                f"an id says {max(gain, 0):.3f} nats more about the next id than about any other of its window, "
                f"expected {MIN_GAIN} or more: the ids are shuffled within the windows",
            )


def next_id_entropy(rows: Rows) -> float:
    """Return the entropy of an id given the one before it, in nats, estimated from the counts of pairs."""
    before, after = rows[:, :-1].astype(np.int64).ravel(), rows[:, 1:].astype(np.int64).ravel()
    return _entropy(np.unique(before << 32 | after, return_counts=True)[1]) - _entropy(np.bincount(before))


def _entropy(counts: NDArray[np.int64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _check_text(mix: Mix, files: list[tuple[str, Rows]], encoder: Encoder) -> Iterator[Problem]:
    for name, rows in _first_windows(files, TEXT_WINDOWS, TEXT_FILE_WINDOWS):
        chunks = _chunks(rows, mix.eos_id)
        if len(chunks) < MIN_CHUNKS:
            continue
        share = _unchanged_share(chunks, encoder)
        if share < MIN_UNCHANGED:
            swapped = [chunk.byteswap() for chunk in chunks]
            is_big_endian = (
                max(map(np.max, swapped)) < mix.vocab_size and _unchanged_share(swapped, encoder) >= MIN_UNCHANGED
            )
            cause = "their byte order is big-endian" if is_big_endian else "these are ids of another tokenizer"
            yield Problem(
                name,
                f"{share:.0%} of {len(chunks):,} pieces have the same ids after decoding and encoding, expected "
                f"{MIN_UNCHANGED:.0%} or more: {cause}",
            )


def _chunks(rows: Rows, eos_id: int) -> list[Rows]:
    """Return the pieces of CHUNK ids that have no end-of-text."""
    pieces = rows[:, : rows.shape[1] // CHUNK * CHUNK].reshape(-1, CHUNK)
    return list(pieces[(pieces != eos_id).all(axis=1)])


def _unchanged_share(chunks: list[Rows], encoder: Encoder) -> float:
    """Return the share of chunks that keep their ids, except those at the ends, when decoded and encoded again."""
    unchanged = 0
    for chunk in chunks:
        ids, _ = encoder.encode([encoder.decode(chunk)])
        unchanged += ids.tobytes().find(chunk[MARGIN:-MARGIN].tobytes()) >= 0
    return unchanged / len(chunks)
