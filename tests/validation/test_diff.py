"""What differs between two mixes: nothing between a mix and itself, and everything that was changed."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli
from gpts_data.mixer.format.mix import Mix
from gpts_data.validation.diff import ValueDifference, diff, value_differences, write_documents


def test_a_mix_does_not_differ_from_itself(mix: Mix) -> None:
    found = diff(mix, mix)
    assert found.same and found.recipe == found.digests == ()
    assert (found.compared_windows, found.differing_windows) == (mix.windows, 0)
    assert {name: (source.n_only_a, source.n_only_b) for name, source in found.sources.items()} == {
        name: (0, 0) for name in mix.sources
    }


def test_windows_are_compared_by_position_and_documents_by_id(mix: Mix, staged: Mix, tmp_path: Path) -> None:
    found = diff(mix, staged, max_ids=1)
    windows = [[w.tobytes() for n in range(len(each.shards)) for w in each.shard(n)] for each in (mix, staged)]
    assert found.differing_windows == sum(a != b for a, b in zip(*windows, strict=True))
    assert found.differing_windows == sum(source.differing_windows for source in found.sources.values()) > 0
    assert [value.key for value in found.digests] == ["root_digest", "build_id"]
    assert {value.key for value in found.recipe} >= {"stage", "source.web.weight"}
    ids = {}
    for side, each in (("a", mix), ("b", staged)):
        for entry in each.manifest["files"]:
            folder, _, name = entry["file"].removesuffix(".parquet").partition("/")
            if entry["file"].endswith(".parquet"):
                table = pq.read_table(each.path / entry["file"])
                source = name.partition("/")[0]
                ids.setdefault((source, side), set()).update(table.column("id").to_pylist())
    only = {(source, side): rows - ids[source, "b" if side == "a" else "a"] for (source, side), rows in ids.items()}
    assert any(only.values())
    for name, source in found.sources.items():
        assert (source.n_only_a, source.n_only_b) == (len(only[name, "a"]), len(only[name, "b"]))
        assert len(source.only_a) == min(source.n_only_a, 1)
    for suffix, read in ((".parquet", pq.read_table), (".csv", pyarrow.csv.read_csv)):
        path = tmp_path / f"documents{suffix}"
        assert write_documents(mix, staged, path) == sum(map(len, only.values()))
        rows = read(path).to_pylist()
        assert {(row["source"], row["only_in"]) for row in rows} == {key for key, value in only.items() if value}
        assert {row["document_id"] for row in rows} == set().union(*only.values())


def test_values_are_named_with_dots_and_sources_by_name() -> None:
    a = {"x": {"y": 1}, "source": [{"name": "web", "w": 1}, {"name": "books", "w": 2}], "z": [1]}
    b = {"x": {"y": 2}, "source": [{"name": "books", "w": 2}, {"name": "web", "w": 3}], "new": True, "z": [1]}
    assert list(value_differences(a, b)) == [
        ValueDifference("x.y", 1, 2),
        ValueDifference("source.web.w", 1, 3),
        ValueDifference("new", None, True),
    ]


def test_the_command_prints_one_object(mix: Mix, staged: Mix, tmp_path: Path) -> None:
    table = tmp_path / "documents.csv"
    arguments = ["diff", str(mix.path), str(staged.path), "--documents", str(table)]
    done = CliRunner().invoke(cli, [*arguments, "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["same"] is False and table.exists()
    shown = CliRunner().invoke(cli, arguments)
    assert shown.exit_code == 0 and "A and B differ" in shown.output and "positions differ" in shown.output


@pytest.mark.parametrize("name, message", [("x.txt", "ends with .csv or .parquet"), ("mix/x.csv", "outside of it")])
def test_an_unsuitable_file_is_refused(name: str, message: str, mix: Mix, tmp_path: Path) -> None:
    path = mix.path / "x.csv" if name.startswith("mix/") else tmp_path / name
    done = CliRunner().invoke(cli, ["diff", str(mix.path), str(mix.path), "--documents", str(path)])
    assert done.exit_code == 2 and message in done.output
    missing = CliRunner().invoke(cli, ["diff", str(mix.path), str(tmp_path)])
    assert missing.exit_code == 2 and "not a finished mix" in missing.output
