"""Encoding speed as a build encodes: Arrow strings in, uint16 ids with end-of-text after each out, on one core.

    python -m benchmarks.encoding FOLDER [--rounds 3] [--megabytes 100]

FOLDER holds parquet files with a column `text`. Every 8th document trains a tokenizer of 4,096 entries for each of two
pre-tokenizers, and the others, up to so many megabytes, are what is encoded: each method in a fresh process that never
saw them, pinned to one core where the system can, imports and loading left out. The best round counts. `tokenizers`
encodes 2 MB of the same documents, as its speed does not depend on what it saw. Then ours is compared with
`tokenizers`, id by id, over all documents (`--no-proof` leaves that out: it takes a minute for 100 MB).
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

FRAME = """
import json, os, sys, time
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {{max(os.sched_getaffinity(0))}})
os.environ["RAYON_NUM_THREADS"] = os.environ["FASTOKENS_BPE_THREADS"] = "1"
import numpy as np, psutil, pyarrow as pa
from pathlib import Path
folder = Path({folder!r})
texts = pa.ipc.open_file(pa.memory_map({data!r})).read_all().column("text").combine_chunks()
batches = [texts.slice(start, 1000) for start in range(0, len(texts), 1000)]
import pyarrow.compute as pc
def ends(ids, lengths):
    stops = np.cumsum(lengths.astype(np.int64) + 1) - 1
    out = np.zeros(len(ids) + len(lengths), np.uint16)
    rest = np.ones(len(out), bool)
    rest[stops] = False
    assert ids.max(initial=0) < 65536
    out[rest] = ids
    return out
{setup}
before = psutil.Process().memory_info().rss
size = n = 0
began = time.perf_counter()
for batch in batches:
    n += len(encode(batch))
    size += pc.sum(pc.binary_length(batch)).as_py()
    if size > {limit}:
        break
seconds = time.perf_counter() - began
print(json.dumps([size / seconds / 1e6, n, (psutil.Process().memory_info().rss - before) / 1e6, size]))
"""
OURS = """
from gpts_data.tokenizer.encode import Encoder
coder = Encoder(folder{choice})
encode = lambda batch: coder.encode(batch)[0]
"""
GIGATOKEN = """
import gigatoken
content = json.loads((folder / "tokenizer.json").read_text())
content["added_tokens"] = [token for token in content["added_tokens"] if not token["special"]]
coder = gigatoken.Tokenizer.from_json(json.dumps(content)).backend
def encode(batch):
    layout = coder.encode_batch(batch.to_pylist(), parallel=False).layout
    return ends(layout.content.data, np.diff(layout.offsets.data))
"""
FLAT = """
from {module} import Tokenizer
content = json.loads((folder / "tokenizer.json").read_text())
content["added_tokens"] = [token for token in content["added_tokens"] if not token["special"]]
(folder / "bare.json").write_text(json.dumps(content))
coder = Tokenizer.from_file(str(folder / "bare.json"))
def encode(batch):
    flat, offsets = coder.encode_batch_flat(batch.to_pylist())
    return ends(np.frombuffer(flat, "<u4"), np.diff(np.frombuffer(offsets, "<u8")))
"""
BATCH = """
from tokenizers import Tokenizer
coder = Tokenizer.from_file(str(folder / "tokenizer.json"))
coder.encode_special_tokens = True
def encode(batch):
    parts = [encoding.ids for encoding in coder.encode_batch_fast(batch.to_pylist(), add_special_tokens=False)]
    return ends(np.concatenate([np.array(p, np.uint32) for p in parts]), np.array([len(p) for p in parts]))
