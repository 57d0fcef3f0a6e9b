"""PREPARE(unit): read, clean, sign, encode. A pure function of recipe, tokenizer and unit; text is never stored.

A unit file is Arrow IPC, one record batch per batch of documents, so it is written and mapped back piece by piece:
`id`, `url` strings; `draw` uint64, the hash of the id that decides on validation; `matches` list of uint32, the n-grams
of benchmarks that it has; `tokens` uint32; `ids` list of uint16, end-of-text included. Beside it the keys that dedup
compares (dedup_index.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpts_data.mixer.stages.dedup_index import run_writer
from gpts_data.mixer.stages.dropped_samples import DroppedSamples
from gpts_data.pipelines.decontaminate.index import finder
from gpts_data.pipelines.dedup.signatures import Dedup, signer
from gpts_data.pipelines.filters.cleaner import CleanConfig, get_cleaner
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.readers.damage import damaged_places, split_faulty
from gpts_data.pipelines.readers.reader import read
from gpts_data.pipelines.readers.source import Source, Unit
from gpts_data.pipelines.storage.atomic_files import atomic_write, size_and_sha256
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
MAX_NAMED = 20  # damaged documents that are named, of each unit and in the manifest
DRAW_SEED = 0x5EED  # of the validation draw; the same documents are held out under every recipe seed


Columns = tuple[NDArray[np.uint32], NDArray[np.uint64], pa.ListArray]
"""Of all documents of a unit: tokens, draws, matches."""


@dataclass(frozen=True)
class Benchmarks:
    """What documents are searched for: the folder of the n-grams, and how many words they have."""

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
    bytes: int
    sha256: str
    encoder: str
    """Library and version that encoded the text."""
    proven: ParityCheckCounts


@dataclass(frozen=True)
class Prepare:
    """One task: `path` is the unit file to write, its receipt beside it."""

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
    keep_dropped: int = 0

    @property
    def receipt(self) -> AnyPath:
        return self.path.with_suffix(".json")

    @property
    def samples(self) -> AnyPath:
        """Some of the documents that were dropped."""
        return self.path.with_suffix(".dropped.jsonl")

    @property
    def run(self) -> AnyPath:
        return self.path.with_suffix(".keys.arrow")

    def accepts(self, receipt: UnitReceipt) -> bool:
        """Whether the encoder of a unit that is there will do: who asks for `tokenizers` may distrust the other."""
        return self.encoder == "fast" or receipt["encoder"].startswith(self.encoder)


def prepare(task: Prepare) -> UnitReceipt:
    """Write the unit file unless its receipt is there. Returns the receipt: counts, drops by reason, bytes, sha256."""
    receipt = read_receipt(task.receipt, task.key, UnitReceipt)
    if receipt and task.accepts(receipt):
        return receipt
    task.receipt.unlink(missing_ok=True)  # of another encoder's: it must not outlive its unit
    coder = get_encoder(task.tokenizer, task.tokenizer_digest, task.encoder)
    proof = ParityCheck(coder, f"source {task.source.name!r}, unit {task.unit.name}")
    n_read = n_kept = n_tokens = 0
    damaged: list[str] = []
    dropped: Counter[str] = Counter()
    shown = DroppedSamples(task.keep_dropped)
    with atomic_write(task.path) as file, run_writer(task.run) as run:
        with pa.ipc.new_file(file, UNIT) as writer:
            for batch in read(task.source, task.unit, task.fetch_options):
                damaged += damaged_places(batch)
                sound, faults = split_faulty(batch)
                cleaned, reasons = get_cleaner(task.clean).clean(sound)
                shown.add_batch(sound, reasons, task.unit.name, DRAW_SEED)
                n_read += batch.num_rows
                n_kept += cleaned.num_rows
                dropped += faults + Counter(reasons.drop_null().to_pylist())
                if cleaned.num_rows:
                    run.add(signer(task.dedup).sign(cleaned))
                    encoded = _encode(cleaned, task, coder, proof)
                    n_tokens += len(encoded.column("ids").values)
                    writer.write_batch(encoded)
        facts = size_and_sha256(file)
    if task.keep_dropped:
        shown.save(task.samples)
    result: UnitReceipt = {
        "key": task.key,
        "source": task.source.name,
        "unit": task.unit.name,
        "read": n_read,
        "kept": n_kept,
        "dropped": dict(dropped),
        "damaged": damaged[:MAX_NAMED],
        "n_damaged": len(damaged),
        "tokens": n_tokens,
        "keys": run.n_keys,
        **facts,
        "encoder": coder.name,
        "proven": {"documents": proof.documents, "bytes": proof.text_bytes},
    }
    return write_receipt(task.receipt, result)


def _encode(batch: pa.RecordBatch, task: Prepare, coder: Encoder, proof: ParityCheck) -> pa.RecordBatch:
    ids, lengths = coder.encode(batch.column("text"))
    names = pc.coalesce(batch.column("id"), batch.column("place"))
    proof.check(names, batch.column("text"), ids, lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.RecordBatch.from_arrays(
        [
            names,
            batch.column("url"),
            pa.array(hash_strings(names, DRAW_SEED)),
            _matches(batch, task.benchmarks),
            pa.array(lengths),
            pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids)),
        ],
        schema=UNIT,
    )


def _matches(batch: pa.RecordBatch, benchmarks: Benchmarks | None) -> pa.ListArray:
    if benchmarks is None:
        return pa.ListArray.from_arrays(pa.array([0] * (batch.num_rows + 1), pa.int32()), pa.array([], pa.uint32()))
    return finder(benchmarks.folder, benchmarks.ngram).find(batch.column("text"))


def unit_batches(path: AnyPath, columns: Sequence[str] = tuple(UNIT.names)) -> Iterator[pa.RecordBatch]:
    """The record batches of a unit file, with these columns in the file's order; no other is read."""
    options = pa.ipc.IpcReadOptions(included_fields=[UNIT.get_field_index(name) for name in columns])
    with open_arrow(path) as source, pa.ipc.open_file(source, options=options) as reader:
        for i in range(reader.num_record_batches):
            yield reader.get_batch(i)


def document_columns(path: AnyPath) -> Columns:
    """Of all documents of a unit: tokens, draws, matches."""
    columns = "tokens", "draw", "matches"
    empty = pa.RecordBatch.from_pylist([], schema=UNIT)
    batches = [batch.select(columns) for batch in (empty, *unit_batches(path, columns))]
    table = pa.Table.from_batches(batches).combine_chunks()
    tokens, draws, matches = (table.column(name) for name in columns)
    return tokens.to_numpy(), draws.to_numpy(), matches.chunk(0) if matches.num_chunks else empty.column("matches")


def batch_ids(batch: pa.RecordBatch, chosen: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """The ids of the chosen documents one after the other: uint16."""
    ids: NDArray[np.uint16] = batch.column("ids").flatten().to_numpy()
    return ids[np.repeat(chosen, batch.column("tokens").to_numpy())]
