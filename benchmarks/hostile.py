"""Try mixes, runs and half-finished builds of a stranger: mutate their files, sign them again, run commands on them.

    python -m benchmarks.hostile --mutations 2000 [--seed 0] [--work DIR]

Each mutation changes one thing: a value of manifest.json (with new digests, so that only the checks of its content can
refuse it), bytes of it, a file's kind (link out of the mix, pipe, folder), a file's content, code beside the tokenizer,
or a file of a run or of a half-finished build. Counted are tracebacks, hangs (over 120 s), mixes with a foreign file
that `verify` calls ok, secrets of a file outside that were printed or exported, and files outside that changed or got a
link.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click.testing

from gpts_data.cli.main import cli
from gpts_data.mixer.build import build
from gpts_data.mixer.format import mix_encoder
from gpts_data.mixer.format.mix import open_mix
from gpts_data.mixer.format.training_order import TrainingOrder
from gpts_data.mixer.plan import make_plan
from gpts_data.mixer.plan_file import read_plan, write_plan
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import GptsDataError
from gpts_data.pipelines.storage.atomic_files import json_digest, pretty_json
from gpts_data.validation.api import PRESETS
from gpts_data.validation.model import export
from gpts_data.validation.model.model import GPTSConfig
from gpts_data.validation.training.lr_schedule import LearningRateSchedule
from gpts_data.validation.training.smoke import smoke_train
from tests.support.seal import SEALS, reseal, seal

SECONDS = 120  # a busy machine takes 20 for a worker process
SECRET = "CANARY-1f6e2c"
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63 - 1, 2**64, -(2**63), 10**30, 0.5, -0.5, 1e308, 5e-324),
    *("", "x", "..", "../../outside/secret", "/etc/passwd", "a\\b", "nul\x00", "\x1b[2J", "a" * 5000, "tokenizer/x.py"),
    *([], {}, [[]], {"a": {}}, ["x"] * 50, [0] * 1000),
)


class Hang(BaseException):
    """A command took longer than SECONDS."""


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


def mutate(content: Any, rng: random.Random) -> str:
    """Change one value of JSON; return what was changed."""
    path = rng.choice([place for place in places(content) if place])
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    kind = rng.choice(("set", "set", "set", "near", "delete", "add"))
    if kind == "delete":
        del parent[path[-1]]
    elif kind == "near" and isinstance(parent[path[-1]], int | float):
        parent[path[-1]] += rng.choice((-1, 1, -1000, 1000))
    elif kind == "add" and isinstance(parent, dict):
        parent[rng.choice(("extra", "../x", ""))] = rng.choice(VALUES)
    else:
        parent[path[-1]] = rng.choice(VALUES)
    return f"{kind} {'.'.join(map(str, path))}"


def change_manifest(mix: Path, rng: random.Random) -> str:
    manifest = json.loads((mix / "manifest.json").read_bytes())
    content = {key: value for key, value in manifest.items() if key not in SEALS}
    said = mutate(content, rng)
    seal(mix, content)
    return f"manifest: {said}"


def change_bytes(mix: Path, rng: random.Random) -> str:
    path = mix / "manifest.json"
    content = bytearray(path.read_bytes())
    start = rng.randrange(len(content))
    choices = [b"", b"NaN", b"[" * 5000, rng.randbytes(8), b"1" * 6000, b'"\\ud800"']
    content[start : start + rng.choice((0, 1, 50, len(content)))] = rng.choice(choices)
    path.write_bytes(content)
    return f"manifest: bytes at {start}"


def change_kind(mix: Path, rng: random.Random) -> str:
    outside = mix.parent / "outside"
    name = rng.choice(sorted(path.relative_to(mix).as_posix() for path in mix.rglob("*") if path.is_file()))
    path = mix / name
    path.unlink()
    kind = rng.choice(("link", "copy-link", "pipe", "folder", "device", "circle", "gone"))
    if kind == "link":
        path.symlink_to(outside / "secret")
    elif kind == "copy-link":  # the right content, but outside of the mix
        shutil.copy(ORIGINAL / name, outside / "same")
        path.symlink_to(outside / "same")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "circle":
        path.symlink_to(path)
    if rng.random() < 0.3 and kind == "link" and name != "manifest.json":
        reseal(mix)
    return f"FOREIGN {kind} {name}"


def change_content(mix: Path, rng: random.Random) -> str:
    files = [path for path in mix.rglob("*") if path.is_file() and path.name != "manifest.json"]
    path = rng.choice(sorted(files))
    content = bytearray(path.read_bytes() or b"x")
    start = rng.randrange(len(content))
    choices = [b"", rng.randbytes(4), b"\xff" * 16, content[: rng.randrange(len(content) + 1)], b"PK\x03\x04"]
    content[start : start + rng.choice((1, 4, 64))] = rng.choice(choices)
    path.write_bytes(content)
    reseal(mix)
    return f"content of {path.relative_to(mix)} at {start}"


def plant(mix: Path, rng: random.Random) -> str:
    name = rng.choice(("modeling_gpts.py", "x.so", "sub/tool.py", "model.py", "../tokenizer/evil.py"))
    path = mix / "tokenizer" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"print('{SECRET}')\n")
    entry = {"file": f"tokenizer/{name}", "bytes": 0, "sha256": "0" * 64}
    reseal(mix, lambda manifest: manifest["files"].append(entry))
    return f"FOREIGN planted {name}"


COMMANDS = (
    ("inspect", "mix"),
    ("inspect", "mix", "--window", "3", "--json"),
    ("trace", "mix", "--token", "100"),
    ("trace", "mix", "--shard", "0", "--row", "1"),
    ("trace", "mix", "--document", "ID"),
    ("export", "mix", "--format", "nanogpt", "--out", "out/nanogpt"),
    ("export", "mix", "--format", "datatrove", "--out", "out/datatrove"),
    ("verify", "mix", "--quick"),
)
SLOW_COMMANDS = (
    ("inspect", "mix", "--html", "out/report.html"),
    ("export", "mix", "--format", "parquet", "--out", "out/parquet"),
)
MUTATIONS = (change_manifest,) * 7 + (change_bytes, change_kind, change_kind, change_content, change_content, plant)


class Campaign:
    """Runs commands on mutated folders and counts what happens."""

    def __init__(self, work: Path) -> None:
        self.work, self.counts = work, Counter[str]()
        self.outside = work / "outside"
        self.document = next(iter(json.loads(line)["id"] for line in DROPPED.read_text().splitlines()))

    def reset(self) -> None:
        for name in ("mix", "out", "outside", "run", "half"):
            shutil.rmtree(self.work / name, ignore_errors=True)
        shutil.copytree(ORIGINAL, self.work / "mix")
        self.outside.mkdir()
        (self.work / "out").mkdir()
        (self.outside / "secret").write_text(SECRET * 100)

    def state(self) -> list[tuple[str, int, bytes]]:
        files = [path for path in self.work.iterdir() if path.name not in ("mix", "out", "run", "half")]
        files += list(self.outside.iterdir())
        return sorted((p.name, p.stat().st_nlink, p.read_bytes()) for p in files if p.is_file())

    def guarded(self, name: str, run: Callable[[], tuple[int, str]]) -> int:
        """Run something; returns its exit code, -1 for a fault, which is counted."""
        self.counts["runs"] += 1
        signal.alarm(SECONDS)
        try:
            code, output = run()
        except Hang:
            self.fault("hang", name)
            return -1
        except Exception:
            self.fault("traceback", f"{name}: {traceback.format_exc(limit=-3)}")
            return -1
        finally:
            signal.alarm(0)
        exported = [path for path in (self.work / "out").rglob("*") if path.is_file()]
        if SECRET in output or any(SECRET.encode() in path.read_bytes() for path in exported):
            self.fault("secret", name)
        self.counts["ok" if code == 0 else f"exit {code}"] += 1
        return code

    def fault(self, kind: str, what: str) -> None:
        self.counts[kind] += 1
        print(f"{kind}: {what}", flush=True)

    def command(self, *arguments: str) -> tuple[int, str]:
        words = [self.document if word == "ID" else word for word in arguments]
        result = click.testing.CliRunner().invoke(cli, words)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    def mix_case(self, rng: random.Random) -> None:
        mutation = rng.choice(MUTATIONS)(self.work / "mix", rng)
        before = self.state()
        verified = self.guarded(f"verify after {mutation}", lambda: self.command("verify", "mix"))
        if verified == 0 and mutation.startswith("FOREIGN"):
            self.fault("wrong ok", mutation)
        commands = rng.sample(COMMANDS, 2) if rng.random() < 0.9 else rng.sample(SLOW_COMMANDS, 1)
        for arguments in commands:
            self.guarded(f"{' '.join(arguments)} after {mutation}", lambda args=arguments: self.command(*args))
        self.guarded(f"reading after {mutation}", self.read)
        if self.state() != before:
            self.fault("write outside", mutation)

    def read(self) -> tuple[int, str]:
        try:
            mix = open_mix(self.work / "mix")
            TrainingOrder(mix).read(0, 20)
            return 0, str([mix.validation(name).sum() for name in mix.sources])
        except GptsDataError as error:
            return error.exit_code, str(error)

    def run_case(self, rng: random.Random, source: Path) -> None:
        run = Path(shutil.copytree(source, self.work / "run"))
        name = rng.choice(("result.json", "config.json", "mix.json", "run.json"))
        content = json.loads((run / name).read_bytes())
        mutation = mutate(content, rng)
        (run / name).write_bytes(json.dumps(content).encode())
        for arguments in (
            ("export-model", "run", "--out", "out/model"),
            ("inspect", "mix", "--html", "out/r.html", "--run", "run"),
            ("smoke-train", "mix", "--steps", "1", "--out", "run"),
        ):
            self.guarded(f"{arguments[0]} after {name}: {mutation}", lambda args=arguments: self.command(*args))

    def plan_case(self, rng: random.Random, source: Path) -> None:
        half = Path(shutil.copytree(source, self.work / "half"))
        path = half / ".build/plan.json"
        content = json.loads(path.read_bytes())
        del content["checksum"]
        mutation = mutate(content, rng)
        path.write_bytes(pretty_json({**content, "checksum": json_digest(content)}))

        def read() -> tuple[int, str]:
            try:
                return 0, str(read_plan(half, "manifest.json"))
            except GptsDataError as error:
                return error.exit_code, str(error)

        self.guarded(f"plan.json: {mutation}", read)


def alarm(*_: object) -> None:
    raise Hang


def check_once() -> None:
    """Load each tokenizer in a worker process only once: it takes longer than all else that is tried on a mutation."""
    check, known = mix_encoder.check_untrusted, dict[bytes, Any]()

    def cached(folder: Path) -> Any:
        content = b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())
        if content not in known:
            known[content] = check(folder)
        return replace(known[content], folder=folder)

    mix_encoder.check_untrusted = export.check_untrusted = cached


def main() -> None:
    global ORIGINAL, DROPPED
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    home = arguments.work or Path(tempfile.mkdtemp(prefix="gpts-data-hostile-"))
    home.mkdir(exist_ok=True)
    ORIGINAL = home / "original"
    recipe = PRESETS / "sample.toml"
    build(load_recipe(recipe, 300_000), recipe.parent, ORIGINAL)
    DROPPED = ORIGINAL / "dropped/fineweb-edu.jsonl"
    (work := home / "work").mkdir(exist_ok=True)
    os.chdir(work)
    signal.signal(signal.SIGALRM, alarm)
    check_once()
    campaign, start = Campaign(work), time.monotonic()
    runs, half = home / "run", home / "half"
    if not (runs / "result.json").exists():
        sizes = GPTSConfig(width=32, layers=2, heads=4, kv_heads=2, head_dim=8, ffn=64)
        smoke_train(open_mix(ORIGINAL), runs, LearningRateSchedule(steps=1, batch=1), device="cpu", config=sizes)
    plan = make_plan(load_recipe(recipe, 300_000), recipe.parent, half, None, "manifest.json")
    write_plan(plan.work, plan.identity())
    for number in range(arguments.mutations):
        rng = random.Random(f"{arguments.seed}/{number}")
        if number % 100 == 0:
            print(f"{number} mutations, {time.monotonic() - start:.0f} s: {dict(campaign.counts)}", flush=True)
        campaign.reset()
        if number % 10 == 7:
            campaign.run_case(rng, runs)
        elif number % 10 == 8:
            campaign.plan_case(rng, half)
        else:
            campaign.mix_case(rng)
    print(json.dumps({"mutations": arguments.mutations, "seconds": round(time.monotonic() - start), **campaign.counts}))


if __name__ == "__main__":
    main()
