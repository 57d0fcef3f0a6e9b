"""The batch of each step, on the device of this process, with the next one read while this one is used."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from gpts_data.mixer.format.training_order import TrainingOrder
from gpts_data.tokenizer.artifact import TokenIds
from gpts_data.validation.training.device import DistributedContext


class BatchReader:
    """Reads this process's share of each step's windows.

    A thread reads the windows of the next step from the shards. They stay uint16 or uint32 until they are on the
    device, and lie in pinned memory so that the copy to a GPU does not wait for the work that runs there.
    """

    def __init__(self, order: TrainingOrder, batch: int, steps: int, context: DistributedContext) -> None:
        """`batch` is the number of windows per step over all processes."""
        self.windows = batch // context.world
        self._order, self._batch, self._steps, self._context = order, batch, steps, context
        self._thread = ThreadPoolExecutor(1, "gpts-data-batches")
        self._ahead: dict[int, Future[TokenIds]] = {}

    def read(self, step: int) -> Tensor:
        """Return the windows of `step`, counted from 0: int64, shape (windows, T). Raises `DataError`."""
        ahead = self._ahead.pop(step, None)
        windows = ahead.result() if ahead else self._read(step)
        self._ahead = {}
        if step + 1 < self._steps:
            self._ahead[step + 1] = self._thread.submit(self._read, step + 1)
        # torch has few operations on uint16: the same bits as int16, of which the sign is taken off after the copy.
        # An id of uint32 is below 2**31.
        ids = torch.from_numpy(windows.view(np.int16 if windows.itemsize == 2 else np.int32))
        if self._context.device.type == "cuda":
            ids = ids.pin_memory()
        ids = ids.to(self._context.device, non_blocking=True).long()
        return ids & 0xFFFF if windows.itemsize == 2 else ids

    def _read(self, step: int) -> TokenIds:
        first = step * self._batch + self._context.rank * self.windows
        return self._order.read(first, self.windows, dtype=self._order.mix.dtype)
