"""A build into an object store: requests by kind, and seconds with latency and with errors as a multiple of none.

    python -m benchmarks.store [--latency 0.25] [--errors 0.2] [--files 8] [--megabytes 1] [--workers 1]

The store is SeaweedFS on this machine, behind a proxy that counts requests, delays every answer and refuses a share of
the requests with status 503. The mix has three sources of `--files` units each, near-duplicates among them, and
several shards. Each build runs in a process of its own, into an empty folder, with a tokenizer made beforehand.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.support.store import serve
from tests.support.store_proxy import StoreProxy, proxy

SOURCES = ("web", "quality", "books")
CLI = "from gpts_data.cli.main import cli; cli()"


@click.command()
@click.option("--latency", type=float, default=0.25, show_default=True, help="Seconds.")
@click.option("--errors", type=float, default=0.2, show_default=True, help="Share of the requests.")
@click.option("--files", type=int, default=8, show_default=True, help="Of each source; each is a unit.")
@click.option("--megabytes", type=float, default=1.0, show_default=True, help="Of text in a file.")
@click.option("--workers", type=int, default=1, show_default=True)
@click.option("--paths", is_flag=True, help="Print how often each kind of file was asked for.")
def main(latency: float, errors: float, files: int, megabytes: float, workers: int, paths: bool) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        write_recipe(home, files, megabytes)
        build(home, "local", {}, workers)  # compiles the kernels and trains the tokenizer
        with serve(home / "store") as store, proxy(store) as server:
            environment = {**store, "AWS_ENDPOINT_URL": server.address}
            make_bucket(environment)
            base = 0.0
            cases = (
                ("no latency", 0.0, 0.0),
                (f"{latency} s latency", latency, 0.0),
                (f"{errors:.0%} errors", 0.0, errors),
            )
            for number, (name, server.latency, server.errors) in enumerate(cases):
                server.reset()
                digest, seconds = build(home, f"s3://bench/mix-{number}", environment, workers)
                base = base or seconds
                print(f"{name}: {seconds:.1f} s, {seconds / base:.2f} x; {describe(server, files)}; {digest[:12]}")
                if paths and not number:
                    print_paths(server)


def write_recipe(home: Path, files: int, megabytes: float) -> None:
    """Write three sources of made text and their recipe; a tenth of the documents is in two sources."""
    rng = random.Random(0)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(20_000)]
    shared = [" ".join(rng.choices(words, k=300)) for _ in range(50)]
    for source in SOURCES:
        (home / source).mkdir()
        for number in range(files):
            with open(home / source / f"{number:03d}.jsonl", "w", encoding="utf-8") as file:
                while file.tell() < megabytes * 1e6:
                    text = rng.choice(shared) if rng.random() < 0.1 else " ".join(rng.choices(words, k=300))
                    file.write(json.dumps({"id": f"{source}-{number}-{file.tell()}", "text": text}) + "\n")
    tokens = int(len(SOURCES) * files * megabytes * 1e6 * 0.15)
    entries = "".join(
        f'[[source]]\nname = "{name}"\nweight = 1\nfiles = "{name}/*.jsonl"\nmax_epochs = 4\n' for name in SOURCES
    )
    windows = max(tokens // 512 // 6, 1)
    text = (
        f'name = "bench"\ntokens = {tokens}\nshard_windows = {windows}\n[tokenizer]\nvocab_size = 1024\n{entries}'
        "[clean]\nfilters = []\n"
    )
    (home / "recipe.toml").write_text(text, encoding="utf-8")


def build(home: Path, out: str, environment: dict[str, str], workers: int) -> tuple[str, float]:
    """Build the mix. Returns its root digest and the seconds that it took."""
    given = [] if out == "local" else ["--tokenizer", str(home / "local" / "tokenizer")]
    command = [
        sys.executable,
        "-c",
        CLI,
        "build-mix",
        "--recipe",
        "recipe.toml",
        "--json",
        "-q",
        "--workers",
        str(workers),
    ]
    start = time.monotonic()
    done = subprocess.run(
        [*command, "--out", out, *given], cwd=home, env={**os.environ, **environment}, capture_output=True, text=True
    )
    if done.returncode:
        raise click.ClickException(f"build-mix ended with {done.returncode}: {done.stderr[-2000:]}")
    return str(json.loads(done.stdout)["root_digest"]), time.monotonic() - start


def make_bucket(environment: dict[str, str]) -> None:
    code = "import fsspec; fsspec.filesystem('s3').mkdir('bench')"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, check=True)


def describe(server: StoreProxy, files: int) -> str:
    total, units = sum(server.counts.values()) - server.counts["lease"], files * len(SOURCES)
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(server.counts.items()))
    return f"{total} requests ({total / units:.1f} per unit): {kinds}"


def print_paths(server: StoreProxy) -> None:
    def general(path: str) -> str:
        return re.sub(r"[0-9a-f]{16,}|\d{3,}", "#", path.partition("?")[0].split("/", 3)[-1])

    for (kind, path), count in Counter((kind, general(path)) for _, kind, path in server.log).most_common():
        print(f"  {count:5d} {kind:6} {path}")


if __name__ == "__main__":
    main()
