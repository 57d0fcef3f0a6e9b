"""The targets of a search: text on which every proxy model is measured, in bits per byte.

    --target NAME                       held-out text of a source of the recipe
    --target FILE                       a file of text: .txt, .jsonl, .parquet and so on, as a source may have
    --target TASK_train*.jsonl.gz       right answers of the training split of a benchmark, given the question
    --target ...=WEIGHT                 any of them, with its weight in the mean that is minimised (default: 1)

Without targets, the held-out text of each source counts the same. The mean over the mixture itself would be no target:
it is lowest for a mixture of the one source that is easiest to predict.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.errors import DataError, RecipeError, UsageError
from gpts_data.pipelines.readers.kinds import READABLE
from gpts_data.pipelines.readers.reader import check_columns, list_files, read, split_units
from gpts_data.pipelines.readers.source import Source
from gpts_data.pipelines.storage.atomic_files import file_digest
from gpts_data.pipelines.suggestion import suggest
from gpts_data.tokenizer.artifact import TokenIds
from gpts_data.tokenizer.encode import Encoder
from gpts_data.validation.search.outputs.tables import check_column_names
from gpts_data.validation.search.proxies.pool import Pool, spaced
from gpts_data.validation.search.proxies.questions import Question, benchmark_of, read_questions

MAX_TEXT_TOKENS = 1 << 24  # of a file; 64 times what is measured at most
FEW_ROWS = 8  # windows; a target with fewer gets a warning
SOURCE, TEXT = "source", "text"

log = logging.getLogger("gpts_data")


class TargetIdentity(TypedDict):
    """A target as plain values: a search with other targets is another search."""

    name: str
    kind: str
    weight: float
    sha256: str | None


@dataclass(frozen=True)
class Target:
    """One text to measure the proxy models on."""

    name: str
    """Name of the source, or of the file without its ending; the column in metrics.csv."""
    kind: str
    """SOURCE, TEXT, or the name of a benchmark."""
    weight: float
    path: Path | None = None

    def identity(self) -> TargetIdentity:
        """Raises `UsageError` when its file cannot be read."""
        return {
            "name": self.name,
            "kind": self.kind,
            "weight": self.weight,
            "sha256": file_digest(self.path) if self.path else None,
        }


@dataclass(frozen=True)
class Rows:
    """A target's text as rows of token ids."""

    ids: TokenIds
    """Shape (rows, width)."""
    counted: NDArray[np.bool_]
    """Which ids are predicted and measured, shape (rows, width); never the first of a row."""


def parse_targets(texts: Sequence[str], sources: Sequence[str]) -> tuple[Target, ...]:
    """The targets that are named on the command line. Raises `UsageError` for what is neither a source nor a file."""
    targets = tuple(_parse(text, sources) for text in texts) or tuple(Target(name, SOURCE, 1.0) for name in sources)
    repeated = [name for name, count in Counter(target.name for target in targets).items() if count > 1]
    if repeated:
        raise UsageError(f"two targets are called {repeated[0]!r}; rename one of the files, or leave one out")
    check_column_names([target.name for target in targets])
    return targets


def target_rows(target: Target, pool: Pool, encoder: Encoder, most_tokens: int) -> Rows:
    """The rows of a target, at most `most_tokens` ids of them, evenly spaced over its text.

    Raises `UsageError` for a target without text, or with damaged documents. A `DataError` has the exit code 3, which
    says that the recipe's weights stay.
    """
    if target.path is None:
        windows = pool.held_out(target.name)
        if not len(windows):
            raise UsageError(
                f"target {target.name!r}: the source has less than one window of held-out text; raise fraction in "
                f"[validation], which needs another --out, or give a file of text as --target"
            )
        return _text_rows(windows)
    try:
        if target.kind != TEXT:
            return question_rows(read_questions(target.path, target.kind), encoder, pool.window, most_tokens)
        ids = np.concatenate([np.empty(0, encoder.dtype), *_encoded(target.path, encoder)])
    except DataError as error:
        where = "" if str(error).startswith(str(target.path)) else f"{target.path}: "
        raise UsageError(f"--target {where}{error}") from error
    if len(ids) < 2:
        raise UsageError(f"--target {target.path}: no text in it; expected at least one document")
    return _file_rows(ids, pool.window, most_tokens, encoder.eos_id)


