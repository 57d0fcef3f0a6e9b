"""The card and croissant.json: what the hub's and MLCommons' own readers make of them."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard

from gpts_data.mixer.format.croissant import croissant
from gpts_data.mixer.format.dataset_card import card
from gpts_data.mixer.format.mix import Mix


def test_the_hub_reads_the_card(mix: Mix) -> None:
    found = DatasetCard((mix.path / "README.md").read_text(encoding="utf-8"))
    assert [config["config_name"] for config in found.data.configs] == list(mix.sources)
    assert found.data.task_categories == ["text-generation"]
    for config in found.data.configs:
        assert list(mix.path.glob(config["data_files"]))
    assert f"{mix.windows:,} training windows" in found.text


def test_the_command_it_names_is_there(mix: Mix) -> None:
    found = re.search(r"`(hf \S+) ", (mix.path / "README.md").read_text(encoding="utf-8"))
    assert found
    subprocess.run(
        [Path(sys.executable).parent / "hf", *found[1].split()[1:], "--help"], check=True, capture_output=True
    )


def test_licenses_stand_for_the_whole_only_when_every_source_has_one(mix: Mix) -> None:
    content = {**mix.manifest, "recipe": json.loads(json.dumps(mix.manifest["recipe"]))}
    first, *others = content["recipe"]["source"]
    first["license"] = ["odc-by", "cc0-1.0"]
    assert DatasetCard(card(content)).data.license is None
    for source in others:
        source["license"] = ["odc-by"]
    found = DatasetCard(card(content))
    assert found.data.license == ["odc-by", "cc0-1.0"] == croissant(content, [])["license"]
    assert "| odc-by, cc0-1.0 |" in found.text


def test_croissant_names_every_file(mix: Mix) -> None:
    described = json.loads((mix.path / "croissant.json").read_bytes())["distribution"]
    found = {file["@id"]: file["sha256"] for file in described if file["@type"] == "cr:FileObject"}
    listed = {file["file"]: file["sha256"] for file in [*mix.manifest["shards"], *mix.manifest["files"]]}
    del listed["croissant.json"]
    assert found == listed


def test_mlcroissant_reads_it(mix: Mix, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    shutil.copytree(mix.path, tmp_path / "mix")
    with caplog.at_level(logging.WARNING):
        dataset = mlcroissant.Dataset(jsonld=str(tmp_path / "mix" / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors and "not standard" not in caplog.text
    for name in mix.sources:
        rows = list(dataset.records(f"{name}-documents"))
        assert len(rows) == mix.manifest["sources"][name]["documents"]
        assert rows[0][f"{name}-documents/start"] == 0


def test_names_are_no_markup_and_break_no_line(mix: Mix) -> None:
    content = json.loads(json.dumps(mix.manifest))
    content["recipe"]["name"] = "<script>x</script> [a](javascript:b) `c` |d|\n---\n# e\x1b[2J \u202ef"
    content["recipe"]["source"][0]["dataset"] = "a/b\n- c: {d"
    found = DatasetCard(card(content))
    assert found.data.source_datasets == ["a/b\n- c: {d"]
    assert found.data.pretty_name == content["recipe"]["name"].replace("\n", "\\n").replace("\x1b", "\\x1b").replace(
        "\u202e", "\\u202e"
    )
    heading = next(line for line in found.text.splitlines() if line.startswith("# "))
    assert heading.startswith(r"# \<script\>x\</script\> \[a\](javascript:b) \`c\` \|d\|\\n---\\n# e\\x1b\[2J \\u202ef")
    assert "\x1b" not in found.text
