"""Check the document tables of a mix against the streams of its sources: a part of VERIFY."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gpts_data.mixer.format.layout import document_tables
from gpts_data.mixer.format.manifest_types import FileEntry
from gpts_data.mixer.format.mix import Mix

FileProblem = tuple[str, str]
"""A file, and what is wrong with it."""


def check_documents(mix: Mix) -> Iterator[FileProblem]:
    """Check that the document tables of each source list all of its documents, and that these make up its streams."""
    for name in mix.sources:
        files, counts = mix.manifest["files"], mix.manifest["sources"][name]
        validation = counts["validation"]
        n_tokens = counts["pass_windows"] * mix.window + counts["leftover_tokens"]
        check = _packed if mix.is_packed else _stream
        yield from check(mix, f"documents/{name}", document_tables(files, name), counts["documents"], n_tokens)
        held_out = [file for file in files if file["file"] == f"validation/{name}.parquet"]
        n_tokens = validation["windows"] * mix.window + validation["leftover_tokens"]
        yield from _stream(mix, f"validation/{name}.parquet", held_out, validation["documents"], n_tokens)


def _stream(mix: Mix, name: str, files: Sequence[FileEntry], n_documents: int, n_tokens: int) -> Iterator[FileProblem]:
    """Check that the documents of these tables follow one another without gaps, and how many they are."""
    end = documents = 0
    for file in files:
        table = mix.table(file, ["start", "tokens"])
        if file["start"] != end:
            yield (file["file"], f"begins at token {file['start']:,} by the manifest, expected {end:,}")
        starts, tokens = table.column("start").to_numpy(), table.column("tokens").to_numpy()
        ends = end + np.cumsum(tokens, dtype=np.uint64)
        if (starts != ends - tokens).any():
            yield (file["file"], f"its documents do not follow one another from token {end:,} of the source")
        end, documents = end + int(tokens.sum()), documents + len(tokens)
    if (documents, end) != (n_documents, n_tokens):
        yield (name, f"{documents:,} documents with {end:,} tokens, expected {n_documents:,} with {n_tokens:,} tokens")


def _packed(mix: Mix, name: str, files: Sequence[FileEntry], n_documents: int, n_tokens: int) -> Iterator[FileProblem]:
    """Check that the documents of packed windows do not overlap, and the padding and the cuts between them."""
    end = documents = padding = cuts = 0
    source = mix.manifest["sources"][name.removeprefix("documents/")]
    last = source["pass_windows"] * mix.window
    for file in files:
        table = mix.table(file, ["start", "tokens"])
        starts, tokens = (table.column(key).to_numpy().astype(np.int64) for key in ("start", "tokens"))
        before = np.concatenate([[end], (starts + tokens)[:-1]])
        if file["start"] != starts[0] or (starts < before).any() or (starts - before >= mix.window).any():
            yield (file["file"], f"its documents overlap, or leave whole windows empty, from token {end:,} on")
        padding += int((np.minimum(starts, last) - np.minimum(before, last)).sum())
        stops, is_in = np.minimum(starts + tokens, last), starts < last
        cuts += int(((stops - 1) // mix.window - starts // mix.window)[is_in].sum())
        end, documents = int(starts[-1] + tokens[-1]), documents + len(tokens)
    padding += last - min(end, last)
    expected = source.get("packing", {"padding": 0, "cuts": 0})
    if (documents, -(-end // mix.window) * mix.window) != (n_documents, n_tokens):
        yield (name, f"{documents:,} documents to token {end:,}, expected {n_documents:,} to {n_tokens:,}")
    if {"padding": padding, "cuts": cuts} != expected:
        yield (name, f"padding of {padding:,} tokens and {cuts:,} cuts, expected {expected}")
