"""Small datasets for the hub of tests, and fresh processes that read them."""

from __future__ import annotations

import inspect
import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.conftest import prose
from tests.hub import Hub


def card(folder: Path, configs: dict[str, str]) -> None:
    """README.md with the configs as the hub's own datasets declare them."""
    listed = [
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {path}" for name, path in configs.items()
    ]
    (folder / "README.md").write_text("\n".join(["---", "license: odc-by", "configs:", *listed, "---", "# A dataset"]))


def rows(seed: str, n: int, words: int = 60) -> dict[str, list[str]]:
    """FineWeb's columns, and one between those that are read."""
    rng = random.Random(seed)
    texts = [prose(rng, rng.randint(words // 2, 2 * words)) for _ in range(n)]
    ids = [f"<urn:uuid:{seed}-{i}>" for i in range(n)]
    return {"text": texts, "id": ids, "dump": ["CC"] * n, "url": [f"https://example.org/{seed}/{i}" for i in range(n)]}


def write(path: Path, columns: dict[str, list[str]], width: int = 0, group: int = 50) -> None:
    """A parquet file of row groups of `group`, with `embeddings` of `width` floats as FineWeb-HQ has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if width:
        floats = np.random.default_rng(0).random(len(table) * width, dtype=np.float32)
        table = table.append_column("embeddings", pa.FixedSizeListArray.from_arrays(pa.array(floats), width))
    pq.write_table(table, path, row_group_size=group)


def alone(hub: Hub, home: Path, function: Callable[..., Any], *arguments: Any, needs: Sequence[Any] = ()) -> Any:
    """What a function that imports all it uses, but `needs`, returns in a fresh process whose hub is ours.

    The clients read HF_ENDPOINT when they are imported, and cache listings as long as they live.
    """
    call = f"print(json.dumps({function.__name__}(*json.loads(sys.argv[1]))))"
    code = "\n".join(
        ["from __future__ import annotations", *map(inspect.getsource, (*needs, function)), "import json, sys", call]
    )
    return json.loads(run(hub, home, "-c", code, json.dumps(arguments)).splitlines()[-1])


def run(hub: Hub, home: Path, *arguments: str) -> str:
    """The stdout of a python process; `home` is where it runs and has its caches."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=home,
        env=hub.env(home / "hf"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
