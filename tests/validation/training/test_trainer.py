"""Micro-batches and processes do not change a run, and a killed run that is resumed ends like an uninterrupted one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

from gpts_data.mixer.format.mix import Mix  # noqa: E402
from gpts_data.mixer.format.training_order import TrainingOrder  # noqa: E402
from gpts_data.pipelines.errors import DataError, ForeignFolderError, UsageError  # noqa: E402
from gpts_data.validation.model.model import GPTS  # noqa: E402
from gpts_data.validation.training import trainer as module  # noqa: E402
from gpts_data.validation.training.batches import BatchReader  # noqa: E402
from gpts_data.validation.training.device import DistributedContext  # noqa: E402
from gpts_data.validation.training.lr_schedule import LearningRateSchedule, published_schedule  # noqa: E402
from gpts_data.validation.training.trainer import Trainer  # noqa: E402
from tests.support.runs import TINY, WINDOW, log, losses, run  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = DistributedContext(0, 1, torch.device("cpu"))
ROOT = Path(__file__).parents[3]
SCRIPT = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from gpts_data.mixer.format.mix import Mix
from tests.support.runs import run
folder, out, steps, micro = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
mix = Mix(folder, json.loads((folder / "manifest.json").read_text()))
result = run(mix, out, steps, micro_batch_tokens=32 * micro, checkpoint_seconds=0, validate_every=7)
print(f"processes {result.processes}\\n", end="")  # one write: two processes share the pipe
"""
FILES = ("model.safetensors", "config.json", "run.json", "curves.svg")


class Stopped(Exception):
    pass


def stop_after(step: int):  # type: ignore[no-untyped-def]
    """Stop as a kill between two steps would: the log line is written, the checkpoint is not."""

    def progress(line, *_: object) -> None:  # type: ignore[no-untyped-def]
        if line.step == step:
            raise Stopped

    return progress


def environment() -> dict[str, str]:
    paths = [str(ROOT), *(path for path in sys.path if path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def assert_same_run(first: Path, second: Path) -> None:
    assert log(first) == log(second)  # losses to the bit
    for name in FILES:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    results = [json.loads((run / "result.json").read_text(encoding="utf-8")) for run in (first, second)]
    assert all(result.pop("tokens_per_second") > 0 for result in results)
    assert results[0] == results[1]


@pytest.mark.parametrize(("stops", "seconds"), [((1, 2, 13, 29), 0), ((17,), 1e9)])
def test_a_stopped_run_that_is_resumed_is_the_same_run(
    patterned: Mix, tmp_path: Path, stops: tuple[int, ...], seconds: float
) -> None:
    """With a checkpoint after every step, and without any."""
    run(patterned, tmp_path / "whole", 30, validate_every=7)
    for stop in stops:
        with pytest.raises(Stopped):
            run(
                patterned,
                tmp_path / "parts",
                30,
                validate_every=7,
                checkpoint_seconds=seconds,
                progress=stop_after(stop),
            )
    folders = [path.name for path in (tmp_path / "parts").glob("checkpoints/*")]
    assert sorted(folders) == ([] if seconds else ["step-00000027", "step-00000028"])
    steps: list[int] = []
    run(patterned, tmp_path / "parts", 30, validate_every=7, progress=lambda line, *_: steps.append(line.step))
    assert steps[0] == (1 if seconds else 29)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert not (tmp_path / "parts/checkpoints").exists()


def test_a_killed_run_that_is_resumed_is_the_same_run(patterned: Mix, tmp_path: Path) -> None:
    run(patterned, tmp_path / "whole", 80, validate_every=7)
    out = tmp_path / "killed"
    command = [sys.executable, "-c", SCRIPT, str(patterned.path), str(out), "80", "8"]
    process = subprocess.Popen(command, env=environment(), cwd=tmp_path)
    while process.poll() is None and not ((out / "log.jsonl").exists() and len(log_lines(out)) > 20):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "result.json").exists()
    steps: list[int] = []
    run(patterned, out, 80, validate_every=7, progress=lambda line, *_: steps.append(line.step))
    assert steps[0] > 15
    assert_same_run(tmp_path / "whole", out)


def log_lines(out: Path) -> list[bytes]:
    return (out / "log.jsonl").read_bytes().splitlines()


def test_two_processes_train_as_one(patterned: Mix, tmp_path: Path) -> None:
    """Under torchrun with gloo; two micro-batches per process, so that gradients are exchanged with the last one."""
    run(patterned, tmp_path / "one", 20, validate_every=7)
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = [str(tmp_path / "script.py"), str(patterned.path), str(tmp_path / "two"), "20", "2"]
    done = subprocess.run(
        [*torchrun, *arguments],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["processes 2"] * 2
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
    assert json.loads((tmp_path / "two/result.json").read_text(encoding="utf-8"))["tokens"] == 20 * 8 * WINDOW


@pytest.mark.parametrize("tokens", [1, 3 * WINDOW + 5])
def test_micro_batches_add_up(patterned: Mix, tmp_path: Path, tokens: int) -> None:
    """Fewer tokens than a window make passes of one window; three windows do not divide a batch of 8."""
    run(patterned, tmp_path / "whole", 10)
    run(patterned, tmp_path / "parts", 10, micro_batch_tokens=tokens)
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), rel=1e-5)


