"""A proxy run reads the ids of its pool as they are stored, also those that need 32 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gpts_data.validation.search.proxies import runs
from gpts_data.validation.search.proxies.model import proxy_config
from gpts_data.validation.search.proxies.pool import Pool


@pytest.mark.parametrize(("vocabulary", "dtype"), [(65_536, "<u2"), (70_016, "<u4")])
def test_ids_are_those_of_the_pool(
    vocabulary: int, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = np.arange(vocabulary - 128, vocabulary).astype(dtype).reshape(2, 64)
    pool = Pool(tmp_path, ("web",), 64, (128,), (2,), "")
    pool.file.write_bytes(windows.tobytes())
    monkeypatch.setattr(runs, "bytes_per_id", lambda *_: np.ones(vocabulary, np.int64))
    config = proxy_config(1, 32, vocabulary, 64)
    bench = runs._Bench(runs.ProxySetup(pool, tmp_path, (), tmp_path, 0, config, 128, "cpu", own_gpu=False))
    assert bench._batch(torch.tensor([1, 0])).tolist() == windows[::-1].tolist()
