"""The pool: the windows that all proxy runs read, and the held-out windows of each source, made from kept units.

    OUT/pool/windows.bin          ids [N][W] as in a shard: the first windows of each source's stream, by source
    OUT/pool/held-out/SOURCE.npy  ids (windows, W): held-out windows, evenly spaced over those of the source
    OUT/pool/pool.json            receipt, written last

A mix of T tokens reads the first p T tokens of a source's stream, or all of it several times. A run of t tokens reads
the first t/T of each stream, so it repeats a source as often as the mix would (arXiv 2606.07597). The pool holds the
part that the longest runs read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.kept_units import dedup_kept
from gpts_data.mixer.plan import Plan
from gpts_data.mixer.recipe import Recipe
from gpts_data.mixer.stages.dedup import DedupedUnit, surviving_tokens
from gpts_data.mixer.stages.unit_file import batch_ids, unit_batches
from gpts_data.pipelines.dedup.greedy import HELD_OUT, TRAIN
from gpts_data.pipelines.errors import ShortSourceError, UsageError
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.storage.atomic_files import ContentDigest, atomic_write, json_digest, write_npy
from gpts_data.pipelines.storage.checksums import Checksum, all_intact, checksum_so_far
from gpts_data.pipelines.storage.paths import AnyPath, load_npy, remove
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt
from gpts_data.tokenizer.artifact import Artifact, TokenIds, token_dtype

RECEIPT = "pool.json"


class PoolReceipt(TypedDict):
    """Receipt of a pool. Lists have one number per source, in recipe order."""

    key: str
    supply: list[int]
    """Training tokens of each source in the units."""
    windows: list[int]
    """Windows of each source in windows.bin."""
    file: Checksum
    """Checksum of windows.bin."""
    held_out: list[ContentDigest]


@dataclass(frozen=True)
class Pool:
    """A pool that was made."""

    folder: Path
    names: tuple[str, ...]
    window: int
    supply: tuple[int, ...]
    """Training tokens of each source."""
    windows: tuple[int, ...]
    """Windows of each source in the pool."""
    digest: str
    """Digest of its receipt: it changes with the content."""

    @property
    def file(self) -> Path:
        """File of the windows of all sources."""
        return self.folder / "windows.bin"

    @property
    def starts(self) -> tuple[int, ...]:
        """Row of the first window of each source."""
        return tuple(accumulate(self.windows, initial=0))[:-1]

    def held_out(self, source: str) -> TokenIds:
        """The held-out windows of a source: shape (windows, window); there may be none."""
        windows: TokenIds = np.array(load_npy(self.folder / "held-out" / f"{source}.npy"))
        return windows


def leading(supply: int, window: int, tokens: int, of_tokens: int) -> int:
    """The windows that a run of `tokens` may read of a source with `supply` tokens, for a mix of `of_tokens` tokens.

    It is the share tokens / of_tokens of the source's windows, rounded up; 0 only for a source without a window.
    """
    return -(-(supply // window) * tokens // of_tokens)


def open_pool(recipe: Recipe, folder: Path, key: str) -> Pool | None:
    """The pool that an earlier call has made in `folder`; None when there is none, or it was changed since."""
    receipt = read_receipt(folder / RECEIPT, key, PoolReceipt)
    if receipt is None:
        return None
    files: dict[AnyPath, Checksum | ContentDigest] = {folder / "windows.bin": receipt["file"]}
    for name, digest in zip(recipe.names, receipt["held_out"], strict=True):
        files[folder / "held-out" / f"{name}.npy"] = digest
    return _pool(receipt, recipe, folder) if all_intact("the pool of windows", files) else None


def make_pool(
    plan: Plan,
    tokenizer: Artifact,
    folder: Path,
    key: str,
    *,
    max_epochs: Sequence[int],
    longest: int,
    held_out: int,
    progress: Progress,
) -> Pool:
    """Make the pool in `folder`.

    plan: its `keep_units` is the folder of units; its own folder holds intermediate files and is removed.
    max_epochs: how often each source may be repeated. longest: tokens of the longest runs, at most those of the recipe.
    held_out: tokens to keep of each source's held-out text.

    Raises `UsageError` when there are no units for this recipe, `ShortSourceError` for fewer than its weights need.
    """
    (folder / RECEIPT).unlink(missing_ok=True)
    names, window, dtype = plan.recipe.names, plan.recipe.window, token_dtype(tokenizer.vocab_size)
    sources, deduped = dedup_kept(plan, tokenizer)
    remove(plan.folder)
    supply = [surviving_tokens(units) for units in deduped]
    _refuse_missing(plan, supply, tokenizer, max_epochs)
    windows = [leading(tokens, window, longest, plan.recipe.tokens) for tokens in supply]
    windows = [min(count, longest // window) for count in windows]
    with atomic_write(folder / "windows.bin") as file:
        for i, (name, units, count) in enumerate(zip(names, deduped, windows, strict=True)):
            _write_stream(file, units, count * window)
            progress("pool", "", i + 1, len(names), name)
        digest = checksum_so_far(file)
    digests = [
        write_npy(folder / "held-out" / f"{name}.npy", _held_out(units, window, held_out // window, dtype))
        for name, units in zip(names, deduped, strict=True)
    ]
    receipt = PoolReceipt(key=key, supply=supply, windows=windows, file=digest, held_out=digests)
    return _pool(write_receipt(folder / RECEIPT, receipt), plan.recipe, folder)


def spaced(count: int, most: int) -> NDArray[np.int64]:
    """Up to `most` of the numbers below `count`, evenly spaced: int64, ascending."""
    taken = min(count, most)
    return np.arange(taken) * count // max(taken, 1)


def _pool(receipt: PoolReceipt, recipe: Recipe, folder: Path) -> Pool:
    supply, windows = tuple(receipt["supply"]), tuple(receipt["windows"])
    return Pool(folder, recipe.names, recipe.window, supply, windows, json_digest(receipt))


def _refuse_missing(plan: Plan, supply: Sequence[int], tokenizer: Artifact, max_epochs: Sequence[int]) -> None:
    """Raise an error for sources of which the units hold too little for the recipe's own weights."""
    recipe = plan.recipe
    needed = [-(-windows * recipe.window // epochs) for windows, epochs in zip(recipe.windows, max_epochs, strict=True)]
    found = dict(zip(recipe.names, zip(supply, needed, strict=True), strict=True))
    if not any(tokens >= recipe.window for tokens in supply):
        raise UsageError(
            f"{plan.units} holds no units that were made with this recipe's files, columns and filters and the "
            f"tokenizer {tokenizer.digest[:16]}; make them: {build_command(recipe, plan.units)}"
        )
    short = {name: pair for name, pair in found.items() if pair[0] < max(pair[1], recipe.window)}
    if short:
        lines = "; ".join(f"{name}: {tokens:,} of {least:,}" for name, (tokens, least) in short.items())
        raise ShortSourceError(
            f"the units in {plan.units} have fewer tokens than the recipe's weights need even when they are repeated "
            f"({lines}); make more of them: {build_command(recipe, plan.units)}"
        )


def build_command(recipe: Recipe, units: AnyPath) -> str:
    """The command that makes the units."""
    return f"gpts-data build-mix --recipe RECIPE --tokens {recipe.tokens} --keep-units {units} --out MIX"


def _write_stream(file: IO[bytes], units: Sequence[DedupedUnit], tokens: int) -> None:
    """Write the first `tokens` ids of a source's training stream."""
    for unit in units:
        for ids in _ids(unit, TRAIN) if tokens > 0 else ():
            file.write(ids[:tokens].tobytes())
            tokens -= len(ids[:tokens])


def _held_out(units: Sequence[DedupedUnit], window: int, most: int, dtype: np.dtype[Any]) -> TokenIds:
    """Up to `most` whole windows of the held-out documents of a source: of type `dtype`, shape (windows, window)."""
    pieces = [ids for unit in units for ids in _ids(unit, HELD_OUT)]
    tokens = np.concatenate([np.empty(0, dtype), *pieces])
    windows = tokens[: len(tokens) // window * window].reshape(-1, window)
    return windows[spaced(len(windows), most)]


def _ids(unit: DedupedUnit, code: int) -> Iterator[TokenIds]:
    """The token ids of a unit's documents with the verdict `code`, batch by batch."""
    done = 0
    for batch in unit_batches(unit.path, ("tokens", "ids")):
        chosen = unit.codes[done : done + batch.num_rows] == code
        done += batch.num_rows
        if chosen.any():
            yield batch_ids(batch, chosen)
