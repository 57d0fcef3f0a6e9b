"""From text to packed shards: this project beside the ways people do it today, on the same text.

    python -m benchmarks.endtoend CORPUS [--megabytes 120] [--workers 1] [--libraries DIR] [--dolma PYTHON]

CORPUS: a folder of parquet files with a column `text`; datatrove wants orjson. One tokenizer for all. Each row is a
process of its own, timed from its start to its end:

- gpts-data: build-mix, three filters, dedup by text and MinHash, one source, as many tokens as there are;
- datatrove: its examples fineweb.py and tokenize_from_hf_to_s3.py: reader, the same three filters, writer, the four
  stages of MinHash, DocumentTokenizer, merger;
- datasets: prepare.py of nanoGPT, with this tokenizer: load_dataset, map, memmap. Nothing is cleaned;
- Megatron: preprocess_data.py: a pool that encodes lines of JSON, IndexedDatasetBuilder (--libraries: a folder with
  megatron-core). Nothing is cleaned;
- dolma: `dolma tokens` (--dolma: the Python of an environment with it). Nothing is cleaned.

Ours is timed first and last, since a machine may be slower after ten minutes of work, and the slower one counts. Tokens
differ: what is dropped differs (benchmarks/cleaning.py, dedup.py compare verdicts), and shuffles cut off ends.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FILES = 4
RECIPE = """
name = "end-to-end"
tokens = {tokens}
unit = "8MB"
[[source]]
name = "text"
weight = 1
files = "text/*.parquet"
id = "id"
[tokenizer]
sample = "10MB"
[clean]
filters = ["gopher_repetition", "gopher_quality", "fineweb_quality"]
[dedup]
url = false
[validation]
fraction = 0
"""
FOUND = re.compile(r"found ([0-9,]+) after cleaning")


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--megabytes", type=int, default=120, show_default=True)
@click.option("--workers", type=int, default=1, show_default=True)
@click.option("--libraries", type=click.Path(path_type=Path), help="A folder with megatron-core.")
@click.option("--dolma", type=click.Path(path_type=Path), help="The Python of an environment with dolma.")
@click.option("--row", hidden=True)
def main(
    corpus: Path, megabytes: int, workers: int, libraries: Path | None, dolma: Path | None, row: str | None
) -> None:
    if row:
        ROWS[row](corpus, workers)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        n_bytes = write_text(corpus, folder, megabytes * 10**6)
        write_recipe(folder, n_bytes)
        print(f"{n_bytes / 1e6:.1f} MB of text, {workers} worker{'s' * (workers > 1)}\n")
        names = ["gpts-data", "datatrove", "datasets", *["Megatron"] * bool(libraries), *["dolma"] * bool(dolma)]
        rows = []
        for name in [*names, "gpts-data"]:
            shutil.rmtree(folder / f"{name}-out", ignore_errors=True)
            rows.append((name, *timed(name, folder, workers, libraries, dolma)))
            print(f"{name}: {rows[-1][1]:.1f} s", file=sys.stderr, flush=True)
        ours = max(seconds for name, seconds, _ in rows if name == "gpts-data")
        print("| | seconds | MB/s | tokens | gpts-data is faster by |\n|---|---:|---:|---:|---:|")
        for name, seconds, tokens in rows:
            print(f"| {name} | {seconds:.1f} | {n_bytes / 1e6 / seconds:.2f} | {tokens:,} | {seconds / ours:.1f} x |")
        for line in (folder / "stages.txt").read_text(encoding="utf-8").splitlines():  # where datatrove's time goes
            print(line)


def write_text(corpus: Path, folder: Path, limit: int) -> int:
    """The corpus as parquet and as lines of JSON, FILES of each; bytes of text."""
    paths = sorted(corpus.rglob("*.parquet"))
    tables = [_columns(pq.ParquetFile(path).read(), number) for number, path in enumerate(paths)]
    table = pa.concat_tables(tables).combine_chunks()
    sizes = pc.cumulative_sum(pc.binary_length(table.column("text")).cast(pa.int64())).to_numpy()
    table = table.slice(0, int(sizes.searchsorted(limit)))
    for name in ("text", "lines"):
        (folder / name).mkdir()
    each = -(-table.num_rows // FILES)
    for number in range(FILES):
        part = table.slice(number * each, each)
        pq.write_table(part, folder / "text" / f"{number}.parquet", row_group_size=1000)
        with open(folder / "lines" / f"{number}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in part.to_pylist())
    return int(sizes[min(table.num_rows, len(sizes)) - 1])


def _columns(table: pa.Table, number: int) -> pa.Table:
    ids = [f"{number}-{n}" for n in range(table.num_rows)]
    return pa.table({"id": pa.array(ids), "text": table.column("text").cast(pa.string())})


def write_recipe(folder: Path, n_bytes: int) -> None:
    """The tokenizer, and the recipe over all tokens that there are after cleaning and dedup."""
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(tokens=n_bytes * 9 // 10), encoding="utf-8")
    ours("train-tokenizer", "--recipe", str(recipe), "--out", str(folder / "tokenizer"))
    refused = ours(
        "build-mix", "--recipe", str(recipe), "--tokenizer", str(folder / "tokenizer"), "--out", str(folder / "probe")
    )
    found = FOUND.search(refused.stderr)
    if found is None:
        raise click.ClickException(f"no count of tokens in: {refused.stderr[-300:]}")
    recipe.write_text(RECIPE.format(tokens=int(found[1].replace(",", "")) // 512 * 512), encoding="utf-8")
    shutil.rmtree(folder / "probe", ignore_errors=True)


PROGRAM = [sys.executable, "-c", "from gpts_data.cli.main import cli; cli()"]


def ours(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, encoding="utf-8")


def timed(name: str, folder: Path, workers: int, libraries: Path | None, dolma: Path | None) -> tuple[float, int]:
    """Seconds of a row in a process of its own, and the tokens it wrote, 2 bytes each."""
    command = [sys.executable, "-m", "benchmarks.endtoend", str(folder), f"--workers={workers}", f"--row={name}"]
    if name == "gpts-data":
        command = [
            *PROGRAM,
            "build-mix",
            "--recipe",
            str(folder / "recipe.toml"),
            "--tokenizer",
            str(folder / "tokenizer"),
            "--out",
            str(folder / "gpts-data-out"),
            "--workers",
            str(workers),
        ]
    if name == "dolma":
        files = [str(path) for path in sorted((folder / "lines").iterdir())]
        command = [
            str(dolma),
            "-m",
            "dolma.cli",
            "tokens",
            "--documents",
            *files,
            "--destination",
            str(folder / "dolma-out"),
            "--tokenizer.name_or_path",
            str(older(folder)),
            "--tokenizer.eos_token_id",
            "0",
            "--tokenizer.pad_token_id",
            "0",
            "--processes",
            str(workers),
            "--dtype",
            "uint16",
        ]
    paths = [str(libraries)] * bool(libraries) + [os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "HF_HUB_OFFLINE": "1"}
    began = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment if name == "Megatron" else None, encoding="utf-8"
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise click.ClickException(f"{name}: {done.stderr[-2000:]}")
    if name == "datatrove":
        (folder / "stages.txt").write_text(done.stdout, encoding="utf-8")
    pattern = {"gpts-data": "shards/*.bin", "datatrove": "merged/*.ds", "dolma": "**/*.npy"}.get(name, "*.bin")
    return seconds, sum(path.stat().st_size for path in (folder / f"{name}-out").glob(pattern)) // 2


def older(folder: Path) -> Path:
    """The tokenizer in the spelling of tokenizers 0.19, which dolma pins: a merge is one string."""
    content = json.loads((folder / "tokenizer" / "tokenizer.json").read_bytes())
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    path = folder / "older.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def run_datatrove(folder: Path, workers: int) -> None:
    """One executor a stage, as in its examples; seconds of each on stdout."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.readers import JsonlReader, ParquetReader
    from datatrove.pipeline.tokens import DocumentTokenizer, DocumentTokenizerMerger
    from datatrove.pipeline.writers import JsonlWriter

    out, tokenizer = folder / "datatrove-out", str(folder / "tokenizer" / "tokenizer.json")
    config = MinhashConfig()
    buckets = config.num_buckets
    clean, signatures, pairs, removed, kept, tokens = (
        str(out / name) for name in ("clean", "signatures", "pairs", "removed", "kept", "tokens")
    )
    filters = [GopherRepetitionFilter(), GopherQualityFilter(), FineWebQualityFilter()]
    stages = {
        "read, filter, write": (FILES, [ParquetReader(str(folder / "text")), *filters, JsonlWriter(clean)]),
        "minhash signatures": (FILES, [JsonlReader(clean), MinhashDedupSignature(signatures, config=config)]),
        "minhash buckets": (buckets, [MinhashDedupBuckets(signatures, pairs, config=config)]),
        "minhash cluster": (1, [MinhashDedupCluster(pairs, removed, config=config)]),
        "minhash filter": (FILES, [JsonlReader(clean), MinhashDedupFilter(removed), JsonlWriter(kept)]),
        "tokenize": (
            FILES,
            [
                JsonlReader(kept),
                DocumentTokenizer(tokens, tokenizer, str(out / "local"), eos_token="<|endoftext|>", seed=1),
            ],
        ),
        "merge": (1, [DocumentTokenizerMerger(tokens, str(out / "merged"), "merged", seed=1)]),
    }
    for name, (tasks, pipeline) in stages.items():
        began = time.perf_counter()
        logs = str(out / "logs" / name)
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=min(workers, tasks), logging_dir=logs).run()
        print(f"datatrove, {name}: {time.perf_counter() - began:.1f} s", flush=True)


