"""The fastest kernel is chosen among those that work, and used."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.nn.attention import SDPBackend  # noqa: E402

from gpts_data.validation.model.model import GPTSConfig  # noqa: E402
from gpts_data.validation.training import attention  # noqa: E402
from tests.support.runs import TINY  # noqa: E402


def test_the_fastest_kernel_that_works_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {SDPBackend.FLASH_ATTENTION: 2.0, SDPBackend.MATH: 9.0}

    def measure(backend: Any, *_: object) -> float:
        if backend not in seconds:
            raise RuntimeError("No available kernel")
        return seconds[backend]

    monkeypatch.setattr(attention, "_measure", measure)
    gpu = torch.device("cuda", 0)
    assert attention.fastest_attention(GPTSConfig(), gpu) == SDPBackend.FLASH_ATTENTION
    seconds[SDPBackend.CUDNN_ATTENTION] = 1.0
    assert attention.fastest_attention(GPTSConfig(), gpu) == SDPBackend.CUDNN_ATTENTION
    seconds.clear()
    assert attention.fastest_attention(GPTSConfig(), gpu) is None  # torch's own choice
    assert attention.fastest_attention(GPTSConfig(), torch.device("cpu")) is None


def test_kernels_are_measured_with_the_shapes_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU: the plain kernel works there, cuDNN's does not."""
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(attention, "TOKENS", 1024)
    assert attention._measure(SDPBackend.MATH, TINY, torch.device("cpu")) > 0
    with pytest.raises(RuntimeError):
        attention._measure(SDPBackend.CUDNN_ATTENTION, TINY, torch.device("cpu"))


def test_the_kernel_is_used_within_the_block() -> None:
    query = torch.randn(1, 2, 8, 16)
    with attention.attention_kernel(SDPBackend.CUDNN_ATTENTION), pytest.raises(RuntimeError):
        torch.nn.functional.scaled_dot_product_attention(query, query, query, is_causal=True)
    with attention.attention_kernel(None):
        torch.nn.functional.scaled_dot_product_attention(query, query, query, is_causal=True)
