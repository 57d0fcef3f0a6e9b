"""The proxy model: the shape of a run, and branches that leave no trace."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gpts_data.pipelines.errors import UsageError
from gpts_data.validation.model.model import GPTSConfig
from gpts_data.validation.search.proxies.model import Proxy, RunLength, describe_length, proxy_config, run_length
from gpts_data.validation.search.proxies.targets import Rows
from gpts_data.validation.training.lr_schedule import PEAK

CONFIG = proxy_config(1, 32, 50, 16)


@pytest.fixture(scope="module")
def proxy() -> Proxy:
    return Proxy(CONFIG, torch.device("cpu"))


def batch(seed: int, windows: int = 3) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(50, size=(windows, 16)))


def parameters(proxy: Proxy) -> bytes:
    return b"".join(parameter.detach().numpy().tobytes() for parameter in proxy.model.parameters())


def test_the_published_run_has_the_published_batch() -> None:
    assert run_length(128_000_000, 512) == RunLength(488, 512)
    assert run_length(512_000_000, 512, batch=512) == RunLength(1952, 512)
    assert run_length(1_000_000, 512) == RunLength(488, 4)
    assert run_length(300, 64) == RunLength(4, 1)
    assert describe_length(RunLength(488, 4), 512, 1_000_000) == (
        "488 steps of 2,048 tokens, 999,424 of the 1,000,000 asked for"
    )
    assert describe_length(RunLength(4, 1), 64, 256) == "4 steps of 64 tokens, 256"
    with pytest.raises(UsageError, match="expected at least 4"):
        run_length(255, 64)


def test_decays_end_at_a_quarter_half_and_all_of_the_steps() -> None:
    length = RunLength(400, 1)
    assert length.horizons == ((80, 100), (160, 200), (320, 400))
    assert length.trained_steps == 320 + 20 + 40 + 80
    assert length.rate(0, 100) == length.rate(0, 400) == PEAK / 20
    assert length.rate(90, 400) == length.rate(80, 100) == PEAK
    assert 0 < length.rate(99, 100) < length.rate(90, 100) < PEAK


def test_the_default_sizes_are_those_of_gpt_s() -> None:
    assert proxy_config(9, 192, 4096, 512) == GPTSConfig()
    with pytest.raises(UsageError, match="--width 100: expected a multiple of 32"):
        proxy_config(1, 100, 50, 16)


def test_a_branch_leaves_parameters_and_optimizer_as_they_were(proxy: Proxy) -> None:
    def train(branch: bool) -> bytes:
        proxy.reset(1)
        for step in range(6):
            if branch and step in (0, 3):
                with proxy.branch():
                    proxy.step(batch(99), 1e-3)
            proxy.step(batch(step), 1e-2)
        return parameters(proxy)

    assert train(branch=True) == train(branch=False)


def test_the_seed_alone_decides_how_a_run_begins(proxy: Proxy) -> None:
    proxy.reset(5)
    first = parameters(proxy)
    proxy.step(batch(0), 1e-2)
    proxy.reset(6)
    assert parameters(proxy) != first
    proxy.reset(5)
    assert parameters(proxy) == first


def test_bits_per_byte_are_of_the_counted_ids(proxy: Proxy) -> None:
    ids = batch(3, windows=5).numpy().astype(np.uint16)
    counted = np.random.default_rng(0).random(ids.shape) < 0.5
    counted[:, 0] = False
    id_bytes = np.arange(50) % 4
    logits = proxy.model(torch.from_numpy(ids.astype(np.int64))).detach()
    nats = sum(
        float(-F.log_softmax(logits[row, place - 1], dim=-1)[int(ids[row, place])])
        for row, place in zip(*np.nonzero(counted), strict=True)
    )
    expected = nats / math.log(2) / id_bytes[ids][counted].sum()
    assert proxy.bits_per_byte(Rows(ids, counted), id_bytes) == pytest.approx(expected, rel=1e-5)
