"""A malicious tokenizer ends its worker process, and the command fails with a message."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from gpts_data.pipelines.errors import UsageError
from gpts_data.tokenizer import artifact, untrusted
from gpts_data.tokenizer.artifact import Artifact, load
from gpts_data.tokenizer.bpe import train_bpe
from gpts_data.tokenizer.untrusted import MAX_BYTES, check_untrusted
from tests.conftest import prose

MEMORY = 400_000_000  # bytes: enough to load a small tokenizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    rng = random.Random(6)
    texts = [prose(rng, 40) for _ in range(60)]
    return artifact.save(train_bpe(iter([texts]), 350).to_str(), tmp_path_factory.mktemp("tokenizer"), 64)


def copy(saved: Artifact, folder: Path, **model: Any) -> Path:
    shutil.copytree(saved.folder, folder)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_bytes())
    content["model"].update(model)
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_a_valid_tokenizer_gives_the_artifact_of_load(saved: Artifact) -> None:
    assert check_untrusted(saved.folder) == load(saved.folder)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the limit")
def test_memory_is_limited(saved: Artifact, tmp_path: Path) -> None:
    bomb = copy(saved, tmp_path / "bomb", vocab={"VOCABULARY": 0})
    path = bomb / "tokenizer.json"
    entries = ", ".join(f'"{number}": {number}' for number in range(2_000_000))  # 38 MB of text, 500 MB of objects
    path.write_text(path.read_text(encoding="utf-8").replace('"VOCABULARY": 0', entries), encoding="utf-8")
    with pytest.raises(UsageError, match=r"bomb: loading the tokenizer ended the process.*0\.4 GB.*train-tokenizer"):
        check_untrusted(bomb, memory=MEMORY)


def test_what_is_not_read_takes_no_memory(saved: Artifact, tmp_path: Path) -> None:
    padded = copy(saved, tmp_path / "padded")
    path = padded / "tokenizer.json"
    path.write_text(
        path.read_text(encoding="utf-8")[:-1] + ', "junk": [' + "{}," * 7_000_000 + "{}]}", encoding="utf-8"
    )
    assert load(padded).vocab_size == 350


def test_a_crash_is_reported(saved: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted, "_WORKER_CODE", "import os; os.abort()")
    with pytest.raises(UsageError, match=r"loading the tokenizer ended the process.*killed by signal 6"):
        check_untrusted(saved.folder)


def test_deep_nesting_is_refused(saved: Artifact, tmp_path: Path) -> None:
    deep = copy(saved, tmp_path / "deep")
    path = deep / "tokenizer.json"
    path.write_text(
        path.read_text(encoding="utf-8")[:-1] + ', "junk": ' + "[" * 200_000 + "]" * 200_000 + "}", encoding="utf-8"
    )
    with pytest.raises(UsageError, match=r"deep/tokenizer\.json: not a BPE tokenizer\.json.*recursion"):
        check_untrusted(deep)


def test_time_is_limited(saved: Artifact) -> None:
    with pytest.raises(UsageError, match=r"not loaded in 0\.01 seconds.*train-tokenizer"):
        check_untrusted(saved.folder, seconds=0.01)


@pytest.mark.parametrize("name", ["tokenizer.json", "vocabulary.txt"])
def test_size_is_limited(saved: Artifact, tmp_path: Path, name: str) -> None:
    folder = copy(saved, tmp_path / "large")
    with (folder / name).open("r+b") as file:
        file.truncate(MAX_BYTES + 1)  # a hole: takes no disk
    with pytest.raises(UsageError, match=rf"{name}: 67,108,865 bytes, expected at most 67,108,864"):
        check_untrusted(folder)


def test_errors_of_load_are_passed_on(saved: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        check_untrusted(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"found 2 ids up to 3, expected 0"):
        check_untrusted(copy(saved, tmp_path / "other", vocab={"a": 3}, merges=[]))
    broken = copy(saved, tmp_path / "broken", merges=[["no", "such"]])
    with pytest.raises(UsageError, match="tokenizers cannot load it"):
        check_untrusted(broken)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_process_that_was_killed_from_outside_is_started_again(
    saved: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "begun"
    kill_once = f"import os; os.path.exists({str(begun)!r}) or (os.mkdir({str(begun)!r}), os.kill(os.getpid(), 9)); "
    monkeypatch.setattr(untrusted, "_WORKER_CODE", kill_once + untrusted._WORKER_CODE)
    assert check_untrusted(saved.folder) == load(saved.folder)
    monkeypatch.setattr(untrusted, "_WORKER_CODE", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(UsageError, match=r"\(killed by signal 9\)"):
        check_untrusted(saved.folder)