def run_datasets(folder: Path, workers: int) -> None:
    """nanoGPT's data/openwebtext/prepare.py but for the tokenizer."""
    import numpy as np
    from datasets import load_dataset
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    end = tokenizer.token_to_id("<|endoftext|>")

    def process(example: dict[str, str]) -> dict[str, object]:
        ids = [*tokenizer.encode(example["text"], add_special_tokens=False).ids, end]
        return {"ids": ids, "len": len(ids)}

    data = load_dataset(
        "parquet", data_files=str(folder / "text" / "*.parquet"), split="train", cache_dir=str(folder / "cache")
    )
    tokenized = data.map(process, remove_columns=data.column_names, num_proc=workers if workers > 1 else None)
    out = folder / "datasets-out"
    out.mkdir()
    array = np.memmap(out / "train.bin", dtype=np.uint16, mode="w+", shape=(int(np.sum(tokenized["len"])),))
    place, parts = 0, 1024
    for number in range(parts):
        batch = tokenized.shard(num_shards=parts, index=number, contiguous=True).with_format("numpy")
        if len(batch):
            ids = np.concatenate(batch["ids"])
            array[place : place + len(ids)] = ids
            place += len(ids)
    array.flush()


def run_megatron(folder: Path, workers: int) -> None:
    """Megatron-LM's tools/preprocess_data.py: Encoder, Pool.imap, IndexedDatasetBuilder."""
    import multiprocessing

    import numpy as np
    import torch
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    out = folder / "Megatron-out"
    out.mkdir()
    builder = IndexedDatasetBuilder(str(out / "text.bin"), dtype=np.uint16)
    tokenizer = str(folder / "tokenizer" / "tokenizer.json")
    with multiprocessing.Pool(workers, initializer=_load, initargs=(tokenizer,)) as pool:
        for ids in pool.imap(_encode, _lines(folder), 32):
            builder.add_document(torch.tensor(ids, dtype=torch.int64), [len(ids)])
    builder.finalize(str(out / "text.idx"))


def _lines(folder: Path) -> Iterator[str]:
    for path in sorted((folder / "lines").iterdir()):
        with open(path, encoding="utf-8") as file:
            yield from file


def _load(tokenizer: str) -> None:
    from tokenizers import Tokenizer

    global _tokenizer
    _tokenizer = Tokenizer.from_file(tokenizer)


def _encode(line: str) -> list[int]:
    return [*_tokenizer.encode(json.loads(line)["text"], add_special_tokens=False).ids, 0]


ROWS = {"datatrove": run_datatrove, "datasets": run_datasets, "Megatron": run_megatron}

if __name__ == "__main__":
    main()
