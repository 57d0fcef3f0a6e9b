"""What `plan` says against what `build-mix` then does, each estimate beside its outcome.

    python -m benchmarks.plan CORPUS [--tokenizer DIR]

CORPUS is a folder with a folder of parquet files (columns text, id, url) for each source. Besides the corpus itself
these are made from its texts: JSON lines with documents of 2 MB; a source of which 30% are copies, far from the
originals; 5,000 files with one document each. Memory is the peak of the proportional set size of all processes
together (elsewhere than on Linux, of their resident memory), with 1 and with 2 workers; the machine code of the kernels
is compiled beforehand.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import psutil
import pyarrow.parquet as pq

PROGRAM = (sys.executable, "-c", "from gpts_data.cli.main import cli; cli()")
RECIPE = """
name = "plan"
tokens = "{tokens}"
unit = "8MB"
[tokenizer]
sample = "20MB"
[clean]
filters = ["gopher_repetition", "gopher_quality", "fineweb_quality"]
"""
SOURCE = """
[[source]]
name = "{name}"
weight = {weight}
files = "{files}"
"""
COPIES = 0.3
SMALL_FILES = 5000


@dataclass(frozen=True)
class Outcome:
    """A finished command."""

    output: dict[str, Any]
    memory: int
    """Peak of the memory of all its processes together (PSS)."""
    seconds: float


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path, exists=True))
@click.option("--tokenizer", type=click.Path(path_type=Path), help="Of the sources that are made.  [default: trained]")
def main(corpus: Path, tokenizer: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="gpts-data-") as folder:
        for name, recipe, workers in _cases(corpus.resolve(), Path(folder)):
            _compare(name, recipe, workers, None if workers else tokenizer)


def _cases(corpus: Path, folder: Path) -> Iterator[tuple[str, Path, int]]:
    """Name, recipe and number of workers; 0 where memory does not matter."""
    texts = list(_texts(corpus))
    random.Random(0).shuffle(texts)
    sources = [
        (path.name, 10, f"{path}/*.parquet") for path in sorted(corpus.iterdir()) if list(path.glob("*.parquet"))
    ]
    yield "corpus, 1 worker", _recipe(folder / "corpus.toml", "6M", sources), 1
    yield "corpus, 2 workers", _recipe(folder / "corpus.toml", "6M", sources), 2
    _write_lines(folder / "long.jsonl", _joined(texts, 2_000_000))
    yield "documents of 2 MB", _recipe(folder / "long.toml", "3M", [("long", 1, "long.jsonl")], filters=False), 0
    _write_lines(folder / "copies.jsonl", _with_copies(texts, COPIES))
    yield "30% copies, far apart", _recipe(folder / "copies.toml", "6M", [("copies", 1, "copies.jsonl")]), 0
    (folder / "small").mkdir()
    for number, text in enumerate(texts[:SMALL_FILES]):
        _write_lines(folder / "small" / f"{number:05}.jsonl", [text])
    yield "5,000 small files", _recipe(folder / "small.toml", "1M", [("small", 1, "small/*.jsonl")]), 0


def _texts(corpus: Path) -> Iterator[str]:
    for path in sorted(corpus.glob("*/*.parquet")):
        yield from pq.read_table(path, columns=["text"]).column("text").to_pylist()


def _joined(texts: Sequence[str], size: int) -> Iterator[str]:
    """The texts, joined to documents of `size` characters."""
    parts: list[str] = []
    for text in texts:
        parts.append(text)
        if sum(map(len, parts)) >= size:
            yield "\n\n".join(parts)
            parts = []


def _with_copies(texts: Sequence[str], share: float) -> list[str]:
    """The texts, of which this share are copies of others; copies and originals are in random order."""
    n_copies = int(len(texts) * share)
    chosen = random.Random(1)
    originals = list(texts[: len(texts) - n_copies])
    mixed = originals + chosen.sample(originals, n_copies)
    chosen.shuffle(mixed)
    return mixed


def _write_lines(path: Path, texts: Iterator[str] | Sequence[str]) -> None:
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")


def _recipe(path: Path, tokens: str, sources: Sequence[tuple[str, int, str]], filters: bool = True) -> Path:
    head = RECIPE.format(tokens=tokens) if filters else RECIPE.format(tokens=tokens).split("[clean]")[0]
    tables = (SOURCE.format(name=name, weight=weight, files=files) for name, weight, files in sources)
    path.write_text(head + "".join(tables), encoding="utf-8")
    return path


def _compare(name: str, recipe: Path, workers: int, tokenizer: Path | None) -> None:
    options = ["--recipe", str(recipe), "--workers", str(max(workers, 1)), "--json"]
    options += ["--tokenizer", str(tokenizer)] if tokenizer else []
    with tempfile.TemporaryDirectory(prefix="gpts-data-") as folder:
        estimated = _run("plan", *options)
        built = _run("build-mix", *options, "--out", f"{folder}/mix")
        manifest = json.loads(Path(folder, "mix", "manifest.json").read_text(encoding="utf-8"))
    print(f"\n{name} (plan {estimated.seconds:.0f} s, build {built.seconds:.0f} s)")
    for source, estimate in estimated.output["sources"].items():
        _print_source(source, estimate, manifest)
    if workers:
        _row("all", "memory, MB", estimated.output["memory_bytes"] / 1e6, built.memory / 1e6)


def _print_source(source: str, estimate: dict[str, Any], manifest: dict[str, Any]) -> None:
    waterfall, mixed = manifest["waterfall"][source], manifest["sources"][source]
    _row(source, "documents in the mix", estimate["documents_estimate"], mixed["documents"])
    _row(source, "documents read", estimate["read_documents"], waterfall["read"])
    duplicates = [reason for reason in {*estimate["dropped"], *waterfall["dropped"]} if reason.endswith("_duplicate")]
    others = [reason for reason in {*estimate["dropped"], *waterfall["dropped"]} if reason not in duplicates]
    for what, reasons in (("duplicates", duplicates), *((reason, [reason]) for reason in sorted(others))):
        counts = [
            sum(dropped.get(reason, 0) for reason in reasons) for dropped in (estimate["dropped"], waterfall["dropped"])
        ]
        if max(counts) >= waterfall["read"] / 100:
            _row(source, what, *counts)


def _row(source: str, what: str, estimate: float, outcome: float) -> None:
    print(f"| {source} | {what} | {estimate:,.0f} | {outcome:,.0f} | {estimate / max(outcome, 1):.2f} |")


def _run(*arguments: str) -> Outcome:
    """Run a command and watch the memory of its processes."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=errors)
        peak = [0]
        watcher = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
        watcher.start()
        output, _ = process.communicate()
        if process.returncode:
            errors.seek(0)
            raise SystemExit(errors.read().decode()[-2000:])
    return Outcome(json.loads(output), peak[0], time.monotonic() - began)


def _watch(pid: int, peak: list[int]) -> None:
    while True:
        try:
            root = psutil.Process(pid)
            processes = [root, *root.children(recursive=True)]
            peak[0] = max(peak[0], sum(map(_memory_bytes, processes)))
        except psutil.NoSuchProcess:
            if not psutil.pid_exists(pid):
                return
        time.sleep(0.05)


def _memory_bytes(process: psutil.Process) -> int:
    memory = process.memory_full_info()
    memory_bytes: int = getattr(memory, "pss", memory.rss)
    return memory_bytes


if __name__ == "__main__":
    main()
