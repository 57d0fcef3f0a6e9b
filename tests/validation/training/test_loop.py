"""A gradient that is not finite changes nothing: the run stops and continues, or goes on past the batch and says so."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

from gpts_data.mixer.format.mix import Mix  # noqa: E402
from gpts_data.pipelines.errors import GptsDataError  # noqa: E402
from gpts_data.validation.model.model import GPTS  # noqa: E402
from gpts_data.validation.training import device, loop, lr_schedule  # noqa: E402
from gpts_data.validation.training.log import read_log  # noqa: E402
from gpts_data.validation.training.loop import Loop  # noqa: E402
from gpts_data.validation.training.trainer import Trainer  # noqa: E402
from tests.support.runs import log, losses, run  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes one gradient element of the given steps NaN, or another value, as a fault of the hardware would."""

    gradients = Trainer._gradients

    def spoil(*steps: int, value: float = math.nan) -> None:
        def spoiled(trainer: Trainer) -> Any:
            loss = gradients(trainer)
            if trainer.step + 1 in steps:
                trainer.model.layers[1].mlp.up_proj.weight.grad[3, 5] = value
            return loss

        monkeypatch.setattr(Trainer, "_gradients", spoiled)

    return spoil


def all_finite(folder: Path) -> bool:
    return all(
        tensor.isfinite().all()
        for path in folder.rglob("*.safetensors")
        for tensor in safetensors.load_file(path).values()
    )


