"""A finished mix folder, opened for reading.

mix = open_mix("out")
mix.shard(0)[k]          # window k of the training order: 512 token ids, uint16
mix.validation("wiki")   # held-out windows of one source
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gpts_data.mixer.format.layout import DOCUMENTS, map_windows, read_windows
from gpts_data.mixer.format.listed_files import file_problem
from gpts_data.mixer.format.manifest import read_manifest
from gpts_data.mixer.format.manifest_types import FileEntry, Manifest
from gpts_data.mixer.recipe_stages import recorded_stages
from gpts_data.mixer.schedule.permutation import EpochOrder
from gpts_data.mixer.schedule.training_stages import TrainingStage
from gpts_data.pipelines.errors import GptsDataError, VerificationError, is_out_of_memory
from gpts_data.pipelines.storage.paths import AnyPath, as_path, is_store, load_npy
from gpts_data.pipelines.storage.store_file import open_arrow
from gpts_data.tokenizer.artifact import FILES as TOKENIZER_FILES
from gpts_data.tokenizer.artifact import TokenIds, token_dtype


@dataclass(frozen=True, repr=False)
class Mix:
    """A finished mix, opened for reading."""

    path: AnyPath
    """Folder of the mix."""
    manifest: Manifest
    """The content of manifest.json."""

    def __repr__(self) -> str:
        return f"Mix({str(self.path)!r}, {self.windows:,} windows of {self.window}, {len(self.sources)} sources)"

    @property
    def window(self) -> int:
        """Tokens in a window."""
        return int(self.manifest["recipe"]["window"])

    @property
    def windows(self) -> int:
        """Windows of the training order, over all shards."""
        return int(self.manifest["windows"])

    @property
    def tokens(self) -> int:
        """Tokens of the training order: `windows * window`."""
        return self.windows * self.window

    @property
    def vocab_size(self) -> int:
        """Number of vocabulary entries of the tokenizer. Every token id is below it."""
        return int(self.manifest["tokenizer"]["vocab_size"])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a stored token id: uint16, or uint32 for a tokenizer with more than 65,536 entries."""
        return token_dtype(self.vocab_size)

    @property
    def is_packed(self) -> bool:
        """Whether windows hold whole documents (best-fit packing), so that some are padded with end-of-text."""
        return "packing" in self.manifest["recipe"]

    @property
    def eos_id(self) -> int:
        """Id of the end-of-text token that follows each document."""
        return int(self.manifest["tokenizer"]["eos_id"])

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources in recipe order. The `source` of a sidecar row is an index into it."""
        return tuple(source["name"] for source in self.manifest["recipe"]["source"])

    @cached_property
    def stages(self) -> tuple[TrainingStage, ...]:
        """The stages of the training order: one, unless the recipe has `[[stage]]` tables."""
        return recorded_stages(self.manifest["recipe"], self.windows)

    def stage_at(self, position: int) -> int:
        """The number of the stage that window `position` of the training order is in, from 0. After the last window the
        first follows again."""
        return bisect_right([stage.start for stage in self.stages], position % self.windows) - 1

    def epoch_order(self, source: int) -> EpochOrder:
        """The order in which the training order takes the windows of a source, given its index in `sources`."""
        name = self.sources[source]
        counts = self.manifest["sources"][name]
        return EpochOrder(counts["windows"], counts["pass_windows"], self.manifest["recipe"]["seed"], name)

    @property
    def tokenizer(self) -> AnyPath:
        """Folder of the tokenizer, for `transformers.AutoTokenizer.from_pretrained`. Raises as `file` does."""
        self.tokenizer_files  # noqa: B018 - checks them
        return self.path / "tokenizer"

    @property
    def tokenizer_files(self) -> list[AnyPath]:
        """The files of the tokenizer, without others that a stranger may have put beside them, such as code."""
        names = (f"tokenizer/{name}" for name in TOKENIZER_FILES)
        return [self.file(name) for name in names if self.has(name)]

    @cached_property
    def _entries(self) -> dict[str, FileEntry]:
        entries: list[FileEntry] = [*self.manifest["shards"], *self.manifest["files"]]
        return {entry["file"]: entry for entry in entries}

    @cached_property
    def _checked(self) -> set[str]:
        """Names of the files that `file` has checked."""
        return set()

    def has(self, name: str) -> bool:
        """Whether the manifest lists a file."""
        return name in self._entries

    def file(self, name: str) -> AnyPath:
        """The path of a file that the manifest lists, once it is found to be a regular file of its size in the mix.

        Raises `VerificationError` for any other: a link out of the mix, a pipe, a truncated file. In a store, which has
        no links, only shards and validation files are checked, to save a request for each file.
        """
        if name not in self._entries:
            raise VerificationError(f"{self.path / name}: not listed in the manifest; run gpts-data verify {self.path}")
        if name not in self._checked and (name.endswith(".bin") or not is_store(self.path)):
            if problem := file_problem(self.path, self._entries[name]):
                raise VerificationError(f"{self.path / name}: {problem}; run gpts-data verify {self.path}")
            self._checked.add(name)
        return self.path / name

    def array(self, name: str, dtype: np.dtype[Any], length: int | None = None) -> NDArray[Any]:
        """The array of an .npy file: shape (length,); memory-mapped on disk. Raises `VerificationError` for another."""
        path = self.file(name)
        try:
            array = load_npy(path)
        except GptsDataError:
            raise
        except Exception as error:  # numpy has many for a damaged file: ValueError, EOFError, SyntaxError, ...
            raise VerificationError(f"{path}: cannot be read as an array: {error}") from error
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
            raise VerificationError(f"{path}: found another array, expected one dimension of {dtype}")
        if length is not None and len(array) != length:
            raise VerificationError(
                f"{path}: {len(array):,} rows, expected {length:,}; run gpts-data verify {self.path}"
            )
        return array

    def table(self, entry: FileEntry, columns: Sequence[str] | None = None) -> pa.Table:
        """A document table, or some columns of it. Raises `VerificationError` when it is not one."""
        path, rows = self.file(entry["file"]), entry["documents"]
        try:
            with open_arrow(path) as content, pq.ParquetFile(content) as parquet:
                if not parquet.schema_arrow.equals(DOCUMENTS) or parquet.metadata.num_rows != rows:
                    raise VerificationError(f"{path}: expected a table of {rows:,} documents; run gpts-data verify")
                table = parquet.read(columns)
        except GptsDataError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            raise VerificationError(f"{path}: cannot be read as a document table: {error}") from error
        if table.num_rows != rows or any(table[key].null_count for key in table.column_names if key != "url"):
            raise VerificationError(f"{path}: its documents lack values; run gpts-data verify {self.path}")
        return table

    @cached_property
    def shards(self) -> tuple[AnyPath, ...]:
        """The shard files, in training order."""
        return tuple(self.path / shard["file"] for shard in self.manifest["shards"])

    @cached_property
    def shard_starts(self) -> NDArray[np.int64]:
        """The position of each shard's first window in the training order, then `windows`: int64, (shards + 1,)."""
        return np.cumsum([0, *(shard["windows"] for shard in self.manifest["shards"])], dtype=np.int64)

    def locate(self, position: int) -> tuple[int, int]:
        """The shard that holds window `position` of the training order, and the window's row in it."""
        shard = int(np.searchsorted(self.shard_starts, position, side="right")) - 1
        return shard, position - int(self.shard_starts[shard])

    def shard(self, number: int) -> TokenIds:
        """The windows of one shard, memory-mapped or read whole from a store: of type `dtype`, (windows, window)."""
        return map_windows(self.file(self.manifest["shards"][number]["file"]), self.window, self.dtype)

    def row(self, shard: int, row: int) -> TokenIds:
        """One window of a shard; nothing else of the shard is read: of type `dtype`, shape (window,).

        Raises `VerificationError` for ids beyond the vocabulary.
        """
        path = self.file(self.manifest["shards"][shard]["file"])
        window: TokenIds = read_windows(path, self.window, row, row + 1, self.dtype)[0]
        if window.max() >= self.vocab_size:
            raise VerificationError(
                f"{path}: row {row:,} has the id {window.max():,}, expected ids below {self.vocab_size:,}; "
                f"run gpts-data verify {self.path}"
            )
        return window

    def validation(self, source: str) -> TokenIds:
        """The held-out windows of one source: of type `dtype`, shape (windows, window); there may be none."""
        return map_windows(self.file(f"validation/{source}.bin"), self.window, self.dtype)


def open_mix(path: str | AnyPath) -> Mix:
    """Open a finished mix in a folder, or at an address like s3://bucket/mix.

    Raises `UsageError` when there is none, `VerificationError` when its manifest is damaged.
    """
    return Mix(as_path(path), read_manifest(as_path(path)))
