"""Decontamination: speed, planted questions found, and what is found in text that holds none; ours and datatrove's.

    python -m benchmarks.decontamination CORPUS EVALS [--planted 500] [--rounds 5] [--peer-megabytes 3]

CORPUS: a folder of parquet files with a text column. EVALS: HellaSwag, ARC-Easy, PIQA and BLiMP as .jsonl.gz. Planted:
texts of benchmarks that have enough words, each put between two words of a document drawn at random, once as it is and
once altered: in capitals, without punctuation, a line a word. "of 13 words": those of the planted that are as long as
an n-gram. MB/s is the best round over the whole corpus in batches of 1,000 on one thread; "words" is hashing the words
and no more, which any method must do. datatrove gets the same texts as labels, 13-grams too, and of the corpus as much
as is told; by its own functions, since its indexer needs lighteval.
"""

from __future__ import annotations

import random
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
from datatrove.utils.text import ngrams, simplify_text

from gpts_data.pipelines.decontaminate.benchmarks import Benchmark, list_benchmark, read_items
from gpts_data.pipelines.decontaminate.index import Decontaminate, build_index, get_matcher, origins
from gpts_data.pipelines.decontaminate.ngram_matcher import MIN_WORDS, _count, _word_spans
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.text.hashing import string_buffers
from gpts_data.pipelines.text.normalization import normalization_table

WANTED = Decontaminate(
    (
        Benchmark("hellaswag", ("ctx + endings",), ("hellaswag*",)),
        Benchmark("arc-easy", ("question + choices.text",), ("arc_easy_test*",)),
        Benchmark("piqa", ("goal + sol1", "goal + sol2"), ("piqa*",)),
        Benchmark("blimp", ("sentence_good", "sentence_bad"), ("blimp*",)),
    )
)
Finds = Callable[[Sequence[str]], list[bool]]


def best(function: Callable[[], object], rounds: int) -> float:
    """Seconds of the fastest round; one before them compiles and loads."""
    function()
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def plant(documents: Sequence[str], texts: Sequence[str], n: int, alter: bool) -> list[str]:
    rng = random.Random(1)
    planted = []
    for text in rng.sample(texts, n):
        document = rng.choice(documents)
        place = rng.choice([0, *(match.start() for match in re.finditer(r"\s", document)), len(document)])
        altered = re.sub(r"\W+", "\n", text).upper() if alter else text
        planted.append(f"{document[:place]} {altered} {document[place:]}")
    return planted


def datatrove(texts: Sequence[str], folder: Path) -> Finds:
    config = NGramsDecontConfig(n_grams=WANTED.ngram)
    step = NGramsDecontFilter(str(folder), config)
    hashes = {
        step.hash_func(" ".join(ngram))
        for text in texts
        for ngram in ngrams(step.tokenizer.word_tokenize(simplify_text(text, config.norm_config)), WANTED.ngram)
    }
    np.array(sorted(hashes), config.hash_config.np_descr).tofile(folder / "all.index.hashes")
    step.stat_update = lambda *_, **__: None
    return lambda documents: [step.filter(Document(text, "")) is not True for text in documents]


def ours(folder: Path) -> Finds:
    found = get_matcher(folder, WANTED.ngram)
    return lambda documents: (np.diff(found.find(pa.array(documents)).offsets.to_numpy()) > 0).tolist()


def row(name: str, speed: float, finds: Finds, planted: Sequence[Sequence[str]], clean: Sequence[str]) -> str:
    counts = [f"{sum(finds(documents)):,} of {len(documents):,}" for documents in (*planted, clean)]
    return f"| {name} | {speed:,.2f} | {' | '.join(counts)} |"


def show_index(facts: dict[str, dict[str, int]]) -> None:
    click.echo("\n| benchmark | items | looked for | n-grams |\n|---|---:|---:|---:|")
    for name, fact in facts.items():
        click.echo(f"| {name} | {fact['items']:,} | {fact['searched']:,} | {fact['ngrams']:,} |")


def speeds(documents: Sequence[str], folder: Path, rounds: int) -> tuple[float, float]:
    """MB/s of hashing words alone, and of finding."""
    column = pa.array(documents, pa.large_string())
    megabytes = len(string_buffers(column)[0]) / 1e6
    batches = [column.slice(i, 1000) for i in range(0, len(column), 1000)]
    found = get_matcher(folder, WANTED.ngram)
    words = best(
        lambda: [_count(*string_buffers(batch), normalization_table(), WANTED.ngram) for batch in batches], rounds
    )
    finding = best(lambda: [found.find(batch) for batch in batches], rounds)
    return megabytes / words, megabytes / finding


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path, exists=True))
@click.argument("evals", type=click.Path(path_type=Path, exists=True))
@click.option("--planted", default=500)
@click.option("--rounds", default=5)
@click.option("--peer-megabytes", default=3)
def main(corpus: Path, evals: Path, planted: int, rounds: int, peer_megabytes: int) -> None:
    """Print the tables, and every n-gram found in the corpus as it is."""
    documents = [
        t for f in sorted(corpus.rglob("*.parquet")) for t in pq.read_table(f, columns=["text"])[0].to_pylist()
    ]
    listings = [list_benchmark(benchmark, evals, FetchOptions()) for benchmark in WANTED.benchmark]
    items = [read_items(b, listing, FetchOptions()) for b, listing in zip(WANTED.benchmark, listings, strict=True)]
    texts = [text for of_one in items for item in of_one for text in item.texts if len(_word_spans(text)) >= MIN_WORDS]
    long = [text for text in texts if len(_word_spans(text)) >= WANTED.ngram]
    sets = [plant(documents, which, planted, alter) for alter in (False, True) for which in (texts, long)]
    some = random.Random(2).sample(documents, len(documents))
    few = some[: max(1, int(peer_megabytes * 1e6 / (sum(map(len, some)) / len(some))))]
    with tempfile.TemporaryDirectory() as place:
        folder, theirs = Path(place) / "ours", Path(place) / "theirs"
        show_index(build_index(WANTED, listings, folder, "key", FetchOptions()))
        words, finding = speeds(documents, folder, rounds)
        click.echo("\n| | MB/s | planted | of 13 words | altered | of 13 words | in the corpus |")
        click.echo(f"|---|---:|---:|---:|---:|---:|---:|\n| words | {words:,.0f} | | | | | |")
        click.echo(row("gpts-data", finding, ours(folder), sets, documents))
        beyond = 1 / (1 / finding - 1 / words)
        theirs.mkdir()
        peer = datatrove(texts, theirs)
        speed = sum(len(text.encode()) for text in few) / 1e6 / best(lambda: peer(few), 1)
        click.echo(row("datatrove", speed, peer, sets, few))
        click.echo(f"\nBeyond hashing words {beyond:,.0f} MB/s: {words / beyond:.2f} times what words take.")
        matches = get_matcher(folder, WANTED.ngram).find(pa.array(documents, pa.large_string())).values.to_pylist()
        for origin in origins(WANTED, folder, matches):
            click.echo(f"found: {origin.benchmark} {origin.item}: {origin.ngram!r}")


if __name__ == "__main__":
    main()
