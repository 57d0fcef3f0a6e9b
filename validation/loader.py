"""A mix for PyTorch training loops: by position, as the batches of a rank, and as a loader that can be resumed.

    loader = Loader(open_mix("mix"), batch_size=64, rank=rank, ranks=world_size)
    for step, ids in zip(range(steps), loader):       # ids (64, 512) int64
        ...
        checkpoint["data"] = loader.state_dict()      # and after a restart: loader.load_state_dict(checkpoint["data"])

Each step takes the next batch_size * ranks windows of the training order. Of these, rank r gets the windows at r,
r + ranks, r + 2 * ranks, and so on. So all ranks together see the same windows as one rank with a batch `ranks` times
as large, and the mixture does not depend on the number of ranks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.training_order import TrainingOrder
from gpts_data.pipelines.errors import UsageError

Ids = TypeVar("Ids", Tensor, NDArray[Any])
IGNORED = -100  # a label without loss, in torch's cross_entropy and in transformers


class Windows(Dataset[Tensor]):
    """Map-style dataset, for your own samplers: item p is window p of the training order, int64, shape (window,)."""

    def __init__(self, mix: Mix, *, verify: bool = False) -> None:
        self._order = TrainingOrder(mix, verify=verify)

    def __len__(self) -> int:
        return self._order.mix.windows

    def __getitem__(self, position: int) -> Tensor:
        if not -len(self) <= position < len(self):
            raise IndexError(f"window {position}: the mix has windows 0 to {len(self) - 1}")
        return torch.from_numpy(self._order.read(position, 1)[0])


class Batches(IterableDataset[Tensor]):
    """An endless stream of a rank's batches: int64, shape (batch_size, window), from window `start` of the training
    order.

    For `DataLoader(batches, batch_size=None, num_workers=W)`: each worker makes every W-th batch and DataLoader takes
    them in turn, so the order does not depend on W. After the last window the first follows again. Raises `UsageError`
    for arguments out of range.
    """

    def __init__(
        self, mix: Mix, batch_size: int, *, rank: int = 0, ranks: int = 1, start: int = 0, verify: bool = False
    ) -> None:
        if batch_size < 1 or not 0 <= rank < ranks or start < 0:
            raise UsageError(
                f"batch_size = {batch_size}, rank = {rank} of {ranks}, start = {start}: expected a batch_size of at "
                "least 1, a rank from 0 to ranks - 1, a start of at least 0"
            )
        self._order = TrainingOrder(mix, verify=verify)
        self.batch_size, self.rank, self.ranks, self.start = batch_size, rank, ranks, start

    @property
    def stride(self) -> int:
        """Windows that all ranks together take in a step."""
        return self.batch_size * self.ranks

    def __iter__(self) -> Iterator[Tensor]:
        worker = get_worker_info()
        step, steps = (worker.id, worker.num_workers) if worker else (0, 1)
        while True:
            first = self.start + step * self.stride + self.rank
            yield torch.from_numpy(self._order.read(first, self.batch_size, self.ranks))
            step += steps


class TrainingWindows(IterableDataset[dict[str, Tensor]]):
    """One epoch of the training order, window by window, as `transformers.Trainer` and other trainers take it.

    An item has `input_ids` and `labels`, both int64, shape (window,). Labels of padding, which windows of best-fit
    packing have, are -100. With `position_ids` it also has those, which
    begin at 0 again at each document: `transformers` then keeps attention inside documents. For `DataLoader(windows,
    batch_size=B, num_workers=W)`: worker w yields every W-th window, so no window comes twice. Each rank has the same
    number of windows; the last `mix.windows % ranks` are left out. Raises `UsageError` for a rank out of range.
    """

    def __init__(
        self, mix: Mix, *, rank: int = 0, ranks: int = 1, position_ids: bool = False, verify: bool = False
    ) -> None:
        if not 0 <= rank < ranks:
            raise UsageError(f"rank = {rank} of {ranks}: expected a rank from 0 to ranks - 1")
        self._order = TrainingOrder(mix, verify=verify)
        self.rank, self.ranks, self.position_ids = rank, ranks, position_ids

    def __len__(self) -> int:
        return self._order.mix.windows // self.ranks

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for number in range(first, len(self), step):
            ids = torch.from_numpy(self._order.read(number * self.ranks + self.rank, 1))
            labels = (
                ids.masked_fill(padding(ids, self._order.mix.eos_id), IGNORED) if self._order.mix.is_packed else ids
            )
            item = {"input_ids": ids[0], "labels": labels[0].clone()}
            if self.position_ids:
                item["position_ids"] = document_positions(ids, self._order.mix.eos_id)[0]
            yield item


class Loader(IterableDataset[Tensor]):
    """A rank's batches, resumable: it keeps its position, so iterating again continues. The iteration is endless.

    It also works in `DataLoader(loader, batch_size=None)`. With `num_workers`, each worker has a copy of the loader,
    whose position this one does not see: set `position` to `steps * batch_size * ranks` yourself before you save it.

    A thread reads `ahead` batches in advance, and pins their memory where there is a GPU. That helps with a slow disk,
    because the thread waits for it without holding the GIL; for a mix in the page cache 0 is faster
    (benchmarks/README.md). With `verify`, the sha256 of each shard is compared with the manifest when it is first read:
    `VerificationError` for a shard that was changed. Raises `UsageError` as `Batches` does.
    """

    def __init__(
        self, mix: Mix, batch_size: int, *, rank: int = 0, ranks: int = 1, ahead: int = 0, verify: bool = False
    ) -> None:
        self.mix, self.batch_size, self.rank, self.ranks, self.ahead = mix, batch_size, rank, ranks, ahead
        self.verify = verify
        self.position = 0
        """Windows that all ranks have taken so far, so where the next step begins; `position / mix.windows` epochs."""
        self._batches()

    @property
    def stage(self) -> int:
        """The number of the stage of the recipe that the next step begins in, from 0; always 0 without stages."""
        return self.mix.stage_at(self.position)

    def _batches(self) -> Batches:
        where = {"rank": self.rank, "ranks": self.ranks, "start": self.position}
        return Batches(self.mix, self.batch_size, **where, verify=self.verify)

    def __iter__(self) -> Iterator[Tensor]:
        batches = self._batches()
        can_pin = torch.cuda.is_available() and get_worker_info() is None  # a worker process has no GPU context
        stream = map(Tensor.pin_memory, batches) if can_pin else iter(batches)
        for batch in _read_ahead(stream, self.ahead) if self.ahead else stream:
            self.position += batches.stride  # batches that were read in advance do not count yet
            yield batch

    def with_document_starts(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The same batches, each with its `document_starts`, the `cu_seqlens` of flash-attention."""
        for ids in self:
            yield ids, document_starts(ids, self.mix.eos_id)

    def state_dict(self) -> dict[str, Any]:
        """Where the next step begins. It is the same on every rank; ranks and batch size may change on resuming."""
        return {"position": self.position, "mix_root_digest": str(self.mix.manifest["root_digest"])}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue with the next window, from the next iteration on. Raises `UsageError` for the state of another
        mix."""
        if state.get("mix_root_digest") != self.mix.manifest["root_digest"]:
            raise UsageError(
                f"the state is of mix {str(state.get('mix_root_digest'))[:16]}, expected "
                f"{str(self.mix.manifest['root_digest'])[:16]} ({self.mix.path}); resume with the mix that the run "
                "began with"
            )
        self.position = int(state["position"])


def _read_ahead(batches: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """The batches of an endless iterator; a thread reads `count` of them in advance."""
    with ThreadPoolExecutor(1, "loader") as thread:
        waiting = deque(thread.submit(next, batches) for _ in range(count))
        while True:
            batch = waiting.popleft().result()
            waiting.append(thread.submit(next, batches))
            yield batch


def padding(ids: Ids, eos_id: int) -> Ids:
    """Whether each id is padding of best-fit packing, end-of-text behind end-of-text.

    ids: integers of one or more windows, shape (T,) or (..., T), as a tensor or a numpy array. Returns bool of the same
    shape and kind. A loss that leaves these targets out:
    `cross_entropy(logits, targets.masked_fill(padding(...), -100))`.
    """
    is_eos = ids == eos_id
    is_padding: Ids = is_eos & False
    is_padding[..., 1:] = is_eos[..., 1:] & is_eos[..., :-1]
    return is_padding


def document_numbers(ids: Tensor, eos_id: int) -> Tensor:
    """The number, within its window, of the document that each id belongs to: (B, T) int64 -> (B, T) int64.

    The mask `n[:, :, None] == n[:, None, :]` keeps attention inside documents, as does the same condition in
    flex_attention's mask_mod. End-of-text belongs to the document it ends. The first document of a window has number 0,
    even if it began in an earlier window.
    """
    after_eos = torch.zeros_like(ids)
    after_eos[:, 1:] = ids[:, :-1] == eos_id
    return after_eos.cumsum(1)


def document_starts(ids: Tensor, eos_id: int) -> Tensor:
    """Offsets of the documents in the flattened batch, then its length: (B, T) int64 -> (documents + 1,) int32.

    These are the `cu_seqlens` of flash-attention. A document that continues in another window counts as another one.
    """
    is_first = torch.ones_like(ids, dtype=torch.bool)
    is_first[:, 1:] = ids[:, :-1] == eos_id
    end = torch.tensor([ids.numel()], device=ids.device)
    return torch.cat((is_first.flatten().nonzero().flatten(), end)).to(torch.int32)


def document_positions(ids: Tensor, eos_id: int) -> Tensor:
    """The position of each id in its document, counted from the window's part of it: (B, T) int64 -> (B, T) int64.

    These are the `position_ids` by which `transformers` tells packed documents apart.
    """
    offsets = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    starts = torch.zeros_like(ids)
    starts[:, 1:] = torch.where(ids[:, :-1] == eos_id, offsets[:, 1:], 0)
    return offsets - starts.cummax(1).values
