"""Other trainers' formats: which files an export has, and how each of them is written.

In every format the windows stay whole and in training order, and no id is added or left out; only modded-nanogpt's
moves the end-of-text tokens. A window holds documents of one source, or parts of them; each ends with end-of-text
except perhaps the last. The held-out windows follow one another source by source; a mix without held-out windows gives
no validation file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO

from gpts_data.mixer.export import byte_layouts, nanogpt_files
from gpts_data.mixer.export.dataset_readme import dataset_readme
from gpts_data.mixer.export.window_files import WindowFile, count, train, validation
from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.paths import AnyPath

Write = Callable[[IO[bytes]], Iterator[int]]


@dataclass(frozen=True)
class ExportFile:
    """A file of an export."""

    name: str
    """Path in the folder of the export."""
    windows: int
    """Number of windows in it; 0 for an index."""
    write: Write
    """Fills the file and yields how many windows it wrote, chunk by chunk."""
    same_bytes_as: AnyPath | None = None
    """A file of the mix with the same bytes, if there is one: the export links to it."""


def export_files(mix: Mix, name: str) -> list[ExportFile]:
    """The files of an export in the format `name`, those of the tokenizer included.

    Raises `UsageError` when the format cannot hold the mix, `VerificationError` when a file's size is not the
    manifest's.
    """
    return [*FORMATS[name](mix), *(_copied(path, f"tokenizer/{path.name}") for path in mix.tokenizer_files)]


def nanogpt(mix: Mix) -> list[ExportFile]:
    """train.bin, val.bin: the token ids, uint16, without a header. nanoGPT's `get_batch` samples at any offset of them.

    meta.pkl has the vocabulary for train.py and sample.py. config/train_mix.py is a config for train.py and finds the
    other files by its own path. Raises `UsageError` for ids of uint32.
    """
    _refuse_uint32(mix, "nanogpt")
    held_out = validation(mix)
    return [
        _joined("train.bin", train(mix)),
        *_if_any("val.bin", held_out),
        ExportFile("meta.pkl", 0, partial(nanogpt_files.meta, mix=mix)),
        _text("config/train_mix.py", nanogpt_files.config(mix, count(held_out))),
    ]


def llmc(mix: Mix) -> list[ExportFile]:
    """train_00000.bin for each shard, val_00000.bin: 256 int32 (magic, version, number of ids), then the ids.

    llm.c reads the ids as one stream. Ids of uint32 get the header that train_llama3.py expects. Raises `UsageError`
    for a shard with 2**31 ids or more, which the header cannot count.
    """
    return _llmc_files(train(mix), validation(mix), byte_layouts.llmc)


def modded_nanogpt(mix: Mix) -> list[ExportFile]:
    """The files of `llmc` with end-of-text before each document instead of after it, and at least two for training.

    modded-nanogpt begins every sequence at its BOS_ID, which is end-of-text, and stops when there is no second file. A
    document that continues in another window begins anew there. Raises like `llmc`, and `UsageError` for ids of uint32.
    """
    _refuse_uint32(mix, "modded-nanogpt")
    shards = train(mix)
    shards = shards if len(shards) > 1 else shards[0].halves()
    return _llmc_files(shards, validation(mix), partial(byte_layouts.bos_first, eos_id=mix.eos_id))


def _refuse_uint32(mix: Mix, name: str) -> None:
    """Raise `UsageError` when the ids of a mix are uint32: the trainer of this format reads two bytes for each."""
    if mix.dtype.itemsize > 2:
        raise UsageError(
            f"{mix.path}: {mix.vocab_size:,} vocabulary entries need uint32 ids, and {name} reads uint16; export to "
            "another format, such as llmc, datatrove, megatron, parquet or mds"
        )


def _llmc_files(
    shards: Sequence[WindowFile], held_out: Sequence[WindowFile], layout: Callable[..., Iterator[int]]
) -> list[ExportFile]:
    splits = [([rows], f"train_{i:05}.bin") for i, rows in enumerate(shards)]
    splits += [(list(held_out), "val_00000.bin")] if held_out else []
    return [ExportFile(name, count(rows), partial(layout, window_files=rows)) for rows, name in splits]


def datatrove(mix: Mix) -> list[ExportFile]:
    """train/*.ds for each shard, validation/<source>.ds: the ids; beside each a .ds.index and a .ds.metadata.

    The index has the ends of documents, uint64, counted in ids from the file's start. A document that continues in
    another window counts as ended at the window's end, because the next row of the file is another window.
    `DatatroveFolderDataset(out/train, seq_len=511)` and nanotron's Nanoset with sequence_length 511 read one window of
    512 at a time.
    """
    files, token_size = [], f"tokenizer|{mix.dtype.itemsize}"
    for folder, splits in (("train", train(mix)), ("validation", validation(mix))):
        for rows in splits:
            name = f"{folder}/{rows.path.stem}.ds"
            files += [
                _joined(name, [rows]),
                ExportFile(f"{name}.index", 0, partial(byte_layouts.document_ends, rows=rows, eos_id=mix.eos_id)),
                _text(f"{name}.metadata", f"{token_size}\n{rows.windows * rows.size}\n{byte_layouts.metric(rows)}"),
            ]
    return files


def megatron(mix: Mix) -> list[ExportFile]:
    """train.bin and train.idx, validation.bin and validation.idx: `--data-path out/train`.

    Each window is one sequence and one document to Megatron, which shuffles documents and joins them: with windows of
    512 and --seq-length 512 a sample is a window and the first id of the next. End-of-text is inside the windows, for
    --reset-attention-mask and --eod-mask-loss.
    """
    splits = [(name, rows) for name, rows in (("train", train(mix)), ("validation", validation(mix))) if rows]
    index = partial(byte_layouts.megatron_index, size=mix.window, dtype=mix.dtype)
    return [
        file
        for name, rows in splits
        for file in (
            _joined(f"{name}.bin", rows),
            ExportFile(f"{name}.idx", 0, partial(index, windows=count(rows))),
        )
    ]


def parquet(mix: Mix) -> list[ExportFile]:
    """data/train-*.parquet for each shard, data/validation-*, README.md: `datasets.load_dataset(out)` has both splits.

    A row is a window: `input_ids`, list of uint16 or uint32; `source`, the source's name; `document_starts`, list of
    int32: the offsets in the window at which a document, or the window's part of one, begins. The first is always 0.
    """
    splits = (("train", train(mix)), ("validation", validation(mix)))
    files = [
        ExportFile(
            f"data/{name}-{i:05}-of-{len(split):05}.parquet",
            rows.windows,
            partial(byte_layouts.parquet, rows=rows, names=mix.sources, eos_id=mix.eos_id),
        )
        for name, split in splits
        for i, rows in enumerate(split)
    ]
    return [*files, _text("README.md", dataset_readme(mix, [name for name, split in splits if split]))]


def mds(mix: Mix) -> list[ExportFile]:
    """train/shard.*.mds and index.json, validation/ likewise: `StreamingDataset(local=out, split="train")`.

    A sample is a window: the column `tokens`, an ndarray of uint16 or uint32, which llm-foundry also reads. Raises
    `UsageError` for a shard over 4 GiB.
    """
    files = []
    for folder, splits in (("train", train(mix)), ("validation", validation(mix))):
        entries = [byte_layouts.mds_entry(rows, f"shard.{i:05}.mds") for i, rows in enumerate(splits)]
        for rows, entry in zip(splits, entries, strict=True):
            name = f"{folder}/{entry['raw_data']['basename']}"
            files.append(ExportFile(name, rows.windows, partial(byte_layouts.mds, rows=rows)))
        if splits:
            files.append(_text(f"{folder}/index.json", json.dumps({"shards": entries, "version": 2}, sort_keys=True)))
    return files


FORMATS: dict[str, Callable[[Mix], list[ExportFile]]] = {
    "nanogpt": nanogpt,
    "llmc": llmc,
    "modded-nanogpt": modded_nanogpt,
    "datatrove": datatrove,
    "megatron": megatron,
    "parquet": parquet,
    "mds": mds,
}


def _joined(name: str, window_files: Sequence[WindowFile]) -> ExportFile:
    """The ids of several files, one after another. The ids of a single file are the same bytes as that file."""
    same = window_files[0].path if len(window_files) == 1 else None
    return ExportFile(name, count(window_files), partial(byte_layouts.ids, window_files=window_files), same)


def _if_any(name: str, window_files: Sequence[WindowFile]) -> list[ExportFile]:
    return [_joined(name, window_files)] if window_files else []


def _copied(path: AnyPath, name: str) -> ExportFile:
    return ExportFile(name, 0, partial(byte_layouts.copy, path=path), path)


def _text(name: str, text: str) -> ExportFile:
    return ExportFile(name, 0, partial(byte_layouts.content, data=text.encode()))
