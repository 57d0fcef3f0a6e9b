"""The draft of the public summary: counts are those of the tables, and what is not known is left for a person."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli
from gpts_data.mixer.format.mix import Mix
from gpts_data.validation.report import training_summary as module
from gpts_data.validation.report.training_summary import TODO, count_domains, training_summary


def test_domains_are_those_of_the_tables(mix: Mix, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [pq.read_table(path) for path in sorted((Path(str(mix.path)) / "documents" / "web").glob("*.parquet"))]
    tokens = pa.concat_tables(tables).column("tokens").to_pylist()
    expected = [{"host": "example.org", "documents": len(tokens), "tokens": sum(tokens)}]
    assert count_domains(mix).to_pylist() == expected
    monkeypatch.setattr(module, "MERGED", 0)  # after each table
    assert count_domains(mix).to_pylist() == expected


def test_hosts_count_without_www_and_missing_urls_not_at_all() -> None:
    urls = ["http://www.a.org/", "https://A.org/x", None, "no url", "http://b.a.org"]
    batch = pa.record_batch({"url": pa.array(urls), "tokens": pa.array([1, 2, 4, 8, 16], pa.uint32())})
    assert sorted(module._count(batch).to_pylist(), key=lambda row: row["host"]) == [
        {"host": "a.org", "documents": 2, "tokens": 3},
        {"host": "b.a.org", "documents": 1, "tokens": 16},
    ]


def test_the_draft_says_what_it_knows_and_what_it_does_not(mix: Mix) -> None:
    text = training_summary(mix)
    sections = ["# Public summary of training content: draft", "## 1.", "### 1.3", "## 2.", "### 2.1", "### 2.2"]
    sections += ["### 2.3", "### 2.4", "### 2.5", "### 2.6", "## 3.", "### 3.1", "### 3.2", "### 3.3"]
    places = [text.index(f"{section}") for section in sections]
    assert places == sorted(places)
    assert text.count(TODO) > 10 and mix.manifest["root_digest"] in text
    assert "less than 1 billion tokens" in text and "| web | local files | - | unknown |" in text
    documents = mix.manifest["sources"]["web"]["documents"]
    assert f"| example.org | {documents:,} |" in text
    fall = mix.manifest["waterfall"]["web"]
    assert f"| web | {fall['read']:,} | {fall['kept']:,} |" in text


def test_the_command_writes_it_outside_of_the_mix(mix: Mix, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    done = CliRunner().invoke(cli, ["inspect", str(mix.path), "--summary", str(path)])
    assert done.exit_code == 0 and path.read_text(encoding="utf-8") == training_summary(mix)
    inside = CliRunner().invoke(cli, ["inspect", str(mix.path), "--summary", str(mix.path / "summary.md")])
    assert inside.exit_code == 2 and "outside of it" in inside.output
