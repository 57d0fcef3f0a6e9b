"""The preset as it is, from its three datasets, served in miniature by a hub on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from tests.support.datasets import QUESTION, preset, run
from tests.support.hub import Hub

MAIN = "from gpts_data.cli.main import cli; cli()"


def test_the_preset_from_its_three_datasets(tmp_path: Path) -> None:
    """gpt-s-5m unchanged but for HF_ENDPOINT: exact, verified, and of FineWeb-HQ no byte of its embeddings."""
    with Hub(tmp_path / "hub") as hub:
        preset(hub, 12_000_000)
        run(hub, tmp_path, "-c", MAIN, "build-mix", "--tokens", "2M", "--out", "mix", "--workers", "2")
        assert json.loads(run(hub, tmp_path, "-c", MAIN, "verify", "mix", "--json")) == {"ok": True, "problems": []}
        manifest = json.loads((tmp_path / "mix/manifest.json").read_text(encoding="utf-8"))
        sources, contamination = manifest["sources"], manifest["decontamination"]
        assert {name: facts["windows"] for name, facts in sources.items()} == {
            "fineweb-edu": 2148,
            "cosmopedia-v2": 1172,
            "fineweb-hq": 586,
        }
        listed = [*sources.values(), *contamination["benchmarks"].values()]
        assert {facts["revision"] for facts in listed} == set(hub.heads.values())
        found = {name: (b["items"], b["searched"]) for name, b in contamination["benchmarks"].items()}
        assert found == {"hellaswag": (2, 2), "arc-easy": (2, 2), "piqa": (2, 2), "blimp": (4, 2)}
        (document,) = contamination["documents"]
        assert (document["source"], document["benchmark"]) == ("fineweb-edu", "hellaswag")
        assert document["ngram"] == " ".join(QUESTION.split()[:13])
        hub.total()
        wanted = served = 0
        for file in hub.folder("epfml/FineWeb-HQ").rglob("*.parquet"):
            metadata = pq.read_metadata(file)
            groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
            chunks = [group.column(i) for group in groups for i in range(metadata.num_columns)]
            wanted += sum(c.total_compressed_size for c in chunks if c.path_in_schema in ("text", "id", "url"))
            wanted += metadata.serialized_size
            served += hub.served[file.relative_to(hub.root).as_posix()]
        assert served < 1.15 * wanted
