"""PREPARE(unit): read the documents of a unit, filter them, hash their keys for dedup, encode them.

The result depends only on the recipe, the tokenizer and the unit. A unit file is Arrow IPC with one record batch per
batch of documents, so that it can be written and memory-mapped batch by batch. Its columns (UNIT):

    id, url   strings
    draw      uint64, hash of the id, which decides whether the document is held out for validation
    matches   list of uint32, the benchmark n-grams in the document
    tokens    uint32, number of token ids
    ids       list of uint16, token ids, end-of-text included; the text itself is not stored

A second file holds the keys that dedup compares (dedup_index.py), a third the dropped documents (dropped_ids.py), a
fourth samples of them (dropped_samples.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpts_data.mixer.format.outcomes import ID_SEED
from gpts_data.mixer.recipe import MAX_KEEP_DROPPED
from gpts_data.mixer.stages.dedup_index import run_writer
from gpts_data.mixer.stages.dropped_ids import DroppedIds
from gpts_data.mixer.stages.dropped_samples import DroppedSamples
from gpts_data.pipelines.decontaminate.index import get_matcher
from gpts_data.pipelines.dedup.signatures import Dedup, signer
from gpts_data.pipelines.filters.cleaner import CleanConfig, get_cleaner
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.readers.damage import damaged_places, split_faulty
from gpts_data.pipelines.readers.reader import read
from gpts_data.pipelines.readers.source import Source, Unit
from gpts_data.pipelines.storage.atomic_files import atomic_write
from gpts_data.pipelines.storage.checksums import AnyChecksum, all_intact, checksum_so_far
from gpts_data.pipelines.storage.paths import AnyPath, open_arrow
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt
from gpts_data.pipelines.text.hashing import hash_strings
from gpts_data.tokenizer.encode import Encoder, EncoderName, get_encoder
from gpts_data.tokenizer.parity_check import ParityCheck

UNIT = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("draw", pa.uint64()),
        ("matches", pa.list_(pa.uint32())),
        ("tokens", pa.uint32()),
        ("ids", pa.list_(pa.uint16())),
    ]
)
UNIT_END, RUN_END, SAMPLES_END, DROPPED_END = ".arrow", ".keys.arrow", ".dropped.jsonl", ".dropped.npy"
"""What the names of a unit's files end with."""
MAX_NAMED = 20  # damaged documents listed in the receipt of a unit, and per source in the manifest

Columns = tuple[NDArray[np.uint32], NDArray[np.uint64], pa.ListArray]
"""The columns tokens, draw and matches of all documents of a unit."""


@dataclass(frozen=True)
class Benchmarks:
    """The index of benchmark n-grams: its folder, and the number of words in an n-gram."""

    folder: AnyPath
    ngram: int


class ParityCheckCounts(TypedDict):
    """Text on which the fast encoder was compared with the reference encoder."""

    documents: int
    bytes: int


class UnitReceipt(TypedDict):
    """Receipt of one prepared unit."""

    key: str
    source: str
    unit: str
    read: int
    """Documents read; `kept` and the values of `dropped` add up to it."""
    kept: int
    dropped: dict[str, int]
    """Documents dropped, by reason."""
    damaged: list[str]
    """`place: fault` of the first MAX_NAMED damaged documents."""
    n_damaged: int
    tokens: int
    """Tokens of the kept documents."""
    keys: int
    """Keys in the unit's run."""
    files: dict[str, AnyChecksum]
    """Of the unit file and the files beside it, by what their names end with."""
    encoder: str
    """Library and version that encoded the text."""
    proven: ParityCheckCounts


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
        """Whether an existing unit can be used: its files are as they were written, and its encoder is the one that
        was asked for (a user who asks for `tokenizers` may distrust others)."""
        if self.encoder != "fast" and not receipt["encoder"].startswith(self.encoder):
            return False
        return all_intact(self.name, {self.path.with_suffix(end): file for end, file in receipt["files"].items()})


def prepare_or_reuse(task: Prepare) -> tuple[UnitReceipt, bool]:
    """The receipt of a unit, and whether the unit was there already and is as it was written. If not, prepare it."""
    receipt = read_receipt(task.receipt, task.key, UnitReceipt)
    if receipt and task.accepts(receipt):
        return receipt, True
    return prepare(task), False


