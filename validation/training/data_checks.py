"""Are the windows language, in the mix's own ids? Seconds of looking, before hours of training.

A mix can be exactly what its manifest says and still be worthless: written by a broken writer, or signed again after
it was spoiled. Each way to be so leaves its mark, looked for at the beginning of every shard:

    size        the file has the windows that the manifest says
    vocabulary  no id is above it; if one is and none is with swapped bytes, the byte order is wrong
    repeats     no file has windows of another, or of its own, again; but for a source's further passes (max_epochs)
    order       an id says more about the next one than about any other of its window
    text        decoded and encoded again, ids come back: those of another tokenizer, or renumbered ones, do not
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.storage.paths import load_npy
from gpts_data.tokenizer.encode import Encoder
from gpts_data.validation.verify import Problem

REPEATS = 1 << 18  # windows hashed, of all shards together: of 25B tokens 256 MB, two seconds; 700 of each shard
REPEATED = 0.1  # of a file's windows; documents are deduplicated, so next to none are the same by chance
ORDER = 1 << 13  # windows, of all files together, and of each at least
ORDER_OF_EACH = 32
GAP = 0.05  # nats; the sample has 1.75, 20 windows of it 0.45, made-up words of syllables 0.12, shuffled ones 0.013
TEXT = 256
TEXT_OF_EACH = 4
CHUNK, MARGIN = 48, 8  # ids encoded again, and those at its ends that may differ because the text was cut there
COMES_BACK = 0.8  # of chunks: all 630 of the sample's, 13 to 32% of other tokenizers', at most 40% of shuffled ones
FEW = 8  # chunks or more, to judge by

Rows = NDArray[np.uint16]  # (windows, window)


def find_data_problems(mix: Mix) -> list[Problem]:
    """What shows that training on the mix is no use: the first mark of each file; none of a good mix."""
    found = list(_sizes(mix))
    files = [] if found else _files(mix)
    checks = (_vocabulary, _repeats, _order, partial(_text, encoder=Encoder(mix.tokenizer, "tokenizers")))
    for check in checks:
        found += check(mix, files)
        files = [(name, rows) for name, rows in files if name not in {problem.file for problem in found}]
    return found


def _sizes(mix: Mix) -> Iterator[Problem]:
    for entry in mix.manifest["shards"]:
        path, expected = mix.path / entry["file"], entry["windows"] * mix.window * 2
        found = path.stat().st_size if path.is_file() else 0
        if found != expected:
            yield Problem(entry["file"], f"{found:,} bytes, expected {expected:,} for its windows")


def _files(mix: Mix) -> list[tuple[str, Rows]]:
    """Shards, then held-out windows, memory-mapped, by name."""
    shards = [(entry["file"], mix.shard(number)) for number, entry in enumerate(mix.manifest["shards"])]
    held = [(f"validation/{name}.bin", mix.validation(name)) for name in mix.sources]
    return [(name, rows) for name, rows in (*shards, *held) if len(rows)]


def _begin(files: list[tuple[str, Rows]], together: int, each: int = 1) -> Iterator[tuple[str, Rows]]:
    """The first windows of every file: an even part of `together`, and at least `each`."""
    for name, rows in files:
        yield name, rows[: max(together // len(files), each)]


def _vocabulary(mix: Mix, files: list[tuple[str, Rows]]) -> Iterator[Problem]:
    for name, rows in _begin(files, REPEATS):
        if (highest := int(rows.max())) < mix.vocab_size:
            continue
        swapped = int(rows[: ORDER_OF_EACH * 32].byteswap().max())
        why = (
            f"with bytes swapped the highest is {swapped:,}: its byte order is big-endian, expected little-endian"
            if swapped < mix.vocab_size
            else "these are ids of another, larger vocabulary"
        )
        yield Problem(name, f"id {highest:,}, expected ids below {mix.vocab_size:,}; {why}")


def _repeats(mix: Mix, files: list[tuple[str, Rows]]) -> Iterator[Problem]:
    """Windows by a hash: 64 bits, a random multiplier a place."""
    factors = np.random.default_rng(0).integers(2**64, size=mix.window, dtype=np.uint64)
    hashes = [_hashes(rows, factors) for _, rows in _begin(files, REPEATS)]
    if not hashes:
        return
    of = np.repeat(np.arange(len(files)), [len(part) for part in hashes])
    places = np.concatenate([_places(mix, name, len(part)) for (name, _), part in zip(files, hashes, strict=True)])
    _, first, same = np.unique(np.concatenate(hashes), return_index=True, return_inverse=True)
    earlier = first[same]
    further_pass = (places == places[earlier]) & (places >= 0)
    repeated = (earlier < np.arange(len(of))) & ~further_pass
    for number, (name, _) in enumerate(files):
        mine = repeated & (of == number)
        if mine.sum() > REPEATED * len(hashes[number]):
            ((twin, _),) = Counter(of[earlier[mine]].tolist()).most_common(1)
            where = "itself" if twin == number else files[twin][0]
            yield Problem(
                name, f"{mine.sum():,} of {len(hashes[number]):,} windows are there before, most in {where}: repeated"
            )


def _places(mix: Mix, file: str, count: int) -> NDArray[np.int64]:
    """Which window of its source a row is, where the source has several passes; else -1: it may be there but once."""
    passes = np.array([mix.manifest["sources"][name]["epochs"] for name in mix.sources])
    if (passes <= 1).all() or not file.startswith("shards/"):
        return np.full(count, -1, np.int64)
    rows = load_npy((mix.path / file).with_suffix(".windows.npy"))[:count]
    source = rows["source"].astype(np.int64)
    return np.where(passes[source] > 1, source << 32 | rows["window"], -1)


def _hashes(rows: Rows, factors: NDArray[np.uint64]) -> NDArray[np.uint64]:
    blocks = [rows[start : start + 1024] for start in range(0, len(rows), 1024)]  # uint64 of them: 4 MB
    return np.concatenate([(block.astype(np.uint64) * factors).sum(axis=1) for block in blocks])


def _order(mix: Mix, files: list[tuple[str, Rows]]) -> Iterator[Problem]:
    """Against the same windows shuffled: so neither their topics nor the smallness of the sample counts."""
    for name, rows in _begin(files, ORDER, ORDER_OF_EACH):
        if rows.size < 1000:
            continue  # too few to tell
        gap = next_id_entropy(np.random.default_rng(0).permuted(rows, axis=1)) - next_id_entropy(rows)
        if gap < GAP:
            yield Problem(
                name,
                f"an id says {max(gap, 0):.3f} nats more about the next than about any other of its window, expected "
                f"{GAP} or more: the ids are shuffled within the windows",
            )


def next_id_entropy(rows: Rows) -> float:
    """Entropy in nats of an id given the one before it, by the counts of pairs."""
    before, after = rows[:, :-1].astype(np.int64).ravel(), rows[:, 1:].astype(np.int64).ravel()
    return _entropy(np.unique(before << 16 | after, return_counts=True)[1]) - _entropy(np.bincount(before))


def _entropy(counts: NDArray[np.int64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _text(mix: Mix, files: list[tuple[str, Rows]], encoder: Encoder) -> Iterator[Problem]:
    for name, rows in _begin(files, TEXT, TEXT_OF_EACH):
        chunks = _chunks(rows, mix.eos_id)
        if len(chunks) < FEW:
            continue
        share = _comes_back(chunks, encoder)
        if share < COMES_BACK:
            swapped = [chunk.byteswap() for chunk in chunks]
            big = max(map(np.max, swapped)) < mix.vocab_size and _comes_back(swapped, encoder) >= COMES_BACK
            why = "their byte order is big-endian" if big else "these are ids of another tokenizer"
            yield Problem(
                name,
                f"of {len(chunks):,} pieces {share:.0%} come back when decoded and encoded again, "
                f"expected {COMES_BACK:.0%}: {why}",
            )


def _chunks(rows: Rows, eos_id: int) -> list[Rows]:
    """Pieces of CHUNK ids without end-of-text."""
    pieces = rows[:, : rows.shape[1] // CHUNK * CHUNK].reshape(-1, CHUNK)
    return list(pieces[(pieces != eos_id).all(axis=1)])


def _comes_back(chunks: list[Rows], encoder: Encoder) -> float:
    """Share of chunks whose ids, without those at the ends, are a run of those that their text encodes to."""
    back = 0
    for chunk in chunks:
        ids, _ = encoder.encode([encoder.decode(chunk)])
        back += ids.tobytes().find(chunk[MARGIN:-MARGIN].tobytes()) >= 0
    return back / len(chunks)
