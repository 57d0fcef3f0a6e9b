"""Other trainers' formats, as files to be written: what each of them gets, and the bytes.

A window is a row of the mix: pieces of documents of one source, each but perhaps the last ended by end-of-text. Windows
stay whole and in training order in every format, and no id is added or left out. The held-out windows follow each other
source by source; a mix without any gives no validation file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from gpts_data.mixer.export import byte_layouts
from gpts_data.mixer.export.window_files import WindowFile, count, train, validation
from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.storage.paths import AnyPath

Write = Callable[[IO[bytes]], Iterator[int]]


@dataclass(frozen=True)
class ExportFile:
    """A file of an export. `write` fills it and yields how many windows went in; `same` is a file of its very bytes."""

    name: str
    windows: int
    write: Write
    same: AnyPath | None = None


def export_files(mix: Mix, name: str) -> list[ExportFile]:
    """The files of the mix in a format, the tokenizer's among them. Raises `UsageError`, `VerificationError`."""
    return [*FORMATS[name](mix), *(_copied(path, f"tokenizer/{path.name}") for path in _tokenizer(mix))]


def nanogpt(mix: Mix) -> list[ExportFile]:
    """train.bin, val.bin: the ids, uint16, nothing else. Read by nanoGPT's `get_batch`, which samples at any offset.

    No meta.pkl: nanoGPT's sample.py expects a table of characters in it. Give its model vocab_size of export.json.
    """
    return [_joined("train.bin", train(mix)), *_if_any("val.bin", validation(mix))]


def llmc(mix: Mix) -> list[ExportFile]:
    """train_00000.bin per shard, val_00000.bin: 256 int32 (magic, version, number of ids), then the ids, uint16.

    The layout of llm.c and modded-nanogpt, which put end-of-text before a document where this mix has it behind.
    Raises `UsageError` for a shard whose ids an int32 cannot count.
    """
    splits = [([rows], f"train_{i:05}.bin") for i, rows in enumerate(train(mix))]
    splits += [(held, "val_00000.bin") for held in [validation(mix)] if held]
    return [ExportFile(name, count(rows), partial(byte_layouts.llmc, splits=rows)) for rows, name in splits]


def datatrove(mix: Mix) -> list[ExportFile]:
    """train/*.ds per shard, validation/<source>.ds: the ids, uint16; with .ds.index and .ds.metadata beside each.

    The index has the ends of documents, uint64, counted in ids from the file's start. A document here is what a window
    holds of one: it ends with its end-of-text or with the window, as no document goes on in the next row.
    Of windows of 512, `DatatroveFolderDataset(out/train, seq_len=511)` and nanotron's Nanoset of sequence_length 511
    read one at a time.
    """
    found = []
    for folder, splits in (("train", train(mix)), ("validation", validation(mix))):
        for rows in splits:
            name = f"{folder}/{rows.path.stem}.ds"
            found += [
                _joined(name, [rows]),
                ExportFile(f"{name}.index", 0, partial(byte_layouts.document_ends, rows=rows, eos_id=mix.eos_id)),
                _text(f"{name}.metadata", f"tokenizer|2\n{rows.windows * rows.size}\n{byte_layouts.metric(rows)}"),
            ]
    return found


def megatron(mix: Mix) -> list[ExportFile]:
    """train.bin and train.idx, validation.bin and validation.idx: `--data-path out/train`.

    One sequence and one document a window: Megatron shuffles documents and lays them end to end, so with windows of 512
    and --seq-length 512 a sample is a window and the first id of the next one. End-of-text stands inside the windows,
    for --reset-attention-mask and --eod-mask-loss.
    """
    splits = [(name, rows) for name, rows in (("train", train(mix)), ("validation", validation(mix))) if rows]
    return [
        piece
        for name, rows in splits
        for piece in (
            _joined(f"{name}.bin", rows),
            ExportFile(f"{name}.idx", 0, partial(byte_layouts.megatron_index, windows=count(rows), size=mix.window)),
        )
    ]


def parquet(mix: Mix) -> list[ExportFile]:
    """data/train-*.parquet per shard, data/validation-*: `datasets.load_dataset(out)` finds both splits.

    A row is a window: `input_ids` list of uint16, `source` its name, `document_starts` list of int32: the offsets in
    the window where a document, or what the window holds of one, begins; the first is always 0.
    """
    splits = (("train", train(mix)), ("validation", validation(mix)))
    return [
        ExportFile(
            f"data/{name}-{i:05}-of-{len(split):05}.parquet",
            rows.windows,
            partial(byte_layouts.parquet, rows=rows, names=mix.sources, eos_id=mix.eos_id),
        )
        for name, split in splits
        for i, rows in enumerate(split)
    ]


def mds(mix: Mix) -> list[ExportFile]:
    """train/shard.*.mds and index.json, validation/ likewise: `StreamingDataset(local=out, split="train")`.

    A sample is a window: the column `tokens`, ndarray of uint16, which llm-foundry looks for too. Raises `UsageError`
    for a shard over 4 GiB.
    """
    found = []
    for folder, splits in (("train", train(mix)), ("validation", validation(mix))):
        entries = [byte_layouts.mds_entry(rows, f"shard.{i:05}.mds") for i, rows in enumerate(splits)]
        for rows, entry in zip(splits, entries, strict=True):
            name = f"{folder}/{entry['raw_data']['basename']}"
            found.append(ExportFile(name, rows.windows, partial(byte_layouts.mds, rows=rows)))
        if splits:
            found.append(_text(f"{folder}/index.json", json.dumps({"shards": entries, "version": 2}, sort_keys=True)))
    return found


FORMATS: dict[str, Callable[[Mix], list[ExportFile]]] = {
    "nanogpt": nanogpt,
    "llmc": llmc,
    "datatrove": datatrove,
    "megatron": megatron,
    "parquet": parquet,
    "mds": mds,
}


def _tokenizer(mix: Mix) -> list[AnyPath]:
    names = (Path(file["file"]) for file in mix.manifest["files"])
    return [mix.path / name for name in names if name.parent.as_posix() == "tokenizer"]


def _joined(name: str, splits: Sequence[WindowFile]) -> ExportFile:
    """The ids of several files behind each other; of one, the file itself."""
    same = splits[0].path if len(splits) == 1 else None
    return ExportFile(name, count(splits), partial(byte_layouts.ids, splits=splits), same)


def _if_any(name: str, splits: Sequence[WindowFile]) -> list[ExportFile]:
    return [_joined(name, splits)] if splits else []


def _copied(path: AnyPath, name: str) -> ExportFile:
    return ExportFile(name, 0, partial(byte_layouts.copy, path=path), path)


def _text(name: str, text: str) -> ExportFile:
    return ExportFile(name, 0, partial(byte_layouts.content, whole=text.encode()))
