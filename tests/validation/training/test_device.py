"""FLOPs match the published count, MFU is given only where the peak is known, and the curves show the log."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

torch = pytest.importorskip("torch")

from gpts_data.validation.model.model import GPTSConfig  # noqa: E402
from gpts_data.validation.training.curves import MAX_POINTS, draw_curves  # noqa: E402
from gpts_data.validation.training.device import (  # noqa: E402
    DistributedContext,
    distributed_context,
    flops_per_token,
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
