"""Seconds and memory of BPE trainers on one sample, and whether the merges are those of `tokenizers`.

    python -m benchmarks.training CORPUS [--megabytes 96] [--rounds 2]

CORPUS as in benchmarks.pretokenizers. Every trainer learns 4,096 entries from the same texts, in a fresh
process on one core; libraries that are not installed are left out. Time is the processor's, from the first text to the
merges, imports and compiled code loaded; memory is the peak over what the process had before (Linux only). "Those of
tokenizers": the same pairs in the same order as `tokenizers` with the same pre-tokenizer; gigatoken knows only GPT-2's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.encoding import _version, _write
from benchmarks.pretokenizers import PATTERNS, _first, _share, _split

OURS_PATTERN, GPT2 = "cl100k, single digits", "GPT-2"
FRAME = """
import json, os, sys, time
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {{max(os.sched_getaffinity(0))}})
os.environ["RAYON_NUM_THREADS"] = "1"
import pyarrow as pa
from gpts_data.tokenizer.pretokenizer import new_tokenizer
from gpts_data.tokenizer.vocabulary_files import byte_characters
pattern = {pattern!r}
source = pa.ipc.open_file(pa.memory_map({data!r}))
def batches():
    for i in range(source.num_record_batches):
        yield source.get_batch(i).column("text").to_pylist()
def texts():
    for batch in batches():
        yield from batch
byte_of = byte_characters()
def plain(left, right):
    return [[byte_of[c] for c in left], [byte_of[c] for c in right]]
def of_json(tokenizer):
    return [plain(*pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
def of_ranks(ranks):
    return [[list(token)] for token, _ in sorted(ranks.items(), key=lambda item: item[1]) if len(token) > 1]
{setup}
def peak():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
before, began = peak(), time.process_time()
result = train()
seconds = time.process_time() - began
print(json.dumps([seconds, (peak() - before) / 1e3, merges(result)]))
"""
TOKENIZERS = """
from tokenizers import pre_tokenizers, trainers
def train():
    tokenizer = new_tokenizer(pattern)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=4096, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet,
                                  show_progress=False)
    tokenizer.train_from_iterator(batches(), trainer)
    return tokenizer
merges = of_json
"""
OURS = """
from gpts_data.tokenizer.bpe import train_bpe, train_bpe_by_counting
train_bpe_by_counting([["compiled code is loaded"]], 300)
class Sample:
    __iter__ = lambda self: batches()
train = lambda: train_bpe(Sample(), 4096)
merges = of_json
"""
GIGATOKEN = """
import gigatoken
def train():
    return gigatoken.train_bpe(b"<|endoftext|>".join(t.encode() for t in texts()), 4096, ["<|endoftext|>"])
def merges(result):
    return [[list(left), list(right)] for left, right in result[1]]
"""
RUSTBPE = """
import rustbpe
def train():
    tokenizer = rustbpe.Tokenizer()
    tokenizer.train_from_iterator(texts(), 4095, pattern=pattern)
    return tokenizer
merges = lambda tokenizer: of_ranks({bytes(token): rank for token, rank in tokenizer.get_mergeable_ranks()})
"""
BPEASY = """
import bpeasy
train = lambda: bpeasy.train_bpe(texts(), pattern, 128, 4095)
merges = of_ranks
"""
SENTENCEPIECE = """
import io, sentencepiece
def train():
    out = io.BytesIO()
    lines = (line for text in texts() for line in text.split("\\n") if line)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=lines, model_writer=out, vocab_size=4096, num_threads=1,
        model_type="bpe", byte_fallback=True, split_digits=True, minloglevel=2, max_sentence_length=10**6)
    return out
merges = lambda _: []
"""
TRAINERS = {
    "gpts-data": (OURS_PATTERN, "tokenizers", OURS),
    "tokenizers": (OURS_PATTERN, "tokenizers", TOKENIZERS),
    "rustbpe": (OURS_PATTERN, "rustbpe", RUSTBPE),
    "bpeasy": (OURS_PATTERN, "bpeasy", BPEASY),
    "sentencepiece (no pre-tokenizer of ours)": (OURS_PATTERN, "sentencepiece", SENTENCEPIECE),
    "tokenizers, GPT-2's": (GPT2, "tokenizers", TOKENIZERS),
    "gigatoken, GPT-2's": (GPT2, "gigatoken", GIGATOKEN),
}


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--megabytes", default=96, show_default=True)
@click.option("--rounds", default=2, show_default=True)
def main(corpus: Path, megabytes: int, rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as work:
        data = Path(work) / "sample.arrow"
        training, _ = _split(corpus)
        texts = [text for name in training for text in _first(training[name], _share(name) * megabytes * 1e6)]
        _write(texts, data, 64)
        print(f"{sum(len(text.encode()) for text in texts):,} bytes, {len(texts):,} documents")
        found = {name: _best(name, data, rounds) for name, (_, library, _) in TRAINERS.items() if _version(library)}
    print("trainer | seconds | time, ours = 1 | MB | merges those of tokenizers")
    for name, (seconds, memory, merges) in found.items():
        other = found["tokenizers" if TRAINERS[name][0] == OURS_PATTERN else "tokenizers, GPT-2's"][2]
        label = f"{name} {_version(TRAINERS[name][1])}" if name != "gpts-data" else name
        ratio = seconds / found["gpts-data"][0]
        print(f"{label} | {seconds:.1f} | {ratio:.1f} | {memory:.0f} | {_alike(merges, other)}")


def _best(name: str, data: Path, rounds: int) -> tuple[float, float, list[list[list[int]]]]:
    runs = [_run(name, data) for _ in range(rounds)]
    print(f"{name}: " + ", ".join(f"{seconds:.1f} s" for seconds, _, _ in runs), file=sys.stderr)
    return min(runs)


def _run(name: str, data: Path) -> tuple[float, float, list[list[list[int]]]]:
    pattern, _, setup = TRAINERS[name]
    code = FRAME.format(pattern=PATTERNS[pattern], data=str(data), setup=setup)
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, encoding="utf-8"
    )
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    seconds, memory, merges = json.loads(done.stdout.splitlines()[-1])
    return seconds, memory, merges


def _alike(merges: list[list[list[int]]], other: list[list[list[int]]]) -> str:
    """How much of the reference's merges came out; a trainer that gives strings alone is compared by these."""
    if not merges:
        return "-"
    if len(merges[0]) == 1:
        other = [[left + right] for left, right in other]
    same = next((i for i, pair in enumerate(zip(merges, other, strict=False)) if pair[0] != pair[1]), len(other))
    if same == len(other) == len(merges):
        return f"all {same:,}"
    known = {str(pair) for pair in other}
    return f"the first {same:,}; as a set {sum(str(pair) in known for pair in merges):,} of {len(other):,}"


if __name__ == "__main__":
    main()
