"""A short run learns a pattern, is reproduced by its seed, and writes what an export needs."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

from gpts_data.mixer.format.mix import Mix  # noqa: E402
from gpts_data.pipelines.errors import ForeignFolderError, UsageError  # noqa: E402
from gpts_data.tokenizer.byte_lengths import bytes_per_id  # noqa: E402
from gpts_data.tokenizer.encode import Encoder  # noqa: E402
from gpts_data.validation.model.model import GPTS, GPTSConfig  # noqa: E402
from gpts_data.validation.training import trainer  # noqa: E402
from gpts_data.validation.training.metrics import bits_per_byte  # noqa: E402
from tests.support.runs import LENGTHS, TINY, WINDOW, log, losses, run  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def test_learns_a_pattern(patterned: Mix, tmp_path: Path) -> None:
    result = run(patterned, tmp_path / "run", steps=150)
    assert result.unigram_entropy == pytest.approx(math.log(32), abs=0.01)
    assert result.first_loss == pytest.approx(math.log(32), abs=0.3)
    assert result.learned and result.last_loss < 1
    bits = result.validation_bits_per_byte
    assert bits["books"] is None and bits["web"] is not None
    # A window of all 32 ids is 37 bytes of text, and every target costs about the training loss.
    assert bits["web"] == pytest.approx(result.last_loss / math.log(2) * 32 / sum(LENGTHS), rel=0.3)


def test_has_not_learned_after_one_step(patterned: Mix, tmp_path: Path) -> None:
    result = run(patterned, tmp_path / "run", steps=1)
    assert not replace(result, unigram_entropy=result.last_loss).learned
    assert result.first_loss == result.last_loss


def test_result_and_progress_of_a_run(patterned: Mix, tmp_path: Path) -> None:
    calls: list[tuple[Any, int, float | None]] = []
    result = run(patterned, tmp_path / "run", progress=lambda *call: calls.append(call))
    assert (result.steps, result.tokens, result.device) == (60, 60 * 8 * WINDOW, "cpu")
    assert result.epochs == 60 * 8 / 300  # more windows than the mix has, so they were repeated
    assert result.mix_root_digest == "d" * 64
    lines = losses(tmp_path / "run")
    assert result.first_loss == lines[0]
    assert result.last_loss == pytest.approx(sum(lines[54:]) / 6)
    assert [(line.step, total, line.loss) for line, total, _ in calls] == [(i + 1, 60, x) for i, x in enumerate(lines)]
    assert all(mfu is None for _, _, mfu in calls) and result.mfu is None  # the peak of a CPU is not known
    speeds = [line.tokens_per_second for line, _, _ in calls[1:]]
    assert result.tokens_per_second == pytest.approx(statistics.median(speeds), rel=0.01)
    assert (result.compile_seconds, result.skipped_steps) == (0, 0)


def test_one_seed_gives_one_run(patterned: Mix, tmp_path: Path) -> None:
    state = torch.get_rng_state()
    first, second = (run(patterned, tmp_path / name, seed=3) for name in ("a", "b"))
    assert torch.equal(torch.get_rng_state(), state)
    assert replace(first, tokens_per_second=0) == replace(second, tokens_per_second=0)
    assert log(tmp_path / "a") == log(tmp_path / "b")
    for name in ("model.safetensors", "curves.svg", "config.json", "run.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    run(patterned, tmp_path / "c", seed=4)
    assert losses(tmp_path / "a") != losses(tmp_path / "c")


def test_matrices_decay_and_norms_do_not() -> None:
    model = GPTS(TINY)
    decay = {id(p): group["weight_decay"] for group in trainer.adamw(model).param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert decay.pop(id(parameter)) == (0.0 if "norm" in name else 0.01)
    assert not decay


def test_losses_are_those_of_the_recipe_written_out(patterned: Mix, tmp_path: Path) -> None:
    run(patterned, tmp_path / "run", steps=20)
    torch.manual_seed(0)
    model = GPTS(replace(TINY, vocab_size=32, context=WINDOW))
    matrices = [p for p in model.parameters() if p.dim() == 2]
    norms = [p for p in model.parameters() if p.dim() == 1]
    optimizers = [
        torch.optim.AdamW(group, betas=(0.9, 0.95), weight_decay=decay, foreach=False, fused=False)
        for group, decay in ((matrices, 0.01), (norms, 0.0))
    ]
    windows = np.concatenate([patterned.shard(0), patterned.shard(1)]).astype(np.int64)
    expected, clipped = [], 0
    for step in range(20):
        for p in model.parameters():
            p.grad = None
        loss = model.loss(torch.from_numpy(windows[step * 8 : step * 8 + 8]))
        loss.backward()
        expected.append(loss.item())
        length = math.sqrt(sum(p.grad.square().sum().item() for p in model.parameters()))
        clipped += length > 1
        for p in model.parameters():
            p.grad /= max(length, 1.0)
        for optimizer in optimizers:
            rise, fall = (
                (step + 1) / 2,
                1 - math.sqrt(max(step - 14, 0) / 6),
            )  # warm-up over 2 steps, decay from step 14 of 20
            optimizer.param_groups[0]["lr"] = 2.5e-3 * min(rise, 1, fall)
            optimizer.step()
    assert clipped
    assert losses(tmp_path / "run") == pytest.approx(expected, rel=1e-5)


def test_files(patterned: Mix, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run(patterned, out)
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json",
        "curves.svg",
        "log.jsonl",
        "mix.json",
        "model.safetensors",
        "result.json",
        "run.json",
        "tokenizer",
    ]
    assert json.loads((out / "mix.json").read_text(encoding="utf-8")) == patterned.manifest
    for path in patterned.tokenizer.iterdir():
        assert (out / "tokenizer" / path.name).read_bytes() == path.read_bytes()
    assert json.loads((out / "result.json").read_text(encoding="utf-8")) == asdict(result)
    first, *_, last = log(out)
    assert first == {"step": 1, "loss": result.first_loss, "lr": pytest.approx(2.5e-3 / 6), "tokens": 8 * WINDOW}
    assert (last["tokens"], last["validation_bits_per_byte"]) == (result.tokens, result.validation_bits_per_byte)
    config = GPTSConfig(**json.loads((out / "config.json").read_text(encoding="utf-8")))
    assert config == replace(TINY, vocab_size=32, context=WINDOW)
    model = GPTS(config)
    model.load_state_dict(safetensors.load_file(out / "model.safetensors"))
    assert model.parameter_count() == result.parameters
    bits = bits_per_byte(
        model, patterned, "web", bytes_per_id(patterned.tokenizer, patterned.vocab_size, patterned.eos_id), 8
    )
    assert bits == pytest.approx(result.validation_bits_per_byte["web"])


def test_bits_per_byte_from_its_definition(patterned: Mix) -> None:
    torch.manual_seed(0)
    model = GPTS(replace(TINY, vocab_size=32, context=WINDOW))
    ids = torch.from_numpy(patterned.validation("web").astype(np.int64))
    with torch.no_grad():
        shares = model(ids).log_softmax(-1)
    nats, n_bytes = 0.0, 0
    for b in range(7):
        for t in range(WINDOW - 1):
            nats -= shares[b, t, ids[b, t + 1]].item()
            n_bytes += LENGTHS[ids[b, t + 1]]
    lengths = bytes_per_id(patterned.tokenizer, patterned.vocab_size, patterned.eos_id)
    for batch_size in (1, 4, 7):
        assert bits_per_byte(model, patterned, "web", lengths, batch_size) == pytest.approx(
            nats / math.log(2) / n_bytes, rel=1e-5
        )
    assert bits_per_byte(model, patterned, "books", lengths, 4) is None
    assert bits_per_byte(model, patterned, "web", np.zeros_like(lengths), 4) is None  # nothing but end-of-text


def test_bytes_of_an_id(patterned: Mix) -> None:
    assert bytes_per_id(patterned.tokenizer, patterned.vocab_size, patterned.eos_id).tolist() == LENGTHS


def test_bytes_of_ids_are_the_bytes_of_the_text(mix: Mix) -> None:
    texts = ["Plain words, 12 of them.\n", "naïve café – 東京 🙂\t\x00", "<|endoftext|> as text", ""]
    ids, lengths = Encoder(mix.tokenizer).encode(texts)
    found = np.add.reduceat(bytes_per_id(mix.tokenizer, mix.vocab_size, mix.eos_id)[ids], np.cumsum([0, *lengths[:-1]]))
    assert found.tolist() == [len(text.encode()) for text in texts]


def test_a_built_mix_trains(mix: Mix, tmp_path: Path) -> None:
    result = run(mix, tmp_path / "run", steps=3, batch=2)
    assert set(result.validation_bits_per_byte) == set(mix.sources)
    assert result.mix_root_digest == mix.manifest["root_digest"]


def test_a_vocabulary_that_is_not_byte_level(patterned: Mix) -> None:
    path = patterned.tokenizer / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace(json.dumps("Ġa"), json.dumps("▁a")), encoding="utf-8")
    with pytest.raises(UsageError, match="'▁a' is not byte-level"):
        bytes_per_id(patterned.tokenizer, patterned.vocab_size, patterned.eos_id)


@pytest.mark.parametrize("options", [{"steps": 0}, {"steps": -1}, {"batch": 0}])
def test_no_steps_or_no_batch(patterned: Mix, tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="expected at least 1"):
        run(patterned, tmp_path / "run", **options)


def test_a_mix_without_windows(patterned: Mix, tmp_path: Path) -> None:
    empty = Mix(patterned.path, {**patterned.manifest, "windows": 0, "shards": []})
    with pytest.raises(UsageError, match="no windows"):
        run(empty, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_go_into_the_mix(patterned: Mix, tmp_path: Path) -> None:
    for out in (patterned.path, patterned.path / "run"):
        with pytest.raises(ForeignFolderError, match="inside the mix"):
            run(patterned, out)
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(ForeignFolderError, match="expected a folder"):
        run(patterned, tmp_path / "file")
