"""The preset as it is, from its three datasets, served in miniature by a hub on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpts_data.cli.options import PRESETS
from tests.hub import Hub
from tests.hub_data import card, rows, run, write


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The three datasets of the preset, with their own layouts and columns, in miniature."""
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        edu = hub.folder("HuggingFaceFW/fineweb-edu")
        card(edu, {"default": "data/*/*", "sample-10BT": "sample/10BT/*", "sample-100BT": "sample/100BT/*"})
        for i in range(2):
            write(edu / f"sample/100BT/{i:03}_00000.parquet", rows(f"edu-{i}", 300))
        write(edu / "sample/10BT/000_00000.parquet", rows("other", 5))
        write(edu / "data/CC-MAIN-2024-10/000_00000.parquet", rows("another", 5))
        smol = hub.folder("HuggingFaceTB/smollm-corpus")
        card(smol, {"cosmopedia-v2": "cosmopedia-v2/*", "python-edu": "python-edu/*"})
        texts = rows("cosmopedia", 400)["text"]
        write(smol / "cosmopedia-v2/train-00000.parquet", {"prompt": ["Write."] * 400, "text": texts})
        write(smol / "python-edu/train-00000.parquet", {"blob_id": ["0"] * 5})
        quality = hub.folder("epfml/FineWeb-HQ")
        card(quality, {"default": "data/*/*", "CC-MAIN-2013-20": "data/CC-MAIN-2013-20/*"})
        for dump in ("2013-20", "2024-18"):
            write(quality / f"data/CC-MAIN-{dump}/000_00000.parquet", rows(dump, 120), width=768)
        yield hub


def test_the_preset_from_its_three_datasets(hub: Hub, tmp_path: Path) -> None:
    """gpt-s-5m as it is, but for a small vocabulary and no filters, which would drop made-up prose."""
    text = (PRESETS / "gpt-s-5m.toml").read_text()
    for line, ours in (
        ("vocab_size = 4096", "vocab_size = 400"),
        ('sample = "200MB"', 'sample = "60kB"'),
        ('filters = ["gopher_repetition", "gopher_quality", "fineweb_quality"]', "filters = []"),
    ):
        assert line in text
        text = text.replace(line, ours)
    (tmp_path / "recipe.toml").write_text(text)
    main = "from gpts_data.cli.main import cli; cli()"
    run(hub, tmp_path, "-c", main, "build-mix", "--recipe", "recipe.toml", "--tokens", "60k", "--out", "mix")
    assert json.loads(run(hub, tmp_path, "-c", main, "verify", "mix", "--json")) == {"ok": True, "problems": []}
    sources = json.loads((tmp_path / "mix/manifest.json").read_text())["sources"]
    assert {name: facts["windows"] for name, facts in sources.items()} == {
        "fineweb-edu": 64, "cosmopedia-v2": 35, "fineweb-hq": 18
    }  # fmt: skip
    assert {facts["revision"] for facts in sources.values()} == set(hub.heads.values())