def log_size(target: Target, rows: Rows) -> None:
    """Say how much text of a target is measured, and warn when it is too little to tell mixtures apart."""
    is_text = target.kind in (SOURCE, TEXT)
    kind, width = ("window" if is_text else "question"), rows.ids.shape[1]
    size = f"{len(rows.ids):,} {kind}{'s' * (len(rows.ids) != 1)} of at most {width:,} tokens"
    log.info("target %s: %s, %s tokens of them measured", target.name, size, f"{int(rows.counted.sum()):,}")
    if len(rows.ids) < FEW_ROWS:
        more = (
            "raise fraction in [validation] or give a file of text" if target.kind == SOURCE else "give a longer file"
        )
        log.warning(
            "target %s has only %s, fewer than %d: what is best for so little text need not be best for other text of "
            "its kind; %s",
            *(target.name, size, FEW_ROWS, more),
        )


def _parse(text: str, sources: Sequence[str]) -> Target:
    name, weight = text, 1.0
    head, equals, tail = text.rpartition("=")
    if equals and text not in sources and not Path(text).exists():
        try:
            name, weight = head, float(tail)
        except ValueError:
            raise UsageError(f"--target {text}: {tail!r} is not a weight; expected a number above 0") from None
    if not (weight > 0 and math.isfinite(weight)):
        raise UsageError(f"--target {text}: weight {weight:g}, expected a number above 0")
    if name in sources:
        return Target(name, SOURCE, weight)
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"--target {name}: no such file, and no source has this name; {suggest(name, sources)}")
    kind = benchmark_of(path) or TEXT
    return Target(path.name.partition(".")[0] or path.name, kind, weight, path)


def _encoded(path: Path, encoder: Encoder) -> Iterator[TokenIds]:
    """The ids of the texts in a file, batch by batch."""
    source = Source(name=path.name.partition(".")[0] or path.name, files=(path.name,))
    tokens = 0
    try:
        for file in list_files(source, path.parent).files:
            check_columns(source, file)
            for unit in split_units(source, file, 1 << 26):
                for batch in read(source, unit):
                    ids, _ = encoder.encode(batch.column("text").drop_null())
                    yield ids
                    tokens += len(ids)
                    if tokens > MAX_TEXT_TOKENS:
                        return
    except RecipeError as error:  # it speaks of a source
        raise UsageError(f"--target {path}: {error}; {READABLE}") from error


def _text_rows(windows: TokenIds) -> Rows:
    counted = np.ones(windows.shape, np.bool_)
    counted[:, 0] = False
    return Rows(windows, counted)


def _file_rows(ids: TokenIds, window: int, most_tokens: int, eos_id: int) -> Rows:
    """Whole windows of a text; of a text that is shorter than a window, one row with padding."""
    if len(ids) < window:
        padding = window - len(ids)
        row = np.concatenate([ids, np.full(padding, eos_id, ids.dtype)])[None]
        rows = _text_rows(row)
        rows.counted[:, len(ids) :] = False
        return rows
    windows = ids[: len(ids) // window * window].reshape(-1, window)
    return _text_rows(windows[spaced(len(windows), max(most_tokens // window, 1))])


def question_rows(questions: Sequence[Question], encoder: Encoder, window: int, most_tokens: int) -> Rows:
    """One row per question: end-of-text, the text before the answer, the answer, padding. Only the answer is counted.

    A question that is longer than a window loses its beginning.
    """
    chosen = [questions[i] for i in spaced(len(questions), most_tokens // 16 or 1).tolist()]
    whole, whole_lengths = encoder.encode(pa.array([context + answer for context, answer in chosen]))
    _, lengths = encoder.encode(pa.array([context for context, _ in chosen]))
    texts = np.split(whole, np.cumsum(whole_lengths)[:-1])
    rows = [np.concatenate([[encoder.dtype.type(encoder.eos_id)], text[:-1]])[-window:] for text in texts]
    answers = [len(text) - int(length) for text, length in zip(texts, lengths, strict=True)]
    width = max(map(len, rows))
    kept = spaced(len(rows), max(most_tokens // width, 1)).tolist()
    ids = np.full((len(kept), width), encoder.eos_id, encoder.dtype)
    counted = np.zeros((len(kept), width), np.bool_)
    for place, i in enumerate(kept):
        ids[place, : len(rows[i])] = rows[i]
        counted[place, max(len(rows[i]) - answers[i], 1) : len(rows[i])] = True
    return Rows(ids, counted)
