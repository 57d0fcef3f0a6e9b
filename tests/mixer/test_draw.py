"""A mix is a sample of the whole of each source, whatever the budget (P9), and what is not drawn from is not opened."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli
from gpts_data.mixer.build import build
from gpts_data.mixer.format.layout import document_tables
from gpts_data.mixer.format.manifest_types import Manifest
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.readers.draw_order import draw_units
from gpts_data.pipelines.readers.reader import list_files, split_units
from tests.conftest import prose
from tests.support.datasets import rows, used_here, write
from tests.support.hub import Hub

YEARS = [str(year) for year in range(2013, 2025)]
GROUPS, GROUP = 24, 3  # row groups of a file, documents of a row group
SHARES = (0.06, 0.2, 0.7)
RECIPE = """
name = "years"
tokens = {tokens}
window = 32
unit = "{unit}"
[tokenizer]
vocab_size = 300
sample = "4kB"
[[source]]
name = "web"
weight = 1
{source}
[dedup]
minhash = false
[validation]
fraction = 0
"""
Build = Callable[..., Manifest]


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("years"), 20)


def write_files(folder: Path, n_words: int) -> Path:
    """Twelve files by year, in row groups of 3 documents, of `n_words` to twice as many each."""
    rng = random.Random(1)
    for year in YEARS:
        texts = [f"{year} {prose(rng, rng.randint(n_words, 2 * n_words))}" for _ in range(GROUPS * GROUP)]
        pq.write_table(pa.table({"text": texts}), folder / f"{year}.parquet", row_group_size=GROUP)
    return folder


def write_years(years: Path, name: str, tokens: int, unit: str = "500", more: str = "") -> Path:
    text = RECIPE.format(tokens=tokens, unit=unit, source='files = "*.parquet"')
    (years / f"{name}.toml").write_text(text + more, encoding="utf-8")
    return years / f"{name}.toml"


@pytest.fixture(scope="module")
def all_tokens(years: Path, mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Tokens of the whole source, from those of a small part."""
    recipe = load_recipe(write_years(years, "part", 3200))
    entry = build(recipe, years, tmp_path_factory.mktemp("part") / "mix", tokenizer=mix.tokenizer).manifest
    return 3200 * GROUPS * GROUP * len(YEARS) // entry["sources"]["web"]["documents"]


