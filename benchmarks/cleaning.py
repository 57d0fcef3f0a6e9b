"""Cleaning: verdicts and speed against datatrove's own filters, and the speed of PREPARE and its stages, on one core.

    python -m benchmarks.cleaning FOLDER [--every 8] [--rounds 3]

FOLDER and the folders below it hold parquet files with a column `text`. gpts-data judges all documents, in batches of
1,000 as a build does: once in a process that saw no text before (its cache of chunks is empty), and again, where the
best of the rounds counts. datatrove judges every 8th document (`--every 1`: all; it does about 0.4 MB/s) with the three
filters of FineWeb in a row, as its own pipeline runs them. Verdict and reason of each filter alone are compared
document by document.

PREPARE runs the same documents through `mixer.stages.prepare` with those filters, 14 x 8 MinHash and a tokenizer
trained on every 16th document, in units of 64 MB, in a fresh process and again; then each of its stages alone. Then the
same with the only filter of the preset gpt-s-5m.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq

FILTERS = ("gopher_repetition", "gopher_quality", "fineweb_quality")
ORIGINALS = ("GopherRepetitionFilter", "GopherQualityFilter", "FineWebQualityFilter")
PRESET_FILTERS = ("gopher_repetition",)
BATCH = 1000


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--every", default=8, show_default=True, help="datatrove judges every so many documents.")
@click.option("--rounds", default=3, show_default=True, help="Rounds of gpts-data; the best counts.")
@click.option("--only", type=click.Choice(["ours", "datatrove", "prepare", "preset"]), hidden=True)
def main(folder: Path, every: int, rounds: int, only: str | None) -> None:
    if only:
        parts = {"ours": _ours, "datatrove": _datatrove, "prepare": _prepare, "preset": _prepare_preset}
        print(json.dumps(parts[only](folder, every, rounds)))
        return
    ours, theirs = (_fresh(folder, every, rounds, part) for part in ("ours", "datatrove"))
    print(
        f"{platform.machine()}, Python {platform.python_version()}, datatrove {version('datatrove')}, "
        f"spacy {version('spacy')}, numba {version('numba')}"
    )
    print(
        f"{ours['documents']:,} documents, {ours['bytes'] / 1e6:.1f} MB; datatrove {theirs['documents']:,}, "
        f"{theirs['bytes'] / 1e6:.1f} MB\n"
    )
    chain = theirs["bytes"] / theirs["seconds"]["chain"] / 1e6
    print(f"| the three filters in a row | MB/s | x datatrove |\n|---|---:|---:|\n| datatrove | {chain:.2f} | 1 |")
    for name in ("first pass", "again"):
        speed = ours["bytes"] / ours["seconds"][name] / 1e6
        print(f"| gpts-data, {name} | {speed:.1f} | {speed / chain:.0f} |")
    print("\n| filter | documents compared | verdicts that differ |\n|---|---:|---:|")
    for name in FILTERS:
        differ = [i for i, verdict in theirs["verdicts"][name].items() if ours["verdicts"][name][int(i)] != verdict]
        print(f"| {name} | {len(theirs['verdicts'][name]):,} | {len(differ)} {differ[:5] or ''} |")
    for part, filters in (("prepare", FILTERS), ("preset", PRESET_FILTERS)):
        whole = _fresh(folder, every, rounds, part)
        print(f"\n| PREPARE with {', '.join(filters)} | MB/s | seconds |\n|---|---:|---:|")
        for name, seconds in whole["seconds"].items():
            print(f"| {name} | {whole['bytes'] / seconds / 1e6:.1f} | {seconds:.2f} |")


def _fresh(folder: Path, every: int, rounds: int, part: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.cleaning", str(folder), f"--every={every}", f"--rounds={rounds}"]
    done = subprocess.run([*command, f"--only={part}"], check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    return json.loads(done.stdout.splitlines()[-1])


def _texts(folder: Path) -> Iterator[pa.RecordBatch]:
    for path in sorted(folder.rglob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(BATCH, columns=["text"]):
            yield pa.RecordBatch.from_arrays([batch.column("text").cast(pa.string())], names=["text"])


def _timed(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _ours(folder: Path, every: int, rounds: int) -> Any:
    from gpts_data.pipelines.filters.cleaner import CleanConfig, get_cleaner
    from gpts_data.pipelines.filters.fast_filters import FastFineWebQuality, FastGopherQuality, FastGopherRepetition
    from gpts_data.pipelines.words.word_arrays import split_words

    batches = list(_texts(folder))
    chain = get_cleaner(CleanConfig(FILTERS))
    chain.clean(pa.RecordBatch.from_arrays([pa.array(["Compile it, please. " * 50])], names=["text"]))
    seconds = {"first pass": _timed(lambda: [chain.clean(batch) for batch in batches])}
    seconds["again"] = min(_timed(lambda: [chain.clean(batch) for batch in batches]) for _ in range(rounds))
    fast_filters = [FastGopherRepetition(), FastGopherQuality(), FastFineWebQuality()]
    verdicts: dict[str, list[str | None]] = {name: [] for name in FILTERS}
    for batch in batches:
        words = split_words(batch.column("text"))
        for name, fast_filter in zip(FILTERS, fast_filters, strict=True):
            codes = fast_filter.judge(batch.column("text"), words).tolist()
            verdicts[name] += [fast_filter.reasons[code - 1] if code else None for code in codes]
    size = sum(len(text.encode()) for batch in batches for text in batch.column("text").to_pylist())
    return {"documents": len(verdicts[FILTERS[0]]), "bytes": size, "seconds": seconds, "verdicts": verdicts}


def _datatrove(folder: Path, every: int, rounds: int) -> Any:
    from datatrove.data import Document
    from datatrove.pipeline import filters

    texts = [text for batch in _texts(folder) for text in batch.column("text").to_pylist()]
    chosen = range(0, len(texts), every)
    blocks = [getattr(filters, name)() for name in ORIGINALS]
    blocks[0].filter(Document(text="Load spaCy, please. " * 50, id=""))

    def run() -> None:
        documents: Any = (Document(text=texts[i], id=str(i)) for i in chosen)
        for block in blocks:
            documents = block.run(documents)
        for _ in documents:
            pass

    seconds = {"chain": _timed(run)}
    verdicts: dict[str, dict[int, str | None]] = {name: {} for name in FILTERS}
    for i in chosen:
        for name, block in zip(FILTERS, blocks, strict=True):
            verdict = block.filter(Document(text=texts[i], id=""))
            verdicts[name][i] = None if verdict is True else verdict[1]
    size = sum(len(texts[i].encode()) for i in chosen)
    return {"documents": len(chosen), "bytes": size, "seconds": seconds, "verdicts": verdicts}


def _prepare_preset(folder: Path, every: int, rounds: int) -> Any:
    return _prepare(folder, every, rounds, PRESET_FILTERS)


def _prepare(folder: Path, every: int, rounds: int, filters: tuple[str, ...] = FILTERS) -> Any:
    from gpts_data.mixer.stages.prepare import Prepare, prepare
    from gpts_data.pipelines.dedup.signatures import Dedup, signer
    from gpts_data.pipelines.filters.cleaner import CleanConfig, get_cleaner
    from gpts_data.pipelines.readers.reader import list_files, read, split_units
    from gpts_data.pipelines.readers.source import Source
    from gpts_data.tokenizer import artifact
    from gpts_data.tokenizer.bpe import train_bpe
    from gpts_data.tokenizer.encode import get_encoder

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    source = Source("corpus", 1, files=(f"{folder.resolve()}/**/*.parquet",))
    units = [unit for file in list_files(source, folder).files for unit in split_units(source, file, 64_000_000)]
    batches = [batch for unit in units for batch in read(source, unit)]
    size = sum(len(text.encode()) for batch in batches for text in batch.column("text").to_pylist())
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        sample = (batch.column("text").to_pylist()[::16] for batch in batches)
        made = artifact.save(train_bpe(sample, 4096).to_str(), home / "tokenizer", 512)
        clean, dedup = CleanConfig(filters), Dedup()

        def whole(n: int) -> None:
            for k, unit in enumerate(units):
                path = home / f"{n}-{k}.arrow"
                prepare(Prepare(source, unit, clean, dedup, made.folder, made.digest, "key", path))

        coder = get_encoder(made.folder, made.digest)
        signer(dedup).sign(get_cleaner(clean).clean(batches[0].slice(0, 2))[0], "corpus")
        seconds = {"whole, first pass": _timed(lambda: whole(0))}
        seconds["whole, again"] = min(_timed(lambda n=n: whole(n + 1)) for n in range(rounds))  # type: ignore[misc]
        kept = [get_cleaner(clean).clean(batch)[0] for batch in batches]
        stages: dict[str, Callable[[], Any]] = {
            "read": lambda: [None for unit in units for _ in read(source, unit)],
            "filter": lambda: [get_cleaner(clean).clean(batch) for batch in batches],
            "sign": lambda: [signer(dedup).sign(batch, "corpus") for batch in kept],
            "encode": lambda: [coder.encode(batch.column("text")) for batch in kept],
        }
        for name, stage in stages.items():
            seconds[name] = min(_timed(stage) for _ in range(rounds))
        seconds["prove, write, digest"] = max(seconds["whole, again"] - sum(seconds[name] for name in stages), 1e-9)
    return {"bytes": size, "seconds": seconds}


if __name__ == "__main__":
    main()
