"""The report: one file that needs nothing, says what the manifest says, and lets no text out of its place."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import UsageError
from gpts_data.tokenizer.encode import Encoder
from gpts_data.validation.report.collect import prefixes, report
from gpts_data.validation.report.page import _marked, render_html
from gpts_data.validation.training.log import Line
from tests.conftest import prose

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ATTACK = "<script>document.title='broken'</script><img src=http://example.org/x onerror=alert(1)>"
RECIPE = """
name = "<b>bold</b>"
tokens = "4k"
window = 64
keep_dropped = 3
[tokenizer]
vocab_size = 300
sample = "20kB"
[[source]]
name = "web"
weight = 1
files = "web.jsonl"
[clean]
filters = []
max_characters = 5000
"""


class Tags(HTMLParser):
    """What a browser would see: tags, what they point to, and whether they are closed in order."""

    VOID = {"meta", "br", "wbr", "img", "input", "hr"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.targets += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    return tags


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Mix:
    """A mix of texts that would be a page of their own, with a duplicate and a document that is too long."""
    import random

    home, rng = tmp_path_factory.mktemp("hostile"), random.Random(3)
    texts = [f"{ATTACK} {prose(rng, 60)}" for _ in range(120)]
    texts[3:3] = [texts[0], "long " * 2000]
    (home / "web.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (home / "recipe.toml").write_text(RECIPE)
    build(load_recipe(home / "recipe.toml"), home, home / "mix")
    return open_mix(home / "mix")


def test_it_says_what_the_manifest_says_and_needs_nothing_else(mix: Mix) -> None:
    text = render_html(report(mix))
    for name, fall in mix.manifest["waterfall"].items():
        assert name in text and f"<td>{fall['read']:,}</td>" in text and f"<td>{fall['kept']:,}</td>" in text
    assert mix.manifest["root_digest"] in text and "Unexplained: 0." in text
    tags = parsed(text)
    assert all(target.startswith("#") for target in tags.targets)
    assert "script" not in tags.names and "link" not in tags.names and "url(http" not in text
    assert render_html(report(mix)) == text


def test_no_text_becomes_part_of_the_page(hostile: Mix) -> None:
    text = render_html(report(hostile))
    names = parsed(text).names
    assert "script" not in names and "img" not in names and "b" not in names
    assert "&lt;script&gt;" in text and "exact_duplicate" in text and "kept, in web" in text


def test_it_is_made_with_few_open_files(mix: Mix) -> None:
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX")
    limits, open_now = resource.getrlimit(resource.RLIMIT_NOFILE), len(list(Path("/dev/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 24, limits[1]))
    try:
        assert mix.windows > 100
        report(mix)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_bytes_per_token_are_those_of_the_text(mix: Mix) -> None:
    """Of a source of few windows all are in the sample; end-of-text is a token, and no text."""
    number = mix.sources.index("notes")
    rows = [
        mix.shard(i)[np.load(path.with_suffix(".windows.npy"))["source"] == number] for i, path in enumerate(mix.shards)
    ]
    ids = np.concatenate(rows)
    text = "".join(Encoder(mix.tokenizer).decode(row) for row in ids)
    assert len(ids) <= 64 and text.isascii() and (ids == mix.eos_id).any()
    assert report(mix).bytes_per_token[number] == len(text) / ids.size


def test_what_differs_is_marked() -> None:
    assert _marked("a b c", "a x c d") == ("a <del>b</del> c", "a <ins>x</ins> c<ins> d</ins>")
    assert _marked("<", "<") == ("&lt;", "&lt;")


def test_prefixes_are_those_of_the_sidecars(mix: Mix) -> None:
    positions, counts = prefixes(mix)
    rows = [np.load(path.with_suffix(".windows.npy"))["source"] for path in mix.shards]
    whole = np.concatenate(rows)
    assert (np.diff(positions) > 0).all() and positions[-1] == mix.windows
    for position, found in zip(positions.tolist(), counts.tolist(), strict=True):
        assert found == np.bincount(whole[:position], minlength=len(mix.sources)).tolist()


def test_a_run_is_shown_and_another_mix_s_refused(mix: Mix, hostile: Mix, tmp_path: Path) -> None:
    lines = [Line(step, 6.0 - step, 1e-3, 64 * step, 1000.0) for step in (1, 2, 3)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(asdict(line)) + "\n" for line in lines))
    result = {
        "mix_root_digest": mix.manifest["root_digest"],
        "steps": 3,
        "parameters": 77,
        "first_loss": 5.0,
        "last_loss": 3.0,
        "unigram_entropy": 4.5,
        "validation_bits_per_byte": {"web": 2.5, "books": None},
    }
    (tmp_path / "result.json").write_text(json.dumps(result))
    text = render_html(report(mix, tmp_path))
    assert "77 parameters, 3 updates" in text and "<td>2.500</td>" in text
    parsed(text)
    with pytest.raises(UsageError, match="a run over mix"):
        report(hostile, tmp_path)
    with pytest.raises(UsageError, match=r"no result\.json"):
        report(mix, tmp_path / "nowhere")


WRAPPER = """<iframe id=f src="report.html" width=390 height=800></iframe>
<script>onload = () => { const d = document.getElementById("f").contentDocument.documentElement;
document.title = "width " + d.scrollWidth + " title " + d.ownerDocument.title; }</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_in_a_browser_it_loads_and_fits_a_phone(hostile: Mix, tmp_path: Path) -> None:
    program = "from gpts_data.cli.main import cli; cli()"
    command = [sys.executable, "-c", program, "inspect", str(hostile.path), "--html", str(tmp_path / "report.html")]
    subprocess.run(command, check=True, capture_output=True)
    (tmp_path / "wrapper.html").write_text(WRAPPER)
    shown = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            (tmp_path / "wrapper.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r"<title>width (\d+) title (.*?)</title>", shown.stdout)
    assert found, shown.stderr
    assert int(found[1]) <= 390 and found[2].startswith("&lt;b&gt;bold")
