"""A document of a hub dataset is read again from the hub, at the revision of the mix."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.conftest import prose
from tests.support.hub import Hub

RECIPE = """
name = "hub"
tokens = "3k"
window = 32
[tokenizer]
vocab_size = 300
sample = "10kB"
[[source]]
name = "web"
weight = 1
dataset = "acme/web"
id = "id"
[clean]
filters = []
min_characters = 50
"""
CHILD = """
import json, sys
from pathlib import Path
from gpts_data import build_mix, explain_document
if __name__ == "__main__":
    build_mix("recipe.toml", "mix")
    (outcome,) = explain_document("mix", "w7")
    print(json.dumps([outcome.outcome, outcome.value, outcome.threshold, outcome.text, outcome.revision]))
"""


def test_from_the_hub(tmp_path: Path) -> None:
    rng = random.Random(2)
    rows = [{"id": f"w{i}", "text": "Short." if i == 7 else prose(rng, 60)} for i in range(60)]
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "child.py").write_text(CHILD)
    with Hub(tmp_path / "hub") as hub:
        folder = hub.folder("acme/web")
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / "train-0.parquet", row_group_size=20)
        command = [sys.executable, "child.py"]
        env = hub.env(tmp_path / "hf")
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        *found, revision = json.loads(done.stdout.splitlines()[-1])
        assert found == ["too_short", 6, 50, "Short."] and revision