def prepare(task: Prepare) -> UnitReceipt:
    """Write the unit file and the files beside it, then the receipt."""
    task.receipt.unlink(missing_ok=True)  # it must not outlive its unit file
    unit = _UnitWork(task)
    with atomic_write(task.path) as file, run_writer(task.run, task.name) as run:
        with pa.ipc.new_file(file, UNIT) as writer:
            for batch in read(task.source, task.unit, task.fetch_options):
                cleaned = unit.clean(batch)
                if cleaned.num_rows:
                    run.add(signer(task.dedup).sign(cleaned, task.source.name))
                    writer.write_batch(unit.encode(cleaned))
        checksum = checksum_so_far(file)
    files: dict[str, AnyChecksum] = {
        UNIT_END: {**checksum},
        RUN_END: {**run.checksum},
        SAMPLES_END: {**unit.samples.save(task.samples)},
        DROPPED_END: {**unit.dropped_ids.save(task.dropped)},
    }
    return write_receipt(task.receipt, unit.receipt(run.n_keys, files))


class _UnitWork:
    """Cleans and encodes the batches of a unit, and counts what became of the documents."""

    def __init__(self, task: Prepare) -> None:
        self._task = task
        self._encoder = get_encoder(task.tokenizer, task.tokenizer_digest, task.encoder)
        self._parity = ParityCheck(self._encoder, task.name)
        self._read = self._kept = self._tokens = 0
        self._damaged: list[str] = []
        self.dropped_ids = DroppedIds()
        self.samples = DroppedSamples(MAX_KEEP_DROPPED)  # whatever keep_dropped is: other mixes can reuse the unit

    def clean(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The documents of a batch that are neither damaged nor dropped by a filter."""
        self._damaged += damaged_places(batch)
        sound, _ = split_faulty(batch)
        cleaned, reasons = get_cleaner(self._task.clean).clean(sound)
        self.samples.add_batch(sound, reasons, self._task.unit.name, ID_SEED)
        self.dropped_ids.add(batch, batch.column("fault"))
        self.dropped_ids.add(sound, reasons)
        self._read += batch.num_rows
        self._kept += cleaned.num_rows
        return cleaned

    def encode(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of the unit file for these documents."""
        encoded = _encode(batch, self._task, self._encoder, self._parity)
        self._tokens += len(encoded.column("ids").values)
        return encoded

    def receipt(self, n_keys: int, files: dict[str, AnyChecksum]) -> UnitReceipt:
        return {
            "key": self._task.key,
            "source": self._task.source.name,
            "unit": self._task.unit.name,
            "read": self._read,
            "kept": self._kept,
            "dropped": dict(self.dropped_ids.counts),
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
        schema=UNIT,
    )


def _matches(batch: pa.RecordBatch, benchmarks: Benchmarks | None) -> pa.ListArray:
    if benchmarks is None:
        return pa.ListArray.from_arrays(pa.array([0] * (batch.num_rows + 1), pa.int32()), pa.array([], pa.uint32()))
    return get_matcher(benchmarks.folder, benchmarks.ngram).find(batch.column("text"))


def unit_batches(path: AnyPath, columns: Sequence[str] = tuple(UNIT.names)) -> Iterator[pa.RecordBatch]:
    """The record batches of a unit file. Only the given columns are read; they come in the order of UNIT."""
    options = pa.ipc.IpcReadOptions(included_fields=[UNIT.get_field_index(name) for name in columns])
    with open_arrow(path) as source, pa.ipc.open_file(source, options=options) as reader:
        for i in range(reader.num_record_batches):
            yield reader.get_batch(i)


def document_columns(path: AnyPath) -> Columns:
    """The columns tokens (uint32), draw (uint64) and matches (list of uint32) of all documents of a unit."""
    columns = "tokens", "draw", "matches"
    empty = pa.RecordBatch.from_pylist([], schema=UNIT)
    batches = [batch.select(columns) for batch in (empty, *unit_batches(path, columns))]
    table = pa.Table.from_batches(batches).combine_chunks()
    tokens, draws, matches = (table.column(name) for name in columns)
    return tokens.to_numpy(), draws.to_numpy(), matches.chunk(0) if matches.num_chunks else empty.column("matches")


def batch_ids(batch: pa.RecordBatch, chosen: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """The token ids of the chosen documents, concatenated: uint16. chosen: bool, shape (documents,)."""
    ids: NDArray[np.uint16] = batch.column("ids").flatten().to_numpy()
    return ids[np.repeat(chosen, batch.column("tokens").to_numpy())]