@pytest.mark.parametrize(("value", "late"), [(math.nan, False), (math.inf, True)])
def test_a_run_stops_at_a_gradient_that_is_not_finite_and_continues(
    patterned: Mix,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[..., None],
    value: float,
    late: bool,
) -> None:
    """Late: losses are read one step late, as on a GPU; there, without any checkpoint."""
    run(patterned, tmp_path / "whole", 10)
    if late:
        monkeypatch.setattr(Loop, "reads_late", property(lambda _: True))
    spoil(3, value=value)
    with pytest.raises(GptsDataError) as error:
        run(patterned, tmp_path / "run", 10, checkpoint_seconds=1e9 if late else 0)
    assert str(error.value).startswith("step 3 of 10: the gradient is not finite, the loss is 3.")
    assert "Run the same command again" in str(error.value) and "\n" not in str(error.value)
    assert error.value.exit_code == 1
    assert [line["step"] for line in log(tmp_path / "run")] == [1, 2]
    folders = sorted(path.name for path in (tmp_path / "run").glob("checkpoints/*"))
    assert folders == ([] if late else ["step-00000001", "step-00000002"])
    assert all_finite(tmp_path / "run")
    spoil()  # the fault is gone
    steps: list[int] = []
    run(patterned, tmp_path / "run", 10, progress=lambda line, *_: steps.append(line.step))
    assert steps == list(range(1 if late else 3, 11))
    assert log(tmp_path / "run") == log(tmp_path / "whole")
    assert (tmp_path / "run/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


def test_a_run_goes_on_past_the_batch(
    patterned: Mix, tmp_path: Path, spoil: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    spoil(1, 3)
    result = run(patterned, tmp_path / "run", 10, skip_nonfinite=True)
    assert [line.get("skipped") for line in log(tmp_path / "run")] == [True, None, True] + [None] * 7
    assert result.skipped_steps == 2 and result.last_loss < result.first_loss
    assert "step 3 of 10: the gradient is not finite, the loss is 3." in caplog.text
    assert "this batch is skipped" in caplog.text
    assert losses(tmp_path / "run")[0] == pytest.approx(losses(tmp_path / "run")[1], abs=0.2)
    assert all_finite(tmp_path / "run")


def test_a_step_that_is_not_finite_changes_nothing(patterned: Mix, spoil: Callable[..., None]) -> None:
    from tests.validation.training.test_trainer import trainer

    spoil(3)
    plain = trainer(patterned)
    for _ in range(2):
        assert plain.update().read()[1]
    state = {**plain.model.state_dict(), **{str(i): s for i, s in enumerate(moments(plain))}}
    before = {name: tensor.clone() for name, tensor in state.items()}
    assert not plain.update().read()[1]
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.items())
    assert plain.update().read()[1]
    assert not torch.equal(plain.model.norm.weight, before["norm.weight"])


def moments(trainer: Trainer) -> list[Any]:
    return [tensor for state in trainer.optimizer.state.values() for tensor in state.values()]


def test_a_loss_that_is_not_finite_is_not_in_the_log(
    patterned: Mix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, calls = GPTS.loss, []

    def sometimes_nan(model: GPTS, ids: Any, *_: Any) -> Any:
        calls.append(ids)
        return loss(model, ids) * (math.nan if len(calls) == 4 else 1)

    monkeypatch.setattr(GPTS, "loss", sometimes_nan)
    result = run(patterned, tmp_path / "run", 10, skip_nonfinite=True)
    lines = [
        json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "run/log.jsonl").open(encoding="utf-8")
    ]
    assert "loss" not in lines[3] and lines[3]["skipped"] and "loss" in lines[4]
    assert math.isnan(read_log(tmp_path / "run/log.jsonl", 10)[3].loss)
    assert math.isfinite(result.last_loss) and math.isfinite(result.first_loss)


def test_a_diverged_run_stops(
    patterned: Mix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[..., None]
) -> None:
    """Also with skip_nonfinite, when many steps in a row are skipped."""
    spoil(*range(5, 60))
    with pytest.raises(GptsDataError, match=f"step {4 + loop.MAX_SKIPPED} of 60: .* the training diverged"):
        run(patterned, tmp_path / "run", skip_nonfinite=True)
    assert not (tmp_path / "run/model.safetensors").exists()


def test_weights_that_are_not_finite_are_never_written(
    patterned: Mix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rate of infinity from step 3 on spoils the weights by an update whose gradient is finite."""
    rate = lr_schedule.wsd
    monkeypatch.setattr(lr_schedule, "wsd", lambda step, *a, **k: math.inf if step >= 2 else rate(step, *a, **k))
    with pytest.raises(GptsDataError, match=r"step 3: .* has values that are not finite, so nothing was written"):
        run(patterned, tmp_path / "run", 10, checkpoint_seconds=0)
    assert sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir()) == ["step-00000001", "step-00000002"]
    with pytest.raises(GptsDataError, match="step 3: .* so nothing was written"):
        run(patterned, tmp_path / "short", 3)
    assert all_finite(tmp_path)


def test_float16_lowers_its_scale_and_trains_like_float32(
    patterned: Mix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(patterned, tmp_path / "float32", 30)
    from gpts_data.validation.training import trainer as module

    for place in (device, module):
        monkeypatch.setattr(place, "compute_dtype", lambda _: torch.float16)
    scales: list[float] = []
    update = Trainer.update

    def watch(trainer: Trainer) -> Any:
        scales.append(trainer.scaler.get_scale())
        return update(trainer)

    monkeypatch.setattr(Trainer, "update", watch)
    with pytest.raises(KeyboardInterrupt):
        run(patterned, tmp_path / "float16", 30, checkpoint_seconds=0, progress=interrupt_at(20))
    run(patterned, tmp_path / "float16", 30)
    skipped = [line["step"] for line in log(tmp_path / "float16") if "skipped" in line]
    assert scales[0] == 2**16 and scales[-1] == 2 ** (16 - len(skipped))  # also after the restart
    assert losses(tmp_path / "float16")[-1] == pytest.approx(losses(tmp_path / "float32")[-1], abs=0.1)


def interrupt_at(step: int) -> Callable[..., None]:
    def progress(line: Any, *_: object) -> None:
        if line.step == step:
            raise KeyboardInterrupt

    return progress


def test_the_steady_rate_leaves_out_compilation(patterned: Mix) -> None:
    from tests.validation.training.test_trainer import trainer

    steps = Loop(trainer(patterned), loop.Duties())
    steps.seconds = [31.0, 1.0, 1.0, 7.0, 1.0]
    assert (steps.steady_seconds, steps.compile_seconds) == (1.0, 0.0)
    steps.trainer = SimpleNamespace(compiled=True)  # type: ignore[assignment]
    assert steps.compile_seconds == 30.0
    steps.seconds = [31.0]
    assert (steps.steady_seconds, steps.compile_seconds) == (31.0, 0.0)
