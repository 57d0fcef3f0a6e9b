"""An exported model has the logits and the loss of the trained one, and its cache does not change what it generates."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

from click.testing import CliRunner  # noqa: E402

from gpts_data.cli.main import cli  # noqa: E402
from gpts_data.mixer.format.mix import Mix  # noqa: E402
from gpts_data.pipelines.errors import DataError, ForeignFolderError, UsageError  # noqa: E402
from gpts_data.validation.model.export import export_model  # noqa: E402
from gpts_data.validation.model.model import GPTS, GPTSConfig  # noqa: E402
from tests.validation.model.conftest import load  # noqa: E402

GREEDY = {"max_new_tokens": 30, "do_sample": False, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0}
CARD = {
    "max_new_tokens": 30,
    "do_sample": True,
    "temperature": 0.8,
    "top_p": 0.95,
    "repetition_penalty": 1.1,
    "no_repeat_ngram_size": 4,
}


@pytest.fixture(scope="module")
def ours(run: Path) -> GPTS:
    model = GPTS(GPTSConfig(**json.loads((run / "config.json").read_text(encoding="utf-8"))))
    model.load_state_dict(safetensors.load_file(run / "model.safetensors"))
    return model


@pytest.fixture(scope="module")
def theirs(exported: Path) -> Any:
    return load(exported)


def random_ids(*shape: int) -> Any:
    return torch.randint(1, 400, shape, generator=torch.Generator().manual_seed(1))


def test_the_example_of_the_card_runs_offline_and_without_this_package(exported: Path, tmp_path: Path) -> None:
    """The example runs in a separate process, in the exported folder, without importing this package."""
    code = re.search(r"```python\n(.*?)```", (exported / "README.md").read_text(encoding="utf-8"), re.S)
    assert code is not None
    check = "import sys; assert not [name for name in sys.modules if name.startswith('gpts_data')]; print(model.dtype)"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", f"{code[1]}\n{check}"],
        cwd=exported,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The water cycle begins")
    assert done.stdout.endswith("torch.bfloat16\n")


@torch.no_grad()
def test_logits_and_loss_are_those_of_the_trained_model(ours: GPTS, theirs: Any) -> None:
    ids = random_ids(3, 64)
    out = theirs(ids, labels=ids)
    torch.testing.assert_close(out.logits, ours(ids), rtol=0, atol=1e-4)
    assert out.loss.item() == pytest.approx(ours.loss(ids).item(), rel=1e-6)
    assert torch.equal(theirs(ids, attention_mask=torch.ones_like(ids), use_cache=False).logits, out.logits)
    assert theirs(ids, return_dict=False)[0].shape == (3, 64, 400)
    assert sum(weight.numel() for weight in theirs.parameters()) == ours.parameter_count()


@torch.no_grad()
@pytest.mark.parametrize("pieces", [[1] * 20, [7, 1, 12], [19, 1]])
def test_logits_with_the_cache_are_those_without(theirs: Any, pieces: list[int]) -> None:
    ids, cache, logits = random_ids(2, 20), None, []
    for piece in ids.split(pieces, dim=1):
        out = theirs(piece, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        logits.append(out.logits)
    torch.testing.assert_close(torch.cat(logits, 1), theirs(ids, use_cache=False).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [GREEDY, CARD, {**GREEDY, "num_beams": 3}, {**GREEDY, "max_new_tokens": 90}])
def test_generation_with_the_cache_is_that_without(theirs: Any, options: dict[str, Any]) -> None:
    """The last case generates beyond the context of 64 tokens."""
    ids = random_ids(2, 9)
    generated = []
    for use_cache in (True, False):
        torch.manual_seed(5)
        mask = torch.ones_like(ids)
        generated.append(theirs.generate(ids, attention_mask=mask, use_cache=use_cache, **options))
    assert torch.equal(*generated)
    assert generated[0].shape[1] > 9


@torch.no_grad()
def test_padding_on_either_side_changes_nothing(theirs: Any) -> None:
    ids = random_ids(1, 10)
    alone = theirs(ids).logits
    for pad, own in (((4, 0), slice(4, None)), ((0, 4), slice(0, 10))):
        padded = torch.nn.functional.pad(ids, pad)
        mask = torch.nn.functional.pad(torch.ones_like(ids), pad)
        both = torch.cat((padded, random_ids(1, 14)))
        logits = theirs(both, attention_mask=torch.cat((mask, torch.ones(1, 14, dtype=torch.long)))).logits
        assert logits.isfinite().all()
        torch.testing.assert_close(logits[:1, own], alone, rtol=1e-4, atol=1e-5)
    padded = torch.nn.functional.pad(ids, (4, 0))
    mask = torch.nn.functional.pad(torch.ones_like(ids), (4, 0))
    generated = theirs.generate(padded, attention_mask=mask, **GREEDY)[:, 4:]
    assert torch.equal(generated, theirs.generate(ids, attention_mask=torch.ones_like(ids), **GREEDY))


@torch.no_grad()
def test_bfloat16_is_near(exported: Path, theirs: Any) -> None:
    half, ids = load(exported, dtype=torch.bfloat16), random_ids(2, 64)
    logits, expected = half(ids).logits, theirs(ids).logits
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - expected).abs().mean() < 0.03 * expected.std()  # bfloat16 keeps 8 bits


@torch.no_grad()
def test_saving_loading_and_creating_from_a_config(theirs: Any, tmp_path: Path) -> None:
    ids = random_ids(2, 64)
    theirs.save_pretrained(tmp_path / "again")
    assert torch.equal(load(tmp_path / "again")(ids).logits, theirs(ids).logits)
    assert {"modeling_gpts.py", "layers_gpts.py"} <= {path.name for path in (tmp_path / "again").iterdir()}
    fresh = transformers.AutoModelForCausalLM.from_config(theirs.config, trust_remote_code=True)
    assert fresh.model.norm.weight.eq(1).all()
    assert fresh.model.layers[0].mlp.down_proj.weight.std().item() == pytest.approx(0.02 / 4**0.5, rel=0.1)


def test_gradients_are_those_of_the_trained_model(ours: GPTS, theirs: Any) -> None:
    ids = random_ids(2, 64)
    theirs(ids, labels=ids).loss.backward()
    ours.loss(ids).backward()
    for name, parameter in ours.named_parameters():
        other = theirs.get_parameter(f"model.{name}")
        torch.testing.assert_close(other.grad, parameter.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_the_folder(run: Path, exported: Path, mix: Mix, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["export-model", str(run), "--out", str(tmp_path / "b"), "--json"])
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert report["mix_root_digest"] == mix.manifest["root_digest"]
    assert report["files"] == sorted(path.name for path in exported.iterdir())
    for path in exported.iterdir():
        assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes()
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert mix.manifest["root_digest"] in card and mix.manifest["tokenizer"]["digest"] in card
    assert all(f"| {name} (files)" in card for name in mix.sources)
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported, trust_remote_code=True)
    assert tokenizer.eos_token_id == mix.eos_id == load(exported).config.eos_token_id
    assert export_model(run, exported)["files"] == report["files"]  # replaces an earlier export


def test_what_cannot_be_exported(run: Path, mix: Mix, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"no result.json in this folder; expected a finished run, as written by gpts-data"
    ):
        export_model(mix.path, tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/diary.txt").write_text("dear diary", encoding="utf-8")
    with pytest.raises(ForeignFolderError, match="holds something else"):
        export_model(run, tmp_path / "mine")
    with pytest.raises(ForeignFolderError, match="found a file, expected a folder"):
        export_model(run, tmp_path / "mine/diary.txt")


@pytest.mark.parametrize("edit", [{"layers": 3}, {"width": 1 << 24}, {"depth": 1}, {"vocab_size": 401}])
def test_weights_that_do_not_fit(run: Path, tmp_path: Path, edit: dict[str, int]) -> None:
    import shutil

    shutil.copytree(run, tmp_path / "run")
    sizes = json.loads((run / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "run/config.json").write_text(json.dumps({**sizes, **edit}), encoding="utf-8")
    with pytest.raises(DataError, match="do not fit") as refused:
        export_model(tmp_path / "run", tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
