"""A mix for PyTorch's training loops: by position, as a rank's batches, and as a loader that can stop and go on.

    loader = Loader(open_mix("mix"), batch_size=64, rank=rank, ranks=world_size)
    for step, ids in zip(range(steps), loader):       # ids (64, 512) int64
        ...
        checkpoint["data"] = loader.state_dict()      # and after a restart: loader.load_state_dict(checkpoint["data"])

Step s takes the next batch_size * ranks windows of the training order, and rank r those at r, r + ranks, ... of them.
So a step over all ranks sees the windows that one rank alone would see with their batch sizes together, and the mix.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.training_order import TrainingOrder
from gpts_data.pipelines.errors import UsageError


class Windows(Dataset[Tensor]):
    """Map-style: window p of the training order, int64 of shape (window,), for samplers of one's own."""

    def __init__(self, mix: Mix) -> None:
        self._order = TrainingOrder(mix)

    def __len__(self) -> int:
        return self._order.mix.windows

    def __getitem__(self, position: int) -> Tensor:
        if not -len(self) <= position < len(self):
            raise IndexError(f"window {position}: the mix has windows 0 to {len(self) - 1}")
        return torch.from_numpy(self._order.read(position, 1)[0])


class Batches(IterableDataset[Tensor]):
    """A rank's batches for ever, int64 of shape (batch_size, window), from position `start` of the training order on.

    For `DataLoader(batches, batch_size=None, num_workers=W)`: worker w makes every W-th batch, and DataLoader takes
    them in turn, so the order does not depend on W. Behind the last window comes the first again. Raises `UsageError`.
    """

    def __init__(self, mix: Mix, batch_size: int, *, rank: int = 0, ranks: int = 1, start: int = 0) -> None:
        if batch_size < 1 or not 0 <= rank < ranks or start < 0:
            raise UsageError(
                f"batch_size = {batch_size}, rank = {rank} of {ranks}, start = {start}: expected a batch_size of at "
                "least 1, a rank from 0 to ranks - 1, a start of at least 0"
            )
        self._order = TrainingOrder(mix)
        self.batch_size, self.rank, self.ranks, self.start = batch_size, rank, ranks, start

    @property
    def stride(self) -> int:
        """Windows that a step takes over all ranks."""
        return self.batch_size * self.ranks

    def __iter__(self) -> Iterator[Tensor]:
        worker = get_worker_info()
        step, steps = (worker.id, worker.num_workers) if worker else (0, 1)
        while True:
            first = self.start + step * self.stride + self.rank
            yield torch.from_numpy(self._order.read(first, self.batch_size, self.ranks))
            step += steps


class Loader:
    """A rank's batches with a memory of how far they are. To iterate again is to go on; it never ends by itself.

    `ahead` batches are read, and pinned where there is a GPU, by a thread before they are asked for. The thread waits
    for a slow disk without the interpreter's lock; from memory, 0 is faster (benchmarks/README.md). Raises `UsageError`
    as `Batches` does.
    """

    def __init__(self, mix: Mix, batch_size: int, *, rank: int = 0, ranks: int = 1, ahead: int = 0) -> None:
        self.mix, self.batch_size, self.rank, self.ranks, self.ahead = mix, batch_size, rank, ranks, ahead
        self.position = 0
        """Windows taken by all ranks so far: where the next step begins. `position / mix.windows` are the epochs."""
        self._batches()

    def _batches(self) -> Batches:
        return Batches(self.mix, self.batch_size, rank=self.rank, ranks=self.ranks, start=self.position)

    def __iter__(self) -> Iterator[Tensor]:
        batches = self._batches()
        read = map(Tensor.pin_memory, batches) if torch.cuda.is_available() else iter(batches)
        for batch in _ahead(read, self.ahead) if self.ahead else read:
            self.position += batches.stride  # what was read ahead does not count
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where the next step begins: the same on every rank, and good for any number of ranks and batch size."""
        return {"position": self.position, "mix_root_digest": str(self.mix.manifest["root_digest"])}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at the very next window, with the next iteration. Raises `UsageError` for the state of another mix."""
        if state.get("mix_root_digest") != self.mix.manifest["root_digest"]:
            raise UsageError(
                f"the state is of mix {str(state.get('mix_root_digest'))[:16]}, expected {self.mix.path}, "
                f"{str(self.mix.manifest['root_digest'])[:16]}; resume with the mix that the run began with"
            )
        self.position = int(state["position"])


def _ahead(batches: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """The batches of an endless iterator, `count` of them read ahead by a thread."""
    with ThreadPoolExecutor(1, "loader") as thread:
        waiting = deque(thread.submit(next, batches) for _ in range(count))
        while True:
            batch = waiting.popleft().result()
            waiting.append(thread.submit(next, batches))
            yield batch


def document_numbers(ids: Tensor, eos_id: int) -> Tensor:
    """The number in its window of each id's document, 0, 1, ...: (B, T) int64 -> (B, T) int64.

    Attention stays inside documents where `n[:, :, None] == n[:, None, :]`, or by the same in flex_attention's mask.
    An end-of-text is its document's last id; what a window begins with is number 0, though it may be a later part.
    """
    behind = torch.zeros_like(ids)
    behind[:, 1:] = ids[:, :-1] == eos_id
    return behind.cumsum(1)


def document_starts(ids: Tensor, eos_id: int) -> Tensor:
    """Where documents begin in the flattened batch, and its end: (B, T) int64 -> (documents + 1,) int32.

    flash-attention's `cu_seqlens`. Every window begins one.
    """
    first = torch.ones_like(ids, dtype=torch.bool)
    first[:, 1:] = ids[:, :-1] == eos_id
    end = torch.tensor([ids.numel()], device=ids.device)
    return torch.cat((first.flatten().nonzero().flatten(), end)).to(torch.int32)
