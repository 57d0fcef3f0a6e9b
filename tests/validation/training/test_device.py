"""FLOPs match the published count, MFU is given only where the peak is known, and the curves show the log."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

torch = pytest.importorskip("torch")

from gpts_data.validation.model.model import GPTSConfig  # noqa: E402
from gpts_data.validation.training.curves import MAX_POINTS, draw_curves  # noqa: E402
from gpts_data.validation.training.device import (  # noqa: E402
    DistributedContext,
    autocast,
    can_compile,
    compute_dtype,
    distributed_context,
    flops_per_token,
    micro_batch_tokens,
    model_flops_utilization,
)
from gpts_data.validation.training.log import Line  # noqa: E402

PARAMETERS = 5_158_464


def test_flops_of_the_published_model() -> None:
    assert flops_per_token(GPTSConfig(), PARAMETERS) == 6 * PARAMETERS + 12 * 9 * 192 * 256  # 36.3 million


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12), ("NVIDIA A100-SXM4-80GB", 312e12), ("GTX", None)],
)
def test_utilization(monkeypatch: pytest.MonkeyPatch, name: str, peak: float | None) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    context = DistributedContext(0, 4, torch.device("cuda", 0))
    utilization = model_flops_utilization(GPTSConfig(), PARAMETERS, 1e6, context)
    assert utilization == (None if peak is None else pytest.approx(36.26e12 / (4 * peak), rel=1e-3))
    assert model_flops_utilization(GPTSConfig(), PARAMETERS, 1e6, DistributedContext(0, 1, torch.device("cpu"))) is None


@pytest.mark.parametrize(
    ("capability", "dtype", "compiled"),
    [
        ((9, 0), torch.bfloat16, True),  # H100, H200
        ((8, 0), torch.bfloat16, True),  # A100
        ((7, 5), torch.float16, True),  # T4
        ((6, 0), torch.float16, False),  # P100
    ],
)
def test_number_format_and_compiler_follow_the_gpu(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: object, compiled: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    gpu, cpu = torch.device("cuda", 0), torch.device("cpu")
    assert (compute_dtype(gpu), can_compile(gpu)) == (dtype, compiled)
    assert (compute_dtype(cpu), can_compile(cpu)) == (torch.float32, False)
    with autocast(cpu):
        assert not torch.is_autocast_enabled("cpu")


def test_a_pass_fits_the_memory_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole batch of 262,144 tokens on an H200; no more than a T4 can hold without flash attention."""
    memory = {"free": 140e9, "capability": (9, 0)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: memory["capability"])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (memory["free"], 0))
    gpu = torch.device("cuda", 0)
    assert micro_batch_tokens(GPTSConfig(), gpu) > 262_144
    memory["free"] = 24e9
    assert 131_072 < micro_batch_tokens(GPTSConfig(), gpu) < 262_144
    memory.update(free=15e9, capability=(7, 5))
    assert 16_384 < micro_batch_tokens(GPTSConfig(), gpu) < 32_768
    assert micro_batch_tokens(GPTSConfig(), torch.device("cpu")) == 2048


def test_alone_without_torchrun() -> None:
    with distributed_context("cpu") as context:
        assert (context.rank, context.world, context.device.type) == (0, 1, "cpu")
        assert context.mean(torch.tensor(2.0)).item() == 2 and context.broadcast_from_rank0("x") == "x"


def test_the_curves_show_the_values_of_the_log() -> None:
    lines = [
        Line(
            i + 1,
            8 - i * 7919 % 97 / 50,
            2.5e-3,
            (i + 1) * 512,
            1.0,
            {"web": 2.5, "books": None} if i % 3000 == 0 else None,
        )
        for i in range(9001)
    ]
    drawn = draw_curves(lines, 6.9)
    assert drawn == draw_curves(lines, 6.9)
    picture = ElementTree.fromstring(drawn)
    text = "".join(picture.itertext())
    for label in ("loss, nats per token", "unigram entropy", "web", "learning rate", "tokens"):
        assert label in text
    assert "books" not in text  # no text held out
    longest = max((element.get("d") or "" for element in picture.iter() if element.tag.endswith("path")), key=len)
    assert 100 < longest.count("L") <= MAX_POINTS
    assert draw_curves(lines[:1], 6.9)