"""
METHODS = {
    "gpts-data (fastokens)": ("fastokens", OURS.format(choice="")),
    "fastokens, 1,000 texts a call": ("fastokens", FLAT.format(module="fastokens")),
    "gigatoken": ("gigatoken", GIGATOKEN),
    "snaptokens": ("snaptokens", FLAT.format(module="snaptokens")),
    "gpts-data (--encoder tokenizers)": ("tokenizers", OURS.format(choice=', "tokenizers"')),
    "tokenizers encode_batch_fast": ("tokenizers", BATCH),
}
PROOF = """
one, other = Encoder(folder), Encoder(folder, "tokenizers")
assert one.name != other.name, "fastokens is not in use"
same = n = 0
for batch in batches:
    (ids, lengths), (expected, counts) = one.encode(batch), other.encode(batch)
    assert np.array_equal(ids, expected) and np.array_equal(lengths, counts)
    n += len(batch)
    same += len(ids)
print(json.dumps([n, same]))
"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--rounds", default=3, show_default=True)
@click.option("--megabytes", default=100, show_default=True)
@click.option("--proof/--no-proof", default=True)
def main(folder: Path, rounds: int, megabytes: int, proof: bool) -> None:
    """Print the tables."""
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as work:
        texts = _read(folder)
        for name in ("GPT-2", "ours"):
            _train(texts[::8], name, Path(work) / name)
        unseen, everything = Path(work) / "unseen.arrow", Path(work) / "all.arrow"
        _write([text for i, text in enumerate(texts) if i % 8], unseen)
        _write(texts, everything)
        for name in ("GPT-2", "ours"):
            _table(name, Path(work) / name, unseen, rounds, megabytes)
            if proof:
                documents, tokens = _run(PROOF, Path(work) / name, everything, 0)
                print(f"ids identical to tokenizers: {documents:,} documents, {tokens:,} tokens\n")


def _read(folder: Path) -> list[str]:
    import pyarrow.parquet as pq

    files = sorted(folder.rglob("*.parquet"))
    return [text for file in files for text in pq.read_table(file, columns=["text"]).column("text").to_pylist() if text]


def _train(texts: list[str], name: str, folder: Path) -> None:
    from tokenizers import pre_tokenizers, trainers

    from gpts_data.tokenizer import artifact
    from gpts_data.tokenizer.pretokenizer import new_tokenizer

    tokenizer = new_tokenizer()
    if name == "GPT-2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = [artifact.END_OF_TEXT]
    trainer = trainers.BpeTrainer(
        vocab_size=4096, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([texts], trainer)
    artifact.save(tokenizer.to_str(), folder, 512)


def _write(texts: list[str], path: Path, at_once: int | None = None) -> None:
    """An Arrow file of the texts, `at_once` in a batch."""
    import pyarrow as pa

    table = pa.table({"text": pa.array(texts, pa.string())})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, at_once)


def _table(name: str, folder: Path, data: Path, rounds: int, megabytes: int) -> None:
    found: dict[str, tuple[float, float, int]] = {}
    for _ in range(rounds):
        for method, (library, setup) in METHODS.items():
            if _version(library):
                limit = 2 if "tokenizers" in method.split("(")[-1] and library == "tokenizers" else megabytes
                speed, _, memory, size = _run(FRAME, folder, data, limit * 1_000_000, setup)
                if speed > found.get(method, (0.0, 0.0, 0))[0]:
                    found[method] = (speed, memory, size)
    base = found["tokenizers encode_batch_fast"][0]
    print(f"\n{name} | MB/s | tokenizers = 1 | MB encoded | MB more memory")
    for method, (speed, memory, size) in found.items():
        row = (f"{speed:.1f}", f"{speed / base:.1f}", f"{size / 1e6:.0f}", f"{memory:.0f}")
        print(" | ".join((f"{method} {_version(METHODS[method][0])}", *row)))


def _run(code: str, folder: Path, data: Path, limit: int, setup: str = "") -> list[float]:
    if code is PROOF:
        head = FRAME.split("before =")[0].format(folder=str(folder), data=str(data), setup=OURS.format(choice=""))
        code = head + PROOF
    else:
        code = code.format(folder=str(folder), data=str(data), setup=setup, limit=limit)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, encoding="utf-8")
    if done.returncode:
        raise SystemExit(done.stderr)
    numbers: list[float] = json.loads(done.stdout)
    return numbers


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
