"""The card and croissant.json: what the hub's and MLCommons' own readers make of them."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard

from gpts_data.mixer.mix import Mix


def test_the_hub_reads_the_card(mix: Mix) -> None:
    card = DatasetCard((mix.path / "README.md").read_text())
    assert [config["config_name"] for config in card.data.configs] == list(mix.sources)
    assert card.data.task_categories == ["text-generation"]
    for config in card.data.configs:
        assert list(mix.path.glob(config["data_files"]))
    assert f"{mix.windows:,} training windows" in card.text


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
