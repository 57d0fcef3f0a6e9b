"""A tiny trained model and its export, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpts_data.mixer.format.mix import Mix


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Use one thread: with such small matrices, two threads took 78 s instead of 0.8 s on a busy machine (load 4)."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def run(mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose weights are far from the initial ones, so that attention is not uniform and logits differ clearly."""
    torch, safetensors = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    from gpts_data.validation.model.model import GPTSConfig
    from gpts_data.validation.training.lr_schedule import LearningRateSchedule
    from gpts_data.validation.training.smoke import smoke_train

    out = tmp_path_factory.mktemp("runs") / "run"
    config = GPTSConfig(width=32, layers=2, heads=4, kv_heads=2, head_dim=8, ffn=64)
    smoke_train(mix, out, LearningRateSchedule(steps=1, batch=2), device="cpu", config=config)
    weights = safetensors.load_file(out / "model.safetensors")
    torch.manual_seed(0)
    for weight in weights.values():
        torch.nn.init.normal_(weight, mean=1.0 if weight.dim() == 1 else 0.0, std=0.2)
    safetensors.save_file(weights, out / "model.safetensors")
    return out


@pytest.fixture(scope="session")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The export of `run`. transformers' copies of its code go into a temporary folder."""
    dynamic_module_utils = pytest.importorskip("transformers.dynamic_module_utils")
    from gpts_data.validation.model.export import export_model

    out = tmp_path_factory.mktemp("exports") / "gpt-s"
    export_model(run, out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))
        yield out


@pytest.fixture
def model(exported: Path) -> Any:
    """The exported model as `AutoModelForCausalLM` loads it, new for each test."""
    return load(exported)


def load(folder: Path, **options: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, **options)