@pytest.fixture(scope="module")
def mixes(years: Path, all_tokens: int, mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> list[Mix]:
    """Mixes of 6%, 20% and 70% of the source. Their units are kept: a larger mix uses those of the smaller ones."""
    folder = tmp_path_factory.mktemp("mixes")
    built = []
    for share in SHARES:
        recipe = load_recipe(write_years(years, f"{share}", int(share * all_tokens)))
        out = folder / f"{share}"
        manifest = build(recipe, years, out, tokenizer=mix.tokenizer, keep_units=folder / "units").manifest
        built.append(Mix(out, manifest))
    return built


def documents(mix: Mix) -> list[tuple[str, str]]:
    """File and unit of each document of the mix, in stream order."""
    tables = [pq.read_table(mix.path / table["file"]) for table in document_tables(mix.manifest["files"], "web")]
    units = [unit for table in tables for unit in table.column("unit").to_pylist()]
    return [(unit.partition(".")[0], unit) for unit in units]


@pytest.mark.parametrize("number", range(len(SHARES)))
def test_documents_come_from_all_files_in_their_shares(mixes: list[Mix], number: int) -> None:
    """The files have equally many documents. A random sample of n units would miss each share by sqrt(n / 12) units."""
    counts = Counter(file for file, _ in documents(mixes[number]))
    assert sorted(counts) == YEARS
    n_units = counts.total() / GROUP
    error = max(abs(count / GROUP - n_units / len(YEARS)) for count in counts.values())
    assert error <= max((n_units / len(YEARS)) ** 0.5, 2)
    entry = mixes[number].manifest["sources"]["web"]
    assert (entry["files_read"], entry["files_total"]) == (12, 12)


def test_a_larger_budget_extends_a_smaller_one(mixes: list[Mix]) -> None:
    sequences = [list(dict.fromkeys(unit for _, unit in documents(mix))) for mix in mixes]
    for smaller, larger in zip(sequences, sequences[1:], strict=False):
        assert larger[: len(smaller)] == smaller


def test_a_units_text_is_not_read_again_for_another_draw(years: Path, mix: Mix, tmp_path: Path) -> None:
    """The unit does not depend on the draw: only units that the first draw did not read are prepared."""
    kept = tmp_path / "units"
    seeds = [load_recipe(write_years(years, f"seed{n}", 15_000, "4kB", f"[draw]\nseed = {n}")) for n in (1, 2)]
    first, other = (
        build(recipe, years, tmp_path / f"mix{n}", tokenizer=mix.tokenizer, keep_units=kept)
        for n, recipe in enumerate(seeds)
    )
    units = [
        set(unit for _, unit in documents(Mix(tmp_path / f"mix{n}", b.manifest))) for n, b in enumerate((first, other))
    ]
    assert units[0] != units[1]
    assert other.reused >= len(units[0] & units[1]) > 0
    assert first.manifest["root_digest"] != other.manifest["root_digest"]


def test_file_order_reads_the_first_files(years: Path, all_tokens: int, mix: Mix, tmp_path: Path) -> None:
    path = write_years(years, "file", all_tokens // 10, more='[draw]\norder = "file"')
    manifest = build(load_recipe(path), years, tmp_path / "mix", tokenizer=mix.tokenizer).manifest
    units = list(dict.fromkeys(unit for _, unit in documents(Mix(tmp_path / "mix", manifest))))
    source = load_recipe(path).source[0]
    listed = [unit.name for file in list_files(source, years).files for unit in split_units(source, file, 500)]
    assert units == listed[: len(units)]
    assert manifest["sources"]["web"]["files_read"] == 2
    shown = CliRunner().invoke(cli, ["inspect", str(tmp_path / "mix")]).output
    assert "web: text from 2 of 12 files" in shown


def test_units_too_large_for_the_budget_are_named_with_what_to_do(all_tokens: int, mix: Mix, tmp_path: Path) -> None:
    """A unit that is a whole file of 50 kB, not of 1 MB as the recipe allows: the mix reaches three of them."""
    path = write_years(write_files(tmp_path, 60), "large", 3 * all_tokens // 5, "1MB")

    def told(out: str) -> str:
        command = ["build-mix", "--recipe", str(path), "--out", str(tmp_path / out), "--tokenizer", str(mix.tokenizer)]
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 0, done.output
        return done.output

    assert "web (3 of 12 files)" in (output := told("large"))
    advised = output.partition('unit = "')[2].partition('"')[0]
    path.write_text(path.read_text(encoding="utf-8").replace('unit = "1MB"', f'unit = "{advised}"'), encoding="utf-8")
    assert "files" not in told("small").partition("root digest")[2]


def test_what_is_not_drawn_from_is_not_opened(tmp_path: Path) -> None:
    """Of 40 hub files those of the units that were read are opened, and the first one, for its columns. The tokenizer's
    sample fetches nothing more, and only the columns in use are served."""
    names = [f"{n:03d}.parquet" for n in range(40)]
    with Hub(tmp_path / "hub") as hub:
        folder = hub.folder("acme/web")
        for name in names:
            write(folder / name, rows(name, 60), width=64, group=10)
        (tmp_path / "recipe.toml").write_text(
            RECIPE.format(tokens=60_000, unit="2kB", source='dataset = "acme/web"\nid = "id"'), encoding="utf-8"
        )
        with used_here(hub, tmp_path / "home"):
            manifest = build(load_recipe(tmp_path / "recipe.toml"), tmp_path, tmp_path / "mix").manifest
        hub.total()  # waits until the bytes of the last requests are counted
        served = {Path(path).name: size for path, size in hub.served.items() if path.endswith(".parquet")}
    entry = manifest["sources"]["web"]
    assert 16 < entry["files_read"] < entry["files_total"] == 40
    assert len(served.keys() - {names[0]}) <= entry["files_read"]
    assert sum(served.values()) < 1.15 * needed(folder, tmp_path / "recipe.toml", manifest)


def needed(folder: Path, recipe_file: Path, manifest: Manifest) -> int:
    """Bytes of the text and id columns of the units that were read, and the footers of their files."""
    recipe: Any = load_recipe(recipe_file)
    source = recipe.source[0]
    local = [file for file in list_files(type(source)("web", 1, ("*.parquet",)), folder).files]
    n_bytes, n_read, opened = 0, 0, set()
    for unit in draw_units(local, lambda file: split_units(source, file, recipe.unit), recipe.draw, "web"):
        metadata = pq.read_metadata(folder / unit.file.name)
        groups = [metadata.row_group(i) for i in range(unit.start, unit.stop)]
        n_read += sum(group.num_rows for group in groups)
        chunks = [group.column(i) for group in groups for i in range(metadata.num_columns)]
        n_bytes += sum(c.total_compressed_size for c in chunks if c.path_in_schema in ("text", "id"))
        n_bytes += 0 if unit.file.name in opened else metadata.serialized_size
        opened.add(unit.file.name)
        if n_read >= manifest["waterfall"]["web"]["read"]:
            break
    assert n_read == manifest["waterfall"]["web"]["read"]
    return n_bytes


def test_workers_do_not_change_the_draw(mix: Mix, write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    """Three sources in three formats, spread; the tokenizer is trained on a sample that is spread too."""
    path = write_recipe(order="spread")
    digests = [
        build(load_recipe(path), path.parent, tmp_path / f"mix{n}", workers=workers).manifest["root_digest"]
        for n, workers in enumerate((1, 2))
    ]
    assert digests[0] == digests[1] != mix.manifest["root_digest"]