def test_a_compiled_run_has_the_same_losses(patterned: Mix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: joined products, and a graph for each of two sizes of micro-batches (3, 3, 2 windows)."""
    run(patterned, tmp_path / "plain", 30)
    monkeypatch.setattr(module, "can_compile", lambda _: True)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    result = run(patterned, tmp_path / "compiled", 30, micro_batch_tokens=3 * WINDOW)
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), abs=1e-3)
    assert result.compile_seconds > 0


def test_validation_every_8_steps_and_after_the_last(patterned: Mix, tmp_path: Path) -> None:
    result = run(patterned, tmp_path / "run", 20, validate_every=8)
    bits = {
        line["step"]: line["validation_bits_per_byte"]
        for line in log(tmp_path / "run")
        if "validation_bits_per_byte" in line
    }
    assert list(bits) == [8, 16, 20]
    assert bits[20] == result.validation_bits_per_byte
    assert bits[8]["web"] > bits[20]["web"] and bits[8]["books"] is None
    run(patterned, tmp_path / "blind", 20)
    assert losses(tmp_path / "blind") == losses(tmp_path / "run")  # validation does not change the run


def test_a_finished_run_is_only_read(patterned: Mix, tmp_path: Path) -> None:
    first = run(patterned, tmp_path / "run", 5)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    assert run(patterned, tmp_path / "run", 5) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


def test_another_run_does_not_go_into_the_folder(patterned: Mix, tmp_path: Path) -> None:
    run(patterned, tmp_path / "run", 5)
    with pytest.raises(ForeignFolderError, match="another run: seed 0, not 1; choose another folder with --out"):
        run(patterned, tmp_path / "run", 5, seed=1)
    with pytest.raises(ForeignFolderError, match="another run: schedule .*'steps': 5.*, not .*'steps': 6"):
        run(patterned, tmp_path / "run", 6)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("a year of work", encoding="utf-8")
    with pytest.raises(ForeignFolderError, match="holds something else"):
        run(patterned, tmp_path / "mine", 5)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "place.json"])
def test_a_damaged_checkpoint(patterned: Mix, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The run continues from the checkpoint before it; with that one damaged too, it says what to do."""
    run(patterned, tmp_path / "whole", 12)
    with pytest.raises(Stopped):
        run(patterned, tmp_path / "run", 12, checkpoint_seconds=0, progress=stop_after(9))
    shutil.copytree(tmp_path / "run", tmp_path / "lost")
    for path in (tmp_path / "run/checkpoints/step-00000008" / name, *(tmp_path / "lost").rglob(name)):
        path.write_bytes(path.read_bytes()[:100] if name != "place.json" else b"{}")
    steps: list[int] = []
    run(patterned, tmp_path / "run", 12, progress=lambda line, *_: steps.append(line.step))
    assert steps[0] == 8 and "step-00000008 cannot be read" in caplog.text
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    with pytest.raises(DataError, match="to start again"):
        run(patterned, tmp_path / "lost", 12)


def test_a_damaged_log(patterned: Mix, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(patterned, tmp_path / "run", 30, checkpoint_seconds=0, progress=stop_after(9))
    path = tmp_path / "run/log.jsonl"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="to start again"):
        run(patterned, tmp_path / "run", 30)


def trainer(mix: Mix, context: DistributedContext = CPU, steps: int = 9, **options: int) -> Trainer:
    torch.manual_seed(0)
    model = GPTS(replace(TINY, vocab_size=32, context=mix.window))
    return Trainer(model, mix, LearningRateSchedule(steps, 8), context, **options)


@pytest.mark.parametrize(("tokens", "sizes"), [(3 * WINDOW, [3, 3, 2]), (100 * WINDOW, [8]), (1, [1] * 8)])
def test_passes_are_as_few_as_their_tokens_allow(
    patterned: Mix, monkeypatch: pytest.MonkeyPatch, tokens: int, sizes: list[int]
) -> None:
    found: list[int] = []
    loss = GPTS.loss
    monkeypatch.setattr(GPTS, "loss", lambda model, ids, *angles: found.append(len(ids)) or loss(model, ids))
    trainer(patterned, tokens_per_pass=tokens).update()
    assert found == sizes


def test_the_published_schedule(patterned: Mix) -> None:
    preset = Mix(Path("preset"), {"windows": 48_828_125, "recipe": {"window": 512}})
    assert published_schedule(preset) == LearningRateSchedule(95_367, 512, "1-sqrt")
    assert published_schedule(preset, 10, "linear") == LearningRateSchedule(10, 512, "linear")
    rates = LearningRateSchedule(95_367, 512)
    assert (rates.rate(0), rates.rate(1_499), rates.rate(66_756)) == (2.5e-3 / 1500, 2.5e-3, 2.5e-3)
    assert 0 < rates.rate(95_366) < 1e-7
    assert published_schedule(
        Mix(Path("other"), {"windows": 10_000, "recipe": {"window": 384}})
    ) == LearningRateSchedule(14, 682)
    with pytest.raises(UsageError, match="found 300 windows, expected at least 8,192"):
        published_schedule(patterned)


def test_an_update_takes_the_windows_of_its_step(patterned: Mix) -> None:
    """In step k, ranks 0 and 1 together read windows 8 k .. 8 k + 8, each once; also across shards and epochs."""
    windows = np.concatenate([patterned.shard(0), patterned.shard(1)])
    for rank in range(2):
        order, context = TrainingOrder(patterned), DistributedContext(rank, 2, torch.device("cpu"))
        batches = BatchReader(order, batch=8, steps=39, context=context)
        for step in (3, 4, 5, 24, 37, 38):  # not only in order: a run may resume at any step
            ids = batches.read(step)
            assert ids.dtype == torch.int64
            expected = windows[np.arange(8 * step + 4 * rank, 8 * step + 4 * rank + 4) % 300]
            assert np.array_equal(ids.numpy(), expected)


def test_ids_above_32767_stay_what_they_are(patterned: Mix, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.array([[0, 32_767, 32_768, 65_535]], dtype=np.uint16)
    monkeypatch.setattr(TrainingOrder, "read", lambda *_, **__: ids)
    assert BatchReader(TrainingOrder(patterned), 1, 1, CPU).read(0).tolist() == ids.tolist()


def test_a_batch_that_processes_cannot_share(patterned: Mix) -> None:
    with pytest.raises(UsageError, match="a batch of 8 windows for 3 processes"):
        trainer(patterned, DistributedContext(0, 3, torch.device("cpu")))
