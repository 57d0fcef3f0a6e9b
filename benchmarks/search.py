"""A search whose answer is known: a target drawn from one of the sources, and a source of garbage among them.

    python -m benchmarks.search FILE FILE ... --out DIR [--confirm]

Each FILE (parquet or JSON lines with a column `text`) becomes a source. Every tenth document of the first one is taken
out of it and becomes the target, so that source should gain weight. One more source has the words of the other ones in
random order, so it should lose most. All sources have the same weight in the recipe. The same command resumes.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.json as paj
import pyarrow.parquet as pq

HELD_OUT = 10  # every tenth document of the first file is the target
MAX_CHARACTERS = 12_000_000  # of a source, so that each has about as much
GARBAGE = "garbage"


def texts(path: Path) -> list[str]:
    """The texts of a file, up to MAX_CHARACTERS."""
    table = pq.read_table(path, columns=["text"]) if path.suffix == ".parquet" else paj.read_json(path)
    chosen, size = [], 0
    for text in table.column("text").to_pylist():
        if size >= MAX_CHARACTERS:
            break
        chosen.append(text)
        size += len(text)
    return chosen


def shuffled(documents: list[str], seed: int) -> Iterator[str]:
    """Documents of the same lengths, of all the words in random order."""
    words = [word for text in documents for word in text.split()]
    random.Random(seed).shuffle(words)
    start = 0
    for text in documents:
        count = len(text.split())
        yield " ".join(words[start : start + count])
        start += count


def write(path: Path, documents: Iterator[str] | list[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in documents)


def make_corpus(files: list[Path], folder: Path, tokens: str, window: int) -> list[str]:
    """Write the sources, the target and the recipe. Returns the names of the sources, the target's first."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = {path.stem.split("-of-")[-1].lstrip("0123456789-") or path.stem: texts(path) for path in files}
    first = next(iter(sources))
    write(folder / "target.jsonl", sources[first][::HELD_OUT])
    sources[first] = [text for i, text in enumerate(sources[first]) if i % HELD_OUT]
    others = [text for name, documents in sources.items() if name != first for text in documents]
    random.Random(0).shuffle(others)
    sources[GARBAGE] = list(shuffled(others[: len(others) // (len(sources) - 1)], 1))
    recipe = [
        f'name = "search"\ntokens = "{tokens}"\nwindow = {window}\nunit = "1MB"\n',
        '[tokenizer]\nvocab_size = 2048\nsample = "8MB"\n',
        "[clean]\nfilters = []\n[validation]\nfraction = 0.02\n",
    ]
    for name, documents in sources.items():
        write(folder / f"{name}.jsonl", documents)
        recipe.append(f'[[source]]\nname = "{name}"\nweight = 1\nfiles = "{name}.jsonl"\nmax_epochs = 4\n')
    (folder / "recipe.toml").write_text("\n".join(recipe), encoding="utf-8")
    return list(sources)


def run(*arguments: str) -> tuple[int, float]:
    """Run a command of gpts-data. Returns its exit code and seconds."""
    began = time.monotonic()
    code = "from gpts_data.cli.main import cli; cli()"
    return subprocess.run([sys.executable, "-c", code, *arguments], check=False).returncode, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--tokens", default="4M", help="of the mix")
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--tokens-per-run", default="256k")
    parser.add_argument("--layers", default="2")
    parser.add_argument("--width", default="64")
    parser.add_argument("--runs", default="20")
    parser.add_argument("--confirm", action="store_true")
    arguments = parser.parse_args()
    corpus = arguments.out / "corpus"
    if not (corpus / "recipe.toml").exists():
        make_corpus(arguments.files, corpus, arguments.tokens, arguments.window)
    recipe, units = str(corpus / "recipe.toml"), str(arguments.out / "units")
    built, seconds = run("build-mix", "--recipe", recipe, "--keep-units", units, "--out", str(arguments.out / "mix"))
    if built:
        sys.exit(built)
    print(f"units made in {seconds:.0f} s", flush=True)
    options = ["--tokens-per-run", arguments.tokens_per_run, "--layers", arguments.layers, "--width", arguments.width]
    options += ["--runs", arguments.runs, "--target", str(corpus / "target.jsonl")] + ["--confirm"] * arguments.confirm
    code, seconds = run(
        "search-mix", "--recipe", recipe, "--units", units, "--out", str(arguments.out / "search"), *options
    )
    print(f"searched in {seconds:.0f} s, exit code {code}")


if __name__ == "__main__":
    main()
