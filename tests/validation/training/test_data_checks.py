"""Bad data are detected and their kind is named, although the manifest matches every byte."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli
from gpts_data.mixer.build import build
from gpts_data.mixer.format.content_digest import content_digest
from gpts_data.mixer.format.layout import map_windows
from gpts_data.mixer.format.manifest import read_manifest, write_manifest
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.storage.atomic_files import file_digest
from gpts_data.tokenizer.encode import Encoder
from gpts_data.validation.training.data_checks import find_data_problems, next_id_entropy
from gpts_data.validation.verify import verify
from tests.conftest import WriteRecipe

Damage = Callable[[np.ndarray, Mix], np.ndarray]
RNG = np.random.default_rng(5)


def shuffled(rows: np.ndarray, _: Mix) -> np.ndarray:
    return RNG.permuted(rows, axis=1)


def big_endian(rows: np.ndarray, _: Mix) -> np.ndarray:
    return rows.byteswap()


def renumbered(rows: np.ndarray, mix: Mix) -> np.ndarray:
    """Ids of another vocabulary with the same size and end-of-text."""
    numbers = np.concatenate([[mix.eos_id], np.random.default_rng(3).permutation(np.arange(1, mix.vocab_size))])
    return numbers.astype("<u2")[rows]


def larger(rows: np.ndarray, mix: Mix) -> np.ndarray:
    return (rows * 3).astype("<u2")


def fewer_merges(rows: np.ndarray, mix: Mix) -> np.ndarray:
    """Ids of a tokenizer with the same vocabulary but half the merges: every window decodes to its text."""
    content = json.loads((mix.tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["merges"] = content["model"]["merges"][: len(content["model"]["merges"]) // 2]
    other = mix.path.parent / "other"
    shutil.copytree(mix.tokenizer, other, dirs_exist_ok=True)
    (other / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    encoder = Encoder(other, "tokenizers")
    ids = encoder.encode([encoder.decode(row) for row in rows])[0]
    return np.resize(ids, rows.shape).astype("<u2")


def rewrite_manifest(mix: Mix) -> None:
    """Rewrite the manifest so that sizes, digests and highest ids match the changed files."""
    manifest = read_manifest(mix.path)
    for entry in (*manifest["shards"], *manifest["files"]):
        path = mix.path / entry["file"]
        entry["bytes"], entry["sha256"] = path.stat().st_size, file_digest(path)
        if "content" in entry:
            entry["content"] = content_digest(path) or ""
    for entry in manifest["shards"]:
        entry["highest_id"] = int(map_windows(mix.path / entry["file"], mix.window).max())
    for name, source in manifest["sources"].items():
        n_windows = len(map_windows(mix.path / f"validation/{name}.bin", mix.window))
        source["validation"].update({"windows": n_windows, "tokens": n_windows * mix.window})
    left_out = ("format", "format_version", "root_digest", "environment", "checksum")
    write_manifest(mix.path, {key: value for key, value in manifest.items() if key not in left_out})


@pytest.fixture
def copy(mix: Mix, tmp_path: Path) -> Mix:
    return open_mix(shutil.copytree(mix.path, tmp_path / "mix"))


def damage_file(mix: Mix, file: str, damage: Damage) -> None:
    rows = np.array(map_windows(mix.path / file, mix.window))
    (mix.path / file).write_bytes(damage(rows, mix).tobytes())


def smoke_train(mix: Mix, *options: str) -> tuple[int, str]:
    run = mix.path.parent / "run"
    done = CliRunner().invoke(cli, ["smoke-train", str(mix.path), "--out", str(run), *options])
    assert done.exit_code == 0 or not (run / "result.json").exists() or "did not learn" in done.output
    return done.exit_code, " ".join(done.output.split())


KINDS = [
    (shuffled, "the ids are shuffled within the windows", []),
    (renumbered, "these are ids of another tokenizer", []),
    (fewer_merges, "these are ids of another tokenizer", []),
    (big_endian, "its byte order is big-endian, expected little-endian", ["highest id"]),
    (larger, "these are ids of another, larger vocabulary", ["highest id"]),
]


@pytest.mark.parametrize(("damage", "reason", "verify_problems"), KINDS)
def test_a_bad_mix(copy: Mix, damage: Damage, reason: str, verify_problems: list[str]) -> None:
    for path in copy.shards:
        damage_file(copy, path.relative_to(copy.path).as_posix(), damage)
    rewrite_manifest(copy)
    found = verify(copy.path)
    assert bool(found) == bool(verify_problems) and all(
        part in p.problem for p, part in zip(found, verify_problems, strict=False)
    )
    code, output = smoke_train(copy)
    assert code == 6
    assert "shards/train-00000.bin" in output and reason in output and "Build it again" in output
    assert not (copy.path.parent / "run").exists()


@pytest.mark.parametrize(("damage", "reason", "verify_problems"), KINDS)
@pytest.mark.parametrize("file", ["shards/train-00002.bin", "validation/web.bin"])
def test_one_bad_file(copy: Mix, damage: Damage, reason: str, verify_problems: list[str], file: str) -> None:
    if file.startswith("validation"):  # the fixture's are too short for some of the checks
        rows = np.concatenate([map_windows(path, copy.window) for path in copy.shards])
        (copy.path / file).write_bytes(rows[:40].tobytes())
        (entry,) = (entry for entry in copy.manifest["files"] if entry["file"] == file)
        entry["bytes"] = rows[:40].nbytes
        (copy.path / "shards/train-00000.bin").write_bytes(np.roll(rows[:100], 7, axis=1).tobytes())
    damage_file(copy, file, damage)
    (problem,) = find_data_problems(copy)
    assert (problem.file, reason in problem.problem) == (file, True)


@pytest.mark.parametrize("target", ["shards/train-00002.bin", "validation/web.bin"])
def test_a_repeated_shard(copy: Mix, target: str) -> None:
    shutil.copy(copy.shards[0], copy.path / target)
    rewrite_manifest(copy)
    if target.startswith("shards"):
        assert verify(copy.path) == []
    code, output = smoke_train(copy)
    assert code == 6
    assert f"{target}: 100 of 100 windows repeat earlier ones, most of them in shards/train-00000.bin" in output


def test_windows_repeated_in_their_shard(copy: Mix) -> None:
    damage_file(copy, "shards/train-00001.bin", lambda rows, _: np.concatenate([rows[:80], rows[:20]]))
    (problem,) = find_data_problems(copy)
    assert problem.file == "shards/train-00001.bin" and "20 of 100 windows" in problem.problem
    assert "itself" in problem.problem
    damage_file(copy, "shards/train-00001.bin", lambda rows, _: np.concatenate([rows[:80], shuffled(rows[80:], copy)]))
    assert find_data_problems(copy) == []  # a few odd windows are no problem


def test_a_cut_shard(copy: Mix) -> None:
    path = copy.shards[1]
    path.write_bytes(path.read_bytes()[:-3])
    (problem,) = find_data_problems(copy)
    assert problem.problem == "12,797 bytes, expected 12,800 for its windows"
    path.unlink()
    assert smoke_train(copy)[0] == 6


def test_good_mixes_pass(mix: Mix) -> None:
    assert find_data_problems(mix) == []


def test_further_epochs_of_a_short_source_are_no_repeats(mix: Mix, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    once = 'name = "notes"\nweight = 15'
    recipe = write_recipe(edit=((once, once.replace("15", "200\nmax_epochs = 4")),), tokens="120k")
    build(load_recipe(recipe), recipe.parent, tmp_path / "mix", tokenizer=mix.tokenizer)
    repeated = open_mix(tmp_path / "mix")
    assert repeated.manifest["sources"]["notes"]["epochs"] > 1
    assert find_data_problems(repeated) == []
    shutil.copy(repeated.shards[0], repeated.shards[1])
    assert [problem.file for problem in find_data_problems(repeated)] == ["shards/train-00001.bin"]


@pytest.mark.parametrize("tokens", [16, 200, 5000])
def test_next_id_entropy_equals_its_definition(tokens: int) -> None:
    """Each id is followed by one of two, so the entropy is ln 2, whatever the frequencies."""
    coin = np.random.default_rng(0).integers(2, size=(40, tokens))
    rows = ((np.arange(tokens) % 8) * 2 + coin).astype("<u2")
    assert next_id_entropy(rows) == pytest.approx(np.log(2), abs=0.02 if tokens > 16 else 0.3)
    assert next_id_entropy((rows // 2).astype("<u2")) == pytest.approx(0, abs=1e-9)
