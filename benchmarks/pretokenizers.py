"""What each way of cutting text costs and what it does to numbers: bytes per token on text never trained on.

    python -m benchmarks.pretokenizers CORPUS EXPRESSIONS [--megabytes 10 --megabytes 50 --megabytes 96]

CORPUS holds a folder of parquet files with a column `text` per source, in the weights of WEIGHTS; EXPRESSIONS is a
jsonl.gz of `expression` and `answer`. Every pre-tokenizer trains 4,096 entries on the same samples; a sixteenth of the
corpus is held out by a hash of the work a document is from, so that no book is on both sides. `equal`, `aligned`:
`_numbers` below says of what.
"""

from __future__ import annotations

import gzip
import json
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from gpts_data.tokenizer import artifact
from gpts_data.tokenizer.encode import Encoder
from gpts_data.tokenizer.pretokenizer import new_tokenizer

WEIGHTS = {"fineweb-edu": 55, "cosmopedia-v2": 30, "FineWeb-HQ": 15}
SHORT = r"'(?:[sdmt]|ll|ve|re)"
ANY_CASE = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GLUED = r"[^\r\n\p{L}\p{N}]?\p{L}+"
SPACES = r"\s+(?!\S)|\s+"
BREAKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|" + SPACES
THREES = r"\p{N}{1,3}(?=(?:\p{N}{3})*(?:\P{N}|$))"
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]*[{LOWER}]+{ANY_CASE}?|[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]+[{LOWER}]*{ANY_CASE}?|"
    r"{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|"
).replace("{{", "{").replace("}}", "}") + SPACES
PATTERNS = {
    "GPT-2": rf"{SHORT}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|{SPACES}",
    "GPT-2, single digits": rf"{SHORT}| ?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+|{SPACES}",
    "cl100k (threes from the left)": rf"{ANY_CASE}|{GLUED}|\p{{N}}{{1,3}}|{BREAKS}",
    "cl100k, threes from the right": rf"{ANY_CASE}|{GLUED}|{THREES}|{BREAKS}",
    "cl100k, single digits": rf"{ANY_CASE}|{GLUED}|\p{{N}}|{BREAKS}",
    "..., a space before a digit is its": rf"{ANY_CASE}|{GLUED}| ?\p{{N}}|{BREAKS}",
    "..., words glued to a space only": rf"{ANY_CASE}| ?\p{{L}}+|\p{{N}}|{BREAKS}",
    "..., newlines like other white space": rf"{ANY_CASE}|{GLUED}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+|{SPACES}",
    "..., every newline alone": rf"{ANY_CASE}|{GLUED}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+|\r?\n|[^\S\r\n]+(?!\S)|\s+",
    "o200k (threes from the left)": O200K.replace("{digits}", r"\p{N}{1,3}"),
    "o200k, single digits": O200K.replace("{digits}", r"\p{N}"),
}
Texts = dict[str, list[str]]


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("expressions", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--megabytes", multiple=True, type=int, default=(10, 50, 96), show_default=True)
@click.option("--only", multiple=True, help="Pre-tokenizers of these names.")
def main(corpus: Path, expressions: Path, megabytes: tuple[int, ...], only: tuple[str, ...]) -> None:
    """Print one row for each pre-tokenizer and size of sample."""
    training, held = _split(corpus)
    for name in held:
        print(f"{name}: {_size(training[name]):,} bytes to train on, {_size(held[name]):,} held out")
    lines = [json.loads(line) for line in gzip.decompress(expressions.read_bytes()).splitlines()]
    sums = [f"{line['expression']} {line['answer']}" for line in lines]
    print(
        "pre-tokenizer | MB | "
        + " | ".join(held)
        + " | by weight | tokens a sum | equal | aligned | of 100..9999 | with | MB/s"
    )
    for name in only or PATTERNS:
        for size in megabytes:
            sample = {source: _first(texts, _share(source) * size * 1e6) for source, texts in training.items()}
            with tempfile.TemporaryDirectory() as folder:
                row = _row(PATTERNS[name], sample, held, sums, Path(folder))
            print(f"{name} | {_mega(sample)} | {row}", flush=True)


def _row(pattern: str, sample: Texts, held: Texts, sums: list[str], folder: Path) -> str:
    coder = _train(pattern, sample, folder)
    rates, began = {}, time.perf_counter()
    for source, texts in held.items():
        rates[source] = _size(texts) / (len(coder.encode(texts)[0]) - len(texts))
    speed = sum(map(_size, held.values())) / (time.perf_counter() - began) / 1e6
    mean = 1 / sum(_share(source) / rate for source, rate in rates.items())
    a_sum = (len(coder.encode(sums)[0]) - len(sums)) / len(sums)
    equal, aligned = _numbers(coder, sums)
    _, long = _numbers(coder, [f"{n} = {n}" for n in range(100, 10_000, 7)])
    cells = [*(f"{rate:.4f}" for rate in rates.values()), f"{mean:.4f}", f"{a_sum:.2f}"]
    return " | ".join([*cells, f"{equal:.1%}", f"{aligned:.1%}", f"{long:.1%}", coder.name, f"{speed:.0f}"])


def _train(pattern: str, sample: Texts, folder: Path) -> Encoder:
    from tokenizers import pre_tokenizers, trainers

    tokenizer = new_tokenizer(pattern)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=4096, special_tokens=[artifact.END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sample.values(), trainer)
    artifact.save(tokenizer.to_str(), folder, 512)
    return Encoder(folder)


def _numbers(coder: Encoder, sums: list[str]) -> tuple[float, float]:
    """Of numbers written more than once, the share that always has the same ids; of numbers of two digits or more, the
    share whose tokens tell their place: one digit each, or threes counted from the right."""
    found = defaultdict(list)
    for text in sums:
        for digits, cut, ids in _cuts(coder, text):
            found[digits].append((cut, ids))
    often = [seen for seen in found.values() if len(seen) > 1]
    long = [(len(digits), cut) for digits, seen in found.items() if len(digits) > 1 for cut, _ in seen]
    aligned = [cut in (tuple(range(1, n)), tuple(sorted(range(n - 3, 0, -3)))) for n, cut in long]
    return sum(len(set(seen)) == 1 for seen in often) / len(often), sum(aligned) / len(aligned)


def _cuts(coder: Encoder, text: str) -> Iterator[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """(digits, the places inside them where a token ends, the ids that touch them) of every whole number of a text."""
    ids, _ = coder.encode([text])
    ends = [0]
    for i in range(len(ids) - 1):
        ends.append(ends[-1] + len(coder.decode(ids[i : i + 1])))
    for match in re.finditer(r"\d+", text):
        start, end = match.span()
        cut = tuple(place - start for place in ends if start < place < end)
        yield match[0], cut, tuple(int(ids[i]) for i in range(len(ids) - 1) if ends[i] < end and ends[i + 1] > start)


def _split(corpus: Path) -> tuple[Texts, Texts]:
    """Texts to train on, in the order of a hash so that a small sample sees every file, and texts held out."""
    training, held = {}, {}
    for source in WEIGHTS:
        rows = sorted(_rows(corpus / source), key=lambda row: sha256(row[1].encode()).digest())
        out = _held_out(rows)
        training[source] = [text for work, text in rows if work not in out]
        held[source] = [text for work, text in rows if work in out]
    return training, held


def _held_out(rows: list[tuple[str, str]]) -> set[str]:
    """Works in the order of a hash until a sixteenth of the bytes is there."""
    sizes: dict[str, int] = defaultdict(int)
    for work, text in rows:
        sizes[work] += len(text.encode())
    wanted, out = sum(sizes.values()) / 16, set[str]()
    for work in sorted(filter(None, sizes), key=lambda work: sha256(work.encode()).digest()):
        if wanted > 0 and sizes[work] < 2 * wanted:
            wanted -= sizes[work]
            out.add(work)
    return out


def _rows(folder: Path) -> Iterator[tuple[str, str]]:
    """(work, text) of every document."""
    import pyarrow.parquet as pq

    for file in sorted(folder.glob("*.parquet")):
        names = set(pq.read_schema(file).names) & {"text", "prompt", "file_path", "dump", "seed_data"}
        for row in pq.read_table(file, columns=sorted(names)).to_pylist():
            if row["text"]:
                yield _work(row), row["text"]


def _work(row: dict[str, Any]) -> str:
    """The book or page a document is from; a textbook without a name is trained on, never held out."""
    if part := re.search(r"\((.*), part \d+\)", row.get("prompt", "")):
        return part[1]
    if row.get("dump", "").startswith(("ph-", "se-")):
        return str(row["dump"])
    if row.get("seed_data") == "openstax":
        return ""
    return str(row.get("file_path", row.get("prompt"))).split("#")[0]


def _share(source: str) -> float:
    return WEIGHTS[source] / sum(WEIGHTS.values())


def _first(texts: list[str], limit: float) -> list[str]:
    taken, size = [], 0
    for text in texts:
        if size >= limit:
            break
        taken.append(text)
        size += len(text.encode())
    return taken


def _size(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def _mega(sample: Texts) -> int:
    return round(sum(map(_size, sample.values())) / 1e6)


if __name__ == "__main__":
    main()
