"""PREPARE(unit): read the documents of a unit, filter them, hash their keys for dedup, encode them.

The result depends only on the recipe, the tokenizer and the unit. Of its files, the unit file has the token ids of the
kept documents (unit_file.py), a second one the keys that dedup compares (dedup_index.py), a third the dropped documents
(dropped_ids.py), a fourth samples of them (dropped_samples.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gpts_data.mixer.format.layout import UINT16
from gpts_data.mixer.format.outcomes import ID_SEED
from gpts_data.mixer.recipe import MAX_KEEP_DROPPED
from gpts_data.mixer.stages.dedup_index import run_writer
from gpts_data.mixer.stages.dropped_ids import DroppedIds
from gpts_data.mixer.stages.dropped_samples import DroppedSamples
from gpts_data.mixer.stages.unit_file import unit_schema, unit_writer
from gpts_data.mixer.stages.unit_receipt import (
    DROPPED_END,
    MAX_NAMED,
    RUN_END,
    SAMPLES_END,
    UNIT_END,
    UnitReceipt,
    check_files,
    check_receipt,
)
from gpts_data.pipelines.decontaminate.index import get_matcher
from gpts_data.pipelines.dedup.signatures import Dedup, signer
from gpts_data.pipelines.filters.cleaner import CleanConfig, get_cleaner
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.readers.damage import damaged_places, split_faulty
from gpts_data.pipelines.readers.reader import read_buckets
from gpts_data.pipelines.readers.source import Source, Unit
from gpts_data.pipelines.storage.atomic_files import atomic_write, uploads_together
from gpts_data.pipelines.storage.checksums import AnyChecksum, all_intact, checksum_so_far
from gpts_data.pipelines.storage.paths import AnyPath, is_store, remove_file
from gpts_data.pipelines.storage.receipts import accepted_receipt, write_receipt
from gpts_data.pipelines.storage.side_by_side import processor
from gpts_data.pipelines.text.hashing import hash_strings
from gpts_data.tokenizer.encode import Encoder, EncoderName, get_encoder
from gpts_data.tokenizer.parity_check import ParityCheck

log = logging.getLogger("gpts_data")


@dataclass(frozen=True)
class Benchmarks:
    """The index of benchmark n-grams: its folder, and the number of words in an n-gram."""

    folder: AnyPath
    ngram: int


@dataclass(frozen=True)
class Prepare:
    """One task: write the unit file `path`."""

    source: Source
    unit: Unit
    clean: CleanConfig
    dedup: Dedup
    tokenizer: AnyPath
    tokenizer_digest: str
    key: str
    path: AnyPath
    fetch_options: FetchOptions = FetchOptions()
    encoder: EncoderName = "fast"
    benchmarks: Benchmarks | None = None
    dtype: np.dtype[Any] = UINT16
    """Type of a token id."""

    @property
    def receipt(self) -> AnyPath:
        return self.path.with_suffix(".json")

    @property
    def samples(self) -> AnyPath:
        """File of samples of the dropped documents."""
        return self.path.with_suffix(SAMPLES_END)

    @property
    def dropped(self) -> AnyPath:
        """File of the hashed ids and reasons of all dropped documents."""
        return self.path.with_suffix(DROPPED_END)

    @property
    def run(self) -> AnyPath:
        """File of the keys that dedup compares."""
        return self.path.with_suffix(RUN_END)

    @property
    def name(self) -> str:
        """Source and unit, for messages."""
        return f"source {self.source.name!r}, unit {self.unit.name}"

    def accepts(self, receipt: UnitReceipt) -> bool:
        """Whether an existing unit can be used: its files are as they were written and hold what the receipt says, and
        its encoder is the one that was asked for (a user who asks for `tokenizers` may distrust others)."""
        if self.encoder != "fast" and not receipt["encoder"].startswith(self.encoder):
            return False
        try:
            check_receipt(receipt, self.source.name, self.unit.name)
            if not all_intact(self.name, {self.path.with_suffix(end): file for end, file in receipt["files"].items()}):
                return False
            if not is_store(self.path):  # a store's files would be fetched a second time
                check_files(receipt, self.path, self.dedup.n_keys, self.dtype)
        except ValueError as error:
            log.warning("%s: %s: %s; the unit is prepared again", self.name, self.receipt.name, error)
            return False
        return True


@dataclass(frozen=True)
class PrepareBuckets:
    """One unit of all sources that are quality buckets of the same files; of any other source alone."""

    tasks: tuple[Prepare, ...]
    """A task for each source; the unit is the same."""

    @property
    def unit(self) -> Unit:
        return self.tasks[0].unit

    @property
    def memory_bytes(self) -> int:
        """Memory for the files of the unit, if the temporary folder is in memory, and for batches of its text."""
        return 2 * len(self.tasks) * self.unit.text_bytes


def prepare_buckets(group: PrepareBuckets) -> list[tuple[UnitReceipt, bool]]:
    """The receipt of each task, and whether its unit was there already and is as it was written.

    The others are prepared together: the unit is read once.
    """
    receipts = [accepted_receipt(task.receipt, task.key, UnitReceipt, task.accepts) for task in group.tasks]
    existing = {task.path: receipt for task, receipt in zip(group.tasks, receipts, strict=True) if receipt}
    missing = [task for task in group.tasks if task.path not in existing]
    made = dict(zip([task.path for task in missing], prepare_together(missing), strict=True))
    return [(existing.get(task.path) or made[task.path], task.path in existing) for task in group.tasks]


def prepare_or_reuse(task: Prepare) -> tuple[UnitReceipt, bool]:
    """The receipt of a unit, and whether the unit was there already and is as it was written. If not, prepare it."""
    return prepare_buckets(PrepareBuckets((task,)))[0]


def prepare(task: Prepare) -> UnitReceipt:
    """Write the unit file and the files beside it, then the receipt."""
    remove_file(task.receipt)
    return prepare_together([task])[0]


def prepare_together(tasks: Sequence[Prepare]) -> list[UnitReceipt]:
    """Read a unit once and prepare it for each task, whose sources differ in their score bounds and filters only.

    The tasks have no receipts; one must not outlive its unit file.
    """
    if not tasks:
        return []
    with uploads_together(tasks[0].path), processor() as check_stop:
        units = [_UnitWork(task) for task in tasks]
        with ExitStack() as stack:
            for unit in units:
                stack.enter_context(unit.writing())
            for batches in read_buckets([task.source for task in tasks], tasks[0].unit, tasks[0].fetch_options):
                check_stop()
                for unit, batch in zip(units, batches, strict=True):
                    unit.add(batch)
        receipts = [unit.write_tables() for unit in units]
    return [write_receipt(task.receipt, receipt) for task, receipt in zip(tasks, receipts, strict=True)]


class _UnitWork:
    """Cleans, encodes and writes the batches of a unit, and counts what became of the documents."""

    def __init__(self, task: Prepare) -> None:
        self._task = task
        self._encoder = get_encoder(task.tokenizer, task.tokenizer_digest, task.encoder)
        self._parity = ParityCheck(self._encoder, task.name)
        self._read = self._kept = self._tokens = 0
        self._damaged: list[str] = []
        self._dropped_ids = DroppedIds()
        self._samples = DroppedSamples(MAX_KEEP_DROPPED)  # whatever keep_dropped is: other mixes can reuse the unit

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write the unit file and the keys of what is added inside the block."""
        with atomic_write(self._task.path) as file, run_writer(self._task.run, self._task.name) as self._run:
            with unit_writer(file, self._task.dtype) as self._writer:
                yield
            self._checksum = checksum_so_far(file)

    def add(self, batch: pa.RecordBatch) -> None:
        """Clean, sign, encode and write the documents of a batch."""
        cleaned = self._clean(batch)
        if cleaned.num_rows:
            self._run.add(signer(self._task.dedup).sign(cleaned, self._task.source.name))
            self._writer.add(self._encode(cleaned))

    def write_tables(self) -> UnitReceipt:
        """Write the files beside the unit file. Returns the receipt, which is written when all files are there."""
        files = {
            UNIT_END: self._checksum,
            RUN_END: self._run.checksum,
            SAMPLES_END: self._samples.save(self._task.samples),
            DROPPED_END: self._dropped_ids.save(self._task.dropped),
        }
        return self._receipt(self._run.n_keys, cast(dict[str, AnyChecksum], files))

    def _clean(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The documents of a batch that are neither damaged nor dropped by a filter."""
        self._damaged += damaged_places(batch)
        sound, _ = split_faulty(batch)
        cleaned, reasons = get_cleaner(self._task.clean).clean(sound)
        self._samples.add_batch(sound, reasons, self._task.unit.name, ID_SEED)
        self._dropped_ids.add(batch, batch.column("fault"))
        self._dropped_ids.add(sound, reasons)
        self._read += batch.num_rows
        self._kept += cleaned.num_rows
        return cleaned

    def _encode(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of the unit file for these documents."""
        encoded = _encode(batch, self._task, self._encoder, self._parity)
        self._tokens += len(encoded.column("ids").values)
        return encoded

    def _receipt(self, n_keys: int, files: dict[str, AnyChecksum]) -> UnitReceipt:
        return {
            "key": self._task.key,
            "source": self._task.source.name,
            "unit": self._task.unit.name,
            "read": self._read,
            "kept": self._kept,
            "dropped": dict(self._dropped_ids.counts),
            "damaged": self._damaged[:MAX_NAMED],
            "n_damaged": len(self._damaged),
            "tokens": self._tokens,
            "keys": n_keys,
            "files": files,
            "encoder": self._encoder.name,
            "proven": {"documents": self._parity.documents, "bytes": self._parity.text_bytes},
        }


def _encode(batch: pa.RecordBatch, task: Prepare, encoder: Encoder, parity: ParityCheck) -> pa.RecordBatch:
    ids, lengths = encoder.encode(batch.column("text"))
    names = pc.coalesce(batch.column("id"), batch.column("place"))
    parity.check(names, batch.column("text"), ids, lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.RecordBatch.from_arrays(
        [
            names,
            batch.column("url"),
            pa.array(hash_strings(names, ID_SEED)),
            _matches(batch, task.benchmarks),
            pa.array(lengths),
            pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids)),
        ],
        schema=unit_schema(task.dtype),
    )


def _matches(batch: pa.RecordBatch, benchmarks: Benchmarks | None) -> pa.ListArray:
    if benchmarks is None:
        return pa.ListArray.from_arrays(pa.array([0] * (batch.num_rows + 1), pa.int32()), pa.array([], pa.uint32()))
    return get_matcher(benchmarks.folder, benchmarks.ngram).find(batch.column("text"))
