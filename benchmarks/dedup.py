"""Near-duplicates: speed, recall and precision of our keys and of others' signatures in the same greedy dedup.

    python -m benchmarks.dedup [--rounds 3] [--draws 10]
    python -m benchmarks.dedup FOLDER    parquet with a column `text`: all of it, and copies of 2,000 of its documents

Truth: exact Jaccard over lower-cased 5-grams of whitespace words, of all pairs at 0.5 or more. Without a folder the
bundled sample, twice. Planted: each round 1,500 beginnings of documents (at most 400 words) and copies of 520 of them
in which 1, 2, 5 or 10 % of the words are exchanged, shuffled. Real: whole documents as they are. All methods have 112
hashes in 14 bands of 8; a document is dropped when it shares a band with an earlier one that was kept. "verified" is
what a build does by default: the exact Jaccard similarity of the two documents must be 0.5 or more, too. Counts are
summed over the rounds.

recall: of documents with an earlier one at J >= 0.8, those dropped. precision: of the dropped, those whose named twin
is at J >= 0.5, >= 0.8. found: of planted pairs, those whose later half is dropped. Each method's hash functions are one
draw, and a draw may be lucky: "other draws" are the same words with other functions, all counts summed. MB/s is the
best run within a second; ours is the whole of `Signer.sign`. rensa and datasketch are left out where they are not
installed; they get their n-grams from Python, which counts as theirs.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from benchmarks.truth import N_GRAM, Truth, ngrams
from gpts_data.mixer.stages.similarity import jaccard, ngrams_of
from gpts_data.pipelines.dedup.greedy import FIRST_DUPLICATE, SimilarityTest, decide
from gpts_data.pipelines.dedup.minhash import hash_bands
from gpts_data.pipelines.dedup.signatures import FIRST_BAND, Dedup, signer
from gpts_data.pipelines.text.hashing import string_buffers
from gpts_data.pipelines.text.normalization import normalization_table

SAMPLE = Path(__file__).parents[1] / "cli" / "presets" / "sample"
EDITS = (0.01, 0.02, 0.05, 0.1)
N_BASES, N_COPIES, N_WORDS = 1500, 130, 400
N_CORPUS_COPIES = 500
N_BANDS, N_HASHES = 14, 112

Keys = NDArray[np.uint64]
Signature = NDArray[np.generic] | None
"""None for a text shorter than one n-gram."""
Method = Callable[[pa.RecordBatch], Keys]


@dataclass
class Score:
    seconds: float = 0.0
    size: int = 0
    repeats: int = 0  # documents with an earlier one at J >= 0.8
    recalled: int = 0
    dropped: int = 0
    near: int = 0  # dropped, the twin at J >= 0.5
    nearer: int = 0  # dropped, the twin at J >= 0.8
    found: Counter[float] = field(default_factory=Counter)
    planted: Counter[float] = field(default_factory=Counter)


def ours(batch: pa.RecordBatch) -> Keys:
    return signer(Dedup()).sign(batch, "benchmark")[:, FIRST_BAND:]


def our_draws(batch: pa.RecordBatch, seeds: range) -> Iterator[Keys]:
    letters = normalization_table(split_unspaced=True)
    for seed in seeds:
        keys = np.zeros((batch.num_rows, N_BANDS), np.uint64)
        functions = np.random.default_rng(seed).integers(0, 1 << 32, N_HASHES, dtype=np.uint32)
        hash_bands(string_buffers(batch["text"]), letters, functions, N_GRAM, N_HASHES // N_BANDS, 0, keys)
        yield keys


def datatrove(batch: pa.RecordBatch) -> Keys:
    return next(datatrove_draws(batch, range(1, 2)))  # 1 is its own seed


def datatrove_draws(batch: pa.RecordBatch, seeds: range) -> Iterator[Keys]:
    steps = [MinhashDedupSignature("memory://benchmark", MinhashConfig(seed=seed)) for seed in seeds]
    shingles = [steps[0].get_shingles(text) for text in batch["text"].to_pylist()]
    for step in steps:
        yield keys_of([np.array(step.get_signature(s)).ravel() if s.size else None for s in shingles])


def rensa(batch: pa.RecordBatch) -> Keys:
    from rensa import RMinHash

    signatures: list[Signature] = []
    for text in batch["text"].to_pylist():
        minhash = RMinHash(num_perm=N_HASHES, seed=1)
        grams = ngrams(text)
        minhash.update(grams)
        signatures.append(np.array(minhash.digest()) if grams else None)
    return keys_of(signatures)


def datasketch(batch: pa.RecordBatch) -> Keys:
    from datasketch import MinHash

    shared, signatures = MinHash(num_perm=N_HASHES), list[Signature]()
    for text in batch["text"].to_pylist():
        minhash = MinHash(num_perm=N_HASHES, permutations=shared.permutations, scheme=shared.scheme)
        grams = ngrams(text)
        minhash.update_batch([gram.encode() for gram in grams])
        signatures.append(minhash.hashvalues if grams else None)
    return keys_of(signatures)


def keys_of(signatures: Sequence[Signature]) -> Keys:
    keys = np.zeros((len(signatures), N_BANDS), np.uint64)
    for row, signature in enumerate(signatures):
        if signature is not None:
            bands = enumerate(signature.reshape(N_BANDS, -1))
            keys[row] = [xxh3_64_intdigest(band.tobytes(), i) for i, band in bands]
    return keys


METHODS: dict[str, Method] = {"ours": ours, "datatrove": datatrove, "rensa": rensa, "datasketch": datasketch}
VERIFIED = "ours, verified"
DRAWS = {"ours, other draws": our_draws, "datatrove, other draws": datatrove_draws}


@dataclass(frozen=True)
class Planted:
    texts: list[str]
    pairs: list[tuple[float, int]]
    """How much was edited, and which document is the later of original and copy."""


def plant(documents: Sequence[str], seed: int) -> Planted:
    rng = random.Random(seed)
    bases = [" ".join(text.split()[:N_WORDS]) for text in rng.sample(documents, N_BASES)]
    return with_copies(bases, N_COPIES, rng)


def with_copies(bases: Sequence[str], n_copies: int, rng: random.Random) -> Planted:
    """All documents and, of each share of edits, `n_copies` edited copies of different ones, shuffled."""
    originals = rng.sample(range(len(bases)), n_copies * len(EDITS))
    edits = [EDITS[i // n_copies] for i in range(len(originals))]
    pool = " ".join(bases[i] for i in originals).split()
    copies = [edited(bases[i], edit, pool, rng) for i, edit in zip(originals, edits, strict=True)]
    documents = [*bases, *copies]
    order = list(range(len(bases) + len(copies)))
    rng.shuffle(order)
    place = {document: i for i, document in enumerate(order)}
    pairs = [
        (edit, max(place[original], place[len(bases) + i]))
        for i, (original, edit) in enumerate(zip(originals, edits, strict=True))
    ]
    return Planted([documents[i] for i in order], pairs)


def edited(text: str, share: float, pool: Sequence[str], rng: random.Random) -> str:
    words = text.split()
    for i in rng.sample(range(len(words)), max(1, round(share * len(words)))):
        words[i] = rng.choice(pool)
    return " ".join(words)


def verification(texts: Sequence[str]) -> SimilarityTest:
    """What a build asks about two documents that share a band."""
    settings = Dedup().minhash
    assert settings is not None
    ngrams_at = cache(lambda row: ngrams_of(texts[row], settings.ngrams))
    return lambda document, other: jaccard(ngrams_at(document), ngrams_at(other)) >= settings.jaccard


def judge(score: Score, keys: Keys, planted: Planted, truth: Truth, similar: SimilarityTest | None = None) -> None:
    n = len(keys)
    verdicts = decide(keys, np.ones(n, np.uint32), np.zeros(n, np.bool_), n + 1, similar)
    dropped = verdicts.codes >= FIRST_DUPLICATE
    twins = dict(zip(np.flatnonzero(dropped).tolist(), verdicts.duplicate_of.tolist(), strict=True))
    for row in range(n):
        if truth.best(row) >= 0.8:
            score.repeats += 1
            score.recalled += bool(dropped[row])
        if dropped[row]:
            similarity = truth.jaccard(row, twins[row])
            score.dropped += 1
            score.near += similarity >= 0.5
            score.nearer += similarity >= 0.8
    for edit, later in planted.pairs:
        score.planted[edit] += 1
        score.found[edit] += bool(dropped[later])


def as_batch(texts: Sequence[str]) -> pa.RecordBatch:
    names = [f"https://example.org/{i}" for i in range(len(texts))]
    return pa.RecordBatch.from_pydict({"text": texts, "id": names, "url": names})


def available() -> dict[str, Method]:
    found = {}
    for name, method in METHODS.items():
        try:
            method(as_batch(["a text of the length of five words and more"] * 2))  # imports and compiles, too
        except ImportError:
            continue
        found[name] = method
    return found


def timed(method: Method, batch: pa.RecordBatch) -> tuple[Keys, float]:
    """The keys, and the seconds of the fastest run; more runs while they fit into a second."""
    seconds: list[float] = []
    while not seconds or sum(seconds) < 1:
        began = time.perf_counter()
        keys = method(batch)
        seconds.append(time.perf_counter() - began)
    return keys, min(seconds)


def table(title: str, sets: Sequence[Planted], draws: int) -> None:
    methods = available()
    scores = {name: Score() for name in ["ours", VERIFIED, *methods, *DRAWS]}
    for planted in sets:
        truth, batch = Truth(planted.texts), as_batch(planted.texts)
        for name, method in methods.items():
            keys, seconds = timed(method, batch)
            scores[name].seconds += seconds
            scores[name].size += sum(len(text.encode()) for text in planted.texts)
            judge(scores[name], keys, planted, truth)
            if name == "ours":
                judge(scores[VERIFIED], keys, planted, truth, verification(planted.texts))
        for name, others in DRAWS.items():
            for keys in others(batch, range(100, 100 + draws)):
                judge(scores[name], keys, planted, truth)
    click.echo(f"\n{title}: {sum(len(planted.texts) for planted in sets):,} documents")
    click.echo("| signatures | MB/s | recall | drops | precision at .5 / .8 | found at 1 / 2 / 5 / 10 % |")
    click.echo("|---|---:|---|---:|---|---|")
    for name, score in scores.items():
        click.echo(row(name, score))


def row(name: str, score: Score) -> str:
    found = " / ".join(f"{score.found[edit] / score.planted[edit]:.2f}" for edit in EDITS if score.planted[edit])
    drops = max(score.dropped, 1)
    speed = f"{score.size / score.seconds / 1e6:.2f}" if score.seconds else ""
    return (
        f"| {name} | {speed} "
        f"| {score.recalled / max(score.repeats, 1):.3f} of {score.repeats} | {score.dropped} "
        f"| {score.near / drops:.3f} / {score.nearer / drops:.3f} | {found} |"
    )


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--rounds", default=3)
@click.option("--draws", default=10)
def main(folder: Path | None, rounds: int, draws: int) -> None:
    """Print both tables, or that of all documents of FOLDER."""
    files = sorted((folder or SAMPLE).rglob("*.parquet"))
    texts = [text for file in files for text in pq.read_table(file, columns=["text"])["text"].to_pylist()]
    if folder:
        table("corpus", [with_copies(texts, N_CORPUS_COPIES, random.Random(0))], 0)
        return
    table("planted", [plant(texts, seed) for seed in range(rounds)], draws)
    table("real", [Planted(texts, [])], draws)


if __name__ == "__main__":
    main()
