"""Loading speed: batches of int64 on the CPU from a mix, by our loader, by a plain loop and by other projects' readers.

    python -m benchmarks.loading [--windows 262144] [--batch 64] [--rounds 3]

The plain loop is the yardstick: it slices a memory map and converts, and can neither resume nor share work. A mix of
made-up ids in two shards or more is exported to each format; every reader passes it once in a process of its own, in
order, one process without helpers unless its line says so. A round runs all of them, the best round counts, and a
further pass sums the ids, which must be the same. Lines whose library is not installed are left out.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import subprocess
import sys
import tempfile
import textwrap
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np

SHARD = 131_072  # windows, as build-mix makes them
WINDOW = 512
PLAIN, DATATROVE, MDS, LITDATA = "plain loop over numpy.memmap", "datatrove", "mosaicml-streaming", "litdata"
READERS = {
    PLAIN: """
        def batches():
            for path in mix.shards:
                rows = np.memmap(path, '<u2', 'r').reshape(-1, {window})
                for start in range(0, len(rows), {batch}):
                    yield torch.from_numpy(rows[start : start + {batch}].astype(np.int64))
    """,
    "gpts-data, Loader": "batches = lambda: islice(Loader(mix, {batch}), mix.windows // {batch})",
    "gpts-data, Loader, ahead=2": "batches = lambda: islice(Loader(mix, {batch}, ahead=2), mix.windows // {batch})",
    "gpts-data, Batches in a DataLoader, 1 worker": """
        data = DataLoader(Batches(mix, {batch}), batch_size=None, num_workers=1)
        batches = lambda: islice(data, mix.windows // {batch})
    """,
    "gpts-data, Windows in a DataLoader": "batches = lambda: DataLoader(Windows(mix), {batch})",
    "nanoGPT's get_batch (random windows)": """
        def batches():
            data = np.memmap(mix.shards[0], '<u2', 'r')
            for _ in range(mix.windows // {batch}):
                ix = torch.randint(len(data) - {window}, ({batch},))
                yield torch.stack([torch.from_numpy(data[i : i + {window}].astype(np.int64)) for i in ix])
    """,
    DATATROVE: """
        from datatrove.utils.dataset import DatatroveFolderDataset
        data = DatatroveFolderDataset(str(home / 'datatrove/train'), seq_len={window} - 1)
        batches = lambda: (row['input_ids'] for row in DataLoader(data, {batch}))
    """,
    MDS: """
        from streaming import StreamingDataset
        data = StreamingDataset(local=str(home / 'mds'), split='train', batch_size={batch}, shuffle=False)
        collate = lambda rows: torch.from_numpy(np.stack([row['tokens'] for row in rows]).astype(np.int64))
        batches = lambda: DataLoader(data, {batch}, collate_fn=collate)
    """,
    LITDATA: """
        from litdata import StreamingDataLoader, StreamingDataset, TokensLoader
        data = StreamingDataset(str(home / 'litdata'), item_loader=TokensLoader({window}), shuffle=False)
        batches = lambda: (ids.long() for ids in StreamingDataLoader(data, batch_size={batch}))
    """,
}
FRAME = """
import json, sys, time
from itertools import islice
from pathlib import Path
import numpy as np
import torch
from torch.utils.data import DataLoader
from gpts_data.mixer.format.mix import Mix
from gpts_data.validation.loader import Batches, Loader, Windows
home = Path({home!r})
mix = Mix(home / 'mix', json.loads((home / 'mix/manifest.json').read_text()))
if __name__ == '__main__':
    torch.set_num_threads(1)
{reader}
    began = time.perf_counter()
    n = sum(ids.numel() for ids in batches())
    seconds = time.perf_counter() - began
    total = sum(int(ids.sum()) for ids in batches()) if {check} else None
    print(json.dumps([n, seconds, total]))
"""
WRITE_LITDATA = """
import numpy as np, torch
from pathlib import Path
from litdata import TokensLoader, optimize
def ids(path):
    for row in np.fromfile(path, '<u2').reshape(-1, {window}):
        yield torch.from_numpy(row)
if __name__ == '__main__':
    optimize(ids, sorted(map(str, Path({home!r}, 'mix/shards').glob('*.bin'))), {out!r},
             chunk_size={window} * 8192, item_loader=TokensLoader({window}), num_workers=1)
"""


@click.command()
@click.option("--windows", default=262_144, show_default=True)
@click.option("--batch", default=64, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(windows: int, batch: int, rounds: int) -> None:
    windows -= windows % batch
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        make(home, windows)
        readers = prepare(home)
        found = {name: measure(home, name, batch, check=True) for name in readers}
        whole = found[PLAIN][1]
        for name, (_, total) in found.items():
            if "random" not in name and total != whole:
                raise SystemExit(f"{name}: the ids sum to {total}, expected {whole}")
        for _ in range(rounds - 1):
            found = {name: min(found[name], measure(home, name, batch, check=False)) for name in readers}
    show({name: windows * WINDOW / seconds for name, (seconds, _) in found.items()})


def make(home: Path, windows: int) -> None:
    """A mix as far as its readers look: shards and the manifest's facts."""
    (home / "mix/shards").mkdir(parents=True)
    rng = np.random.default_rng(1)
    shards = []
    for start in range(0, windows, SHARD):
        size = min(SHARD, windows - start)
        shards.append({"file": f"shards/train-{len(shards):05}.bin", "windows": size, "bytes": size * WINDOW * 2})
        rng.integers(0, 4096, (size, WINDOW), "<u2").tofile(home / "mix" / str(shards[-1]["file"]))
    manifest = {
        "root_digest": "0" * 64,
        "windows": windows,
        "shards": shards,
        "files": [],
        "sources": {},
        "tokenizer": {"vocab_size": 4096, "eos_id": 0},
        "recipe": {"window": WINDOW, "source": []},
    }
    (home / "mix/manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def prepare(home: Path) -> list[str]:
    """The exports that the readers here need; the readers that can run."""
    from gpts_data.mixer.export.export import export
    from gpts_data.mixer.format.mix import Mix

    mix = Mix(home / "mix", json.loads((home / "mix/manifest.json").read_text(encoding="utf-8")))
    needs = {MDS: "streaming", LITDATA: "litdata"}
    readers = [name for name in READERS if name not in needs or importlib.util.find_spec(needs[name])]
    for name in {"datatrove", "mds"}:
        export(mix, name, home / name)
    if LITDATA in readers:
        script = home / "write.py"
        script.write_text(
            WRITE_LITDATA.format(home=str(home), out=str(home / "litdata"), window=WINDOW), encoding="utf-8"
        )
        subprocess.run([sys.executable, script], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return readers


def measure(home: Path, name: str, batch: int, check: bool) -> tuple[float, int]:
    """Seconds of a pass, and the sum of the ids of another."""
    reader = textwrap.indent(textwrap.dedent(READERS[name].format(batch=batch, window=WINDOW)).strip(), "    ")
    script = home / "read.py"
    script.write_text(FRAME.format(home=str(home), reader=reader, check=check), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script], stdout=subprocess.PIPE, check=True, text=True, encoding="utf-8"
    )
    _, seconds, total = json.loads(done.stdout.splitlines()[-1])
    return seconds, total


def show(speeds: dict[str, float]) -> None:
    libraries = ("numpy", "torch", "datatrove", "mosaicml-streaming", "litdata")
    there = [f"{name} {version(name)}" for name in libraries if importlib.util.find_spec(name.split("-")[-1])]
    print(f"Python {platform.python_version()}, {', '.join(there)}\n")
    print("| | million ids/s | plain loop = 1 |")
    print("|---|---:|---:|")
    for name, speed in speeds.items():
        print(f"| {name} | {speed / 1e6:,.1f} | {speed / speeds[PLAIN]:.3f} |")


if __name__ == "__main__":
    main()
