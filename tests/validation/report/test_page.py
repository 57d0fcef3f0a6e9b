"""The report is one file that loads nothing, agrees with the manifest, and escapes every text."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.text.control_characters import escape
from gpts_data.tokenizer.encode import Encoder
from gpts_data.validation.report.collect import collect_report
from gpts_data.validation.report.markdown import render_markdown
from gpts_data.validation.report.order_counts import count_sources
from gpts_data.validation.report.page import compare_words, render_html
from gpts_data.validation.training.log import Line
from tests.conftest import prose

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ATTACK = "<script>document.title='broken'</script><img src=http://example.org/x onerror=alert(1)>\x1b[2J\r\x9b\u202e"
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
    """The tags of a page and their targets; fails when they are not closed in order."""

    VOID = {"meta", "br", "wbr", "img", "input", "hr"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.targets: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.targets += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
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
    """A mix of texts that are HTML, with a duplicate and a document that is too long."""
    import random

    home, rng = tmp_path_factory.mktemp("hostile"), random.Random(3)
    texts = [f"{ATTACK} {prose(rng, 60)}" for _ in range(120)]
    texts[3:3] = [texts[0], "long " * 2000]
    (home / "web.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    (home / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    build(load_recipe(home / "recipe.toml"), home, home / "mix")
    return open_mix(home / "mix")


def test_report_agrees_with_the_manifest_and_loads_nothing(mix: Mix) -> None:
    text = render_html(collect_report(mix))
    for name, fall in mix.manifest["waterfall"].items():
        assert name in text and f"<td>{fall['read']:,}</td>" in text and f"<td>{fall['kept']:,}</td>" in text
    assert mix.manifest["root_digest"] in text and "Documents without an outcome: 0." in text
    tags = parsed(text)
    assert all(target.startswith("#") for target in tags.targets)
    assert "script" not in tags.names and "link" not in tags.names and "url(http" not in text
    assert {target[1:] for target in tags.targets} <= set(tags.ids)  # the contents list
    for source in mix.manifest["sources"].values():
        assert f'data-label="held-out tokens">{source["validation"]["tokens"]:,}<' in text
        assert f'data-label="files reached">{source["files_read"]:,} of {source["files_total"]:,}<' in text
    assert render_html(collect_report(mix)) == text


def test_no_text_becomes_part_of_the_page(hostile: Mix) -> None:
    text = render_html(collect_report(hostile))
    names = parsed(text).names
    assert "script" not in names and "img" not in names and "b" not in names
    assert "&lt;script&gt;" in text and "exact_duplicate" in text and "kept, in web" in text
    assert escape(text) == text and "\\x1b[2J\\r\\x9b\\u202e" in text  # no control character but visible escapes
    assert text.index("default-src 'none'") < text.index("<style>")


def test_it_is_made_with_few_open_files(mix: Mix) -> None:
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX")
    limits, open_now = resource.getrlimit(resource.RLIMIT_NOFILE), len(list(Path("/dev/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 24, limits[1]))
    try:
        assert mix.windows > 100
        collect_report(mix)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_bytes_per_token_are_those_of_the_text(mix: Mix) -> None:
    """The sample has all windows of a small source; end-of-text counts as a token without text."""
    number = mix.sources.index("notes")
    rows = [
        mix.shard(i)[np.load(path.with_suffix(".windows.npy"))["source"] == number] for i, path in enumerate(mix.shards)
    ]
    ids = np.concatenate(rows)
    text = "".join(Encoder(mix.tokenizer).decode(row) for row in ids)
    assert len(ids) <= 64 and text.isascii() and (ids == mix.eos_id).any()
    assert collect_report(mix).bytes_per_token[number] == len(text) / ids.size


def test_words_that_differ_are_marked(mix: Mix) -> None:
    dropped, kept = compare_words("a b c", "a x c d")
    assert dropped == [("a ", False), ("b", True), (" c", False)]
    assert kept == [("a ", False), ("x", True), (" c", False), (" d", True)]
    sample = {"id": "1", "url": None, "reason": "near_duplicate", "text": "a < b c"}
    sample["kept"] = {"source": "web", "id": "2", "text": "a < x c d"}
    samples: dict[str, Any] = {name: [] for name in mix.sources}
    text = render_html(replace(collect_report(mix), dropped_samples={**samples, "web": [sample]}))
    assert "\na &lt; <del>b</del> c</div>" in text
    assert "lines that decided" not in text and "long document" not in text
    assert "\na &lt; <ins>x</ins> c<ins> d</ins></div>" in text


def test_a_dropped_document_has_its_lines_or_the_command_that_shows_them(mix: Mix) -> None:
    """A build measures no text above 20,000 characters, so its sample has neither value nor lines."""
    short = {"id": "a 1", "url": None, "reason": "dup_line_frac", "text": "same", "detail": "0.4", "lines": ["same"]}
    long = {"id": "a 2", "url": None, "reason": "dup_line_frac", "text": "same [...]"}
    samples: dict[str, Any] = {name: [] for name in mix.sources}
    text = render_html(replace(collect_report(mix), dropped_samples={**samples, "web": [short, long]}))
    assert text.count("lines that decided") == 1 and text.count("long document: ") == 1
    assert "long document: see gpts-data trace MIX --document &#39;a 2&#39;" in text


def test_documents_held_out_are_told_apart_from_those_to_train_on(mix: Mix) -> None:
    falls = mix.manifest["waterfall"].values()
    held_out, kept = (sum(fall[key] for fall in falls) for key in ("validation", "kept"))  # type: ignore[literal-required]
    assert held_out and f"({kept - held_out:,} and {held_out:,} held out)" in render_html(collect_report(mix))


def test_counts_of_sources_are_those_of_the_sidecars(mix: Mix) -> None:
    positions, counts = count_sources(mix)
    rows = [np.load(path.with_suffix(".windows.npy"))["source"] for path in mix.shards]
    whole = np.concatenate(rows)
    assert (np.diff(positions) > 0).all() and positions[-1] == mix.windows
    for position, found in zip(positions.tolist(), counts.tolist(), strict=True):
        assert found == np.bincount(whole[:position], minlength=len(mix.sources)).tolist()


def test_a_run_is_shown_and_one_on_another_mix_is_refused(mix: Mix, hostile: Mix, tmp_path: Path) -> None:
    lines = [Line(step, 6.0 - step, 1e-3, 64 * step, 1000.0) for step in (1, 2, 3)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(asdict(line)) + "\n" for line in lines), encoding="utf-8")
    result = {
        "mix_root_digest": mix.manifest["root_digest"],
        "steps": 3,
        "parameters": 77,
        "tokens": 192,
        "epochs": 0.01,
        "first_loss": 5.0,
        "last_loss": 3.0,
        "unigram_entropy": 4.5,
        "validation_bits_per_byte": {"web": 2.5, "books": None},
    }
    (tmp_path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    text = render_html(collect_report(mix, tmp_path))
    assert "77 parameters, 3 steps" in text and "<td>2.500</td>" in text
    parsed(text)
    with pytest.raises(UsageError, match="this run used the mix with root digest"):
        collect_report(hostile, tmp_path)
    with pytest.raises(UsageError, match=r"no result\.json"):
        collect_report(mix, tmp_path / "nowhere")


WRAPPER = """<iframe id=f src="report.html" width=390 height=800></iframe>
<script>onload = () => { const d = document.getElementById("f").contentDocument.documentElement;
document.title = "width " + d.scrollWidth + " title " + d.ownerDocument.title; }</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_in_a_browser_it_loads_and_fits_a_phone(hostile: Mix, tmp_path: Path) -> None:
    program = "from gpts_data.cli.main import cli; cli()"
    command = [sys.executable, "-c", program, "inspect", str(hostile.path), "--html", str(tmp_path / "report.html")]
    subprocess.run(command, check=True, capture_output=True)
    (tmp_path / "wrapper.html").write_text(WRAPPER, encoding="utf-8")
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
        encoding="utf-8",
    )
    found = re.search(r"<title>width (\d+) title (.*?)</title>", shown.stdout)
    assert found, shown.stderr
    assert int(found[1]) <= 390 and found[2].startswith("&lt;b&gt;bold")


def test_the_report_is_also_markdown_with_the_same_figures(mix: Mix, hostile: Mix) -> None:
    text = render_markdown(collect_report(mix))
    for name, fall in mix.manifest["waterfall"].items():
        assert name in text and f"{fall['read']:,} |" in text and f"{fall['kept']:,} |" in text
    assert f"`{mix.manifest['root_digest']}`" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1
    escaped = render_markdown(collect_report(hostile))
    assert "<b>" not in escaped and "script" not in escaped  # no text of documents


def test_kept_documents_are_shown(mix: Mix) -> None:
    report = collect_report(mix)
    for name in mix.sources:
        assert 0 < len(report.kept_samples[name]) <= 3
        assert all(sample.text and sample.tokens for sample in report.kept_samples[name])
    page = render_html(report)
    assert "What decided: each " in page and page.count('<div class="text">') >= sum(
        map(len, report.kept_samples.values())
    )
