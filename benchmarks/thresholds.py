"""What each threshold of `dedup.minhash.jaccard` drops as near-duplicates, by file.

    python -m benchmarks.thresholds FOLDER [--show 5]

Reads all parquet files below FOLDER that have a column `text`, in the order of their names, as one source of documents.
With `--show`, words in which some dropped documents differ from the kept ones are printed, the least similar first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as pq

from benchmarks.dedup import as_batch
from gpts_data.mixer.stages.similarity import jaccard, ngrams_of
from gpts_data.pipelines.dedup.greedy import FIRST_DUPLICATE, decide
from gpts_data.pipelines.dedup.signatures import FIRST_BAND, Dedup, MinHash, signer

THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8)
NEAR = FIRST_DUPLICATE + FIRST_BAND


class Corpus:
    def __init__(self, files: Sequence[Path]) -> None:
        columns = {file: pq.read_table(file, columns=["text"])["text"].to_pylist() for file in files}
        self.texts = [text for texts in columns.values() for text in texts]
        self.files = [file.name for file, texts in columns.items() for _ in texts]
        self._keys = signer(Dedup(id=None, url=False)).sign(as_batch(self.texts), "corpus")
        self._ngrams = cache(lambda row: ngrams_of(self.texts[row], MinHash().ngrams))

    def similarity(self, row: int, other: int) -> float:
        return jaccard(self._ngrams(row), self._ngrams(other))

    def near_duplicates(self, threshold: float) -> list[tuple[int, int]]:
        """The documents that are dropped as near-duplicates, each with the kept one."""
        n = len(self.texts)
        verdicts = decide(
            self._keys,
            np.ones(n, np.uint32),
            np.zeros(n, np.bool_),
            n + 1,
            lambda row, other: self.similarity(row, other) >= threshold,
        )
        kept = iter(verdicts.duplicate_of.tolist())
        pairs = [(row, next(kept), code) for row, code in enumerate(verdicts.codes) if code >= FIRST_DUPLICATE]
        return [(row, other) for row, other, code in pairs if code == NEAR]


def differences(text: str, other: str) -> list[str]:
    first, second = text.split(), other.split()
    changes = SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    return [f"{' '.join(first[i:j])} -> {' '.join(second[k:m])}" for tag, i, j, k, m in changes if tag != "equal"]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--show", default=0, help="Pairs to print.")
def main(folder: Path, show: int) -> None:
    """Print the table."""
    corpus = Corpus(sorted(folder.rglob("*.parquet")))
    found = {threshold: corpus.near_duplicates(threshold) for threshold in THRESHOLDS}
    click.echo(f"{len(corpus.texts):,} documents\n| file | {' | '.join(map(str, THRESHOLDS))} |\n|---|{'---:|' * 5}")
    counts = [Counter(corpus.files[row] for row, _ in pairs) for pairs in found.values()]
    for file in counts[0]:
        click.echo(f"| {file} | {' | '.join(str(count[file]) for count in counts)} |")
    click.echo(f"| all | {' | '.join(str(count.total()) for count in counts)} |")
    for row, other in sorted(found[0.0], key=lambda pair: corpus.similarity(*pair))[:show]:
        click.echo(f"\n{corpus.files[row]}: {corpus.similarity(row, other):.2f}")
        for change in differences(corpus.texts[other], corpus.texts[row])[:8]:
            click.echo(f"  {change[:200]}")


if __name__ == "__main__":
    main()
