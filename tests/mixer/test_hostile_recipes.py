"""A recipe of a stranger, or one with a slip of the keyboard: it is read, or refused by one short line, at once."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gpts_data.mixer.format.manifest import NAME
from gpts_data.mixer.plan import make_plan, refuse_short_sources
from gpts_data.mixer.recipe import load_recipe, resolved
from gpts_data.pipelines.dedup.signatures import signer
from gpts_data.pipelines.errors import DataError, RecipeError
from gpts_data.pipelines.filters.cleaner import get_cleaner
from tests.conftest import EXAMPLES

LINE = 1000  # characters of a message: one that fills the screen hides what it says
TEXT = "It was a bright cold day in April, and the clocks were striking thirteen.\n- One\n- Two\n" * 20
DOCUMENTS = pa.RecordBatch.from_pydict({"text": [TEXT, "One."], "id": ["a", "b"], "url": [None, None]})
BASE: dict[str, Any] = {
    "name": "r",
    "tokens": 64,
    "window": 16,
    "source": [{"name": "a", "weight": 1, "files": "a.jsonl"}],
    "decontaminate": {"benchmark": [{"name": "b", "columns": ["text"], "files": "a.jsonl"}]},
}
SOURCE = (
    "name weight files config split revision text id url integrity max_document_bytes max_damaged at_least license "
    "clean max_epochs"
)
CLEAN = "filters min_characters max_characters engine gopher_repetition gopher_quality fineweb_quality c4"
KEYS = [  # where a value is put into BASE
    "name tokens window seed unit shard_windows keep_dropped draw tokenizer source clean dedup decontaminate",
    "draw.order draw.seed tokenizer.vocab_size tokenizer.sample tokenizer.special",
    "validation validation.fraction validation.minimum packing packing.mode",
    "dedup.exact dedup.id dedup.url dedup.minhash",
    *(f"dedup.minhash.{key}" for key in ("ngrams", "buckets", "hashes_per_bucket", "jaccard")),
    *(f"source.0.{key}" for key in SOURCE.split()),
    *(f"{table}.{key}" for table in ("clean", "source.0.clean") for key in CLEAN.split()),
    "clean.gopher_repetition.top_n_grams clean.gopher_repetition.dup_n_grams clean.gopher_repetition.dup_line_frac",
    "clean.gopher_quality.min_doc_words clean.gopher_quality.max_avg_word_length clean.gopher_quality.stop_words",
    "clean.fineweb_quality.short_line_length clean.fineweb_quality.stop_chars clean.fineweb_quality.line_punct_thr",
    "source.0.at_least.text source.0.at_least.n source.0.dataset decontaminate.ngram decontaminate.max_documents",
    "stage stage.0 stage.0.until stage.0.weights stage.0.weights.a stage.0.weights.b",
    *(f"decontaminate.benchmark.0.{key}" for key in ("name", "columns", "files", "split", "config", "revision")),
]
NUMBERS = [0, -1, 1, 2, 255, 2**31, 2**32, 2**63 - 1, 2**63, 10**12, -(10**30), 10**400]
FLOATS = [float("nan"), float("inf"), -float("inf"), -0.0, 1e-320, 1e300, 0.1234567890123456]
STRINGS = [
    *("", " ", ".", "..", "/", "../a", "a/b", "a.jsonl", "*", "**", "**/*", "[", "{a,b}", "{,}" * 40, "~nobody/x", "~"),
    *("a\0b", "a\nb", "a\rb", "\x1b[2J", "\x9b2J", "\u202egnp", "\ud800", "\U0010ffff", "x" * 100_000, "9" * 5000),
    *("1e300", "9" * 30 + "T", "-1", "nan", "0x10", "64MB", "hf://", "hf://datasets/a/b", "file://", "//", "a://b"),
    *("source", "all", "spread", "sha256", "datatrove", "gopher_quality", "/dev/zero", "/dev/null", "/proc/self/fd"),
]
PLAIN = st.sampled_from([*NUMBERS, *FLOATS, *STRINGS, True, False]) | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(STRINGS) | st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)
CHANGES = st.lists(st.tuples(st.sampled_from(" ".join(KEYS).split()), VALUES), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("recipes")
    (home / "a.jsonl").write_text(json.dumps({"text": TEXT, "n": 1}) + "\n", encoding="utf-8")
    return home


def toml(value: Any) -> str:
    """A value as TOML writes it; NaN, infinity and control characters are allowed there."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool | str):
        return json.dumps(value)
    return hex(value) if isinstance(value, int) and value >= 10**400 else str(value)


def put(table: Any, path: list[str], value: Any) -> Any:
    """A copy of a table with the value at a path; what is on the way and no table becomes one."""
    head, *rest = path
    if head.isdigit():
        items = table if isinstance(table, list) and table else [{}]
        return [put(items[0], rest, value) if rest else value, *items[1:]]
    table = dict(table) if isinstance(table, dict) else {}
    return {**table, head: put(table.get(head), rest, value) if rest else value}


def write_changed(path: Path, changes: list[tuple[str, Any]]) -> None:
    """Write BASE with other values at dotted keys."""
    content = BASE
    for key, value in changes:
        content = put(content, key.split("."), value)
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in content.items()), encoding="utf-8")


def use(path: Path) -> None:
    """Read a recipe as `plan` does, as far as no network is needed, and apply it to two documents."""
    recipe = load_recipe(path)
    json.dumps(resolved(recipe), allow_nan=False)
    tables = [*recipe.source, *(recipe.decontaminate.benchmark if recipe.decontaminate else ())]
    if not any(table.dataset or any("://" in pattern for pattern in table.files) for table in tables):
        refuse_short_sources(make_plan(recipe, path.parent, path.parent / "mix", None, NAME))
    for source in recipe.source:
        get_cleaner(recipe.cleaning(source)).clean(DOCUMENTS)
        signer(recipe.dedup).sign(DOCUMENTS, source.name)


def refusal(path: Path) -> str:
    """The message by which a recipe is refused."""
    with pytest.raises((RecipeError, DataError)) as caught:
        use(path)
    message = str(caught.value)
    assert message and len(message) < LINE
    return message


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
@example(changes=[("source.0.files", "{a,b}" * 40)])
@example(changes=[("source", [1])])
@example(changes=[("clean.filters", ["gopher_repetition"]), ("clean.gopher_repetition.top_n_grams", [[10**9, 0.1]])])
def test_any_value_of_any_key_is_used_or_refused(changes: list[tuple[str, Any]], folder: Path) -> None:
    path = folder / "recipe.toml"
    write_changed(path, changes)
    try:
        use(path)
    except (RecipeError, DataError) as error:
        assert str(error) and len(str(error)) < LINE


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary() | st.text().map(str.encode))
def test_any_bytes_are_refused(content: bytes, folder: Path) -> None:
    (folder / "bytes.toml").write_bytes(content)
    refusal(folder / "bytes.toml")


REFUSED: dict[str, tuple[dict[str, Any] | str | bytes, str]] = {
    "5,000 digits": ("name = 'r'\nseed = " + "9" * 5000, "not valid TOML"),
    "5,000 digits in hexadecimal": ({"seed": 16**5000}, "seed is a number of 20001 bits, expected at most 64"),
    "brackets": ("a = " + "[" * 100_000, "nested too deeply|not valid TOML"),
    "tables": ("a = " + "{a = " * 100_000, "nested too deeply|not valid TOML"),
    "dots": (".".join("a" * 100_000) + " = 1", "nested too deeply"),
    "a long string": ({"source.0.id": "x" * 100_000}, r"source\[0\].id has 100,000 characters, expected at most 4,096"),
    "a long key": ('"' + "k" * 100_000 + '" = 1', "is too long"),
    "a control character": ({"source.0.url": "\x1b[2J"}, r"source\[0\].url = '\\x1b\[2J' has control characters"),
    "a control character in a key": ('"\\u001b" = 1', "the key '.x1b'.*control characters"),
    "a name of two lines": ({"name": "a\nb"}, r"name = 'a\\nb', expected 1 to 100 characters in one line"),
    "a name of nothing": ({"name": ""}, "name = '', expected 1 to 100"),
    "a source's name that is long": ({"source.0.name": "a" * 300}, "at most 100; it names files"),
    "the folder above": ({"source.0.name": ".."}, "it names files"),
    "not a number": ({"source.0.weight": float("nan")}, "weight = nan, expected a number"),
    "a weight without end": ({"source.0.weight": -float("inf")}, "weight = -inf, expected a number"),
    "a negative weight": ({"source.0.weight": -1}, "weight = -1, expected a number above 0"),
    "weights of many digits": (
        {
            "source": [
                {"name": name, "weight": weight, "files": "a.jsonl"} for name, weight in (("a", 1e18), ("b", 0.1))
            ]
        },
        "gives it no window|too many digits",
    ),
    "tokens of 300 digits": ({"tokens": 1e300}, r"tokens = 1e\+300, expected a quantity"),
    "windows without end": ({"tokens": "9e18", "window": 2}, "windows, expected at most 3,000,000,000|a quantity"),
    "a long window": ({"window": 10**12}, "window = 1000000000000, expected at least 2 and at most 1,048,576"),
    "a vocabulary of 10^12": ({"tokenizer.vocab_size": 10**12}, "vocab_size = 1000000000000, expected 257"),
    "no hash": ({"dedup.minhash.hashes_per_bucket": 0}, "hashes_per_bucket = 0, expected 1 to 10,000"),
    "many buckets": ({"dedup.minhash.buckets": 10**9}, "buckets = 1000000000, expected 1 to 10,000"),
    "many hashes": (
        {"dedup.minhash": {"buckets": 10_000, "hashes_per_bucket": 10_000}},
        "10,000 buckets of 10,000 hashes, expected at most 10,000 hashes in all",
    ),
    "n-grams of nothing": ({"dedup.minhash.ngrams": 0}, "ngrams = 0, expected 1 to 255 words"),
    "n-grams of a book": ({"dedup.minhash.ngrams": 10**9}, "ngrams = 1000000000, expected 1 to 255 words"),
    "a source that is no table": ({"source": [1]}, r"source\[0\] = 1, expected a table"),
    "true for a number": ({"tokens": True}, "tokens = True, expected a quantity"),
    "no files": ({"source.0.files": []}, "expected files = or dataset =, found neither"),
    "braces": ({"source.0.files": "{a,b}" * 40}, "its braces make more than 10,000 patterns"),
    "the state of all processes": ({"source.0.files": "/proc/**/*"}, "what the kernel shows"),
    "a device": ({"source.0.files": "/dev/zero"}, "what the kernel shows"),
    "UTF-16": ("name = 'r'".encode("utf-16"), "not valid TOML"),
    "random bytes": (bytes(range(256)), "not valid TOML"),
    "nothing": ("", "name is missing"),
    "a large file": ("#" * 1_000_001, "1,000,001 bytes, expected a TOML file of at most 1,000,000"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_these_recipes_are_refused(case: str, folder: Path) -> None:
    content, message = REFUSED[case]
    path = folder / "refused.toml"
    if isinstance(content, dict):
        write_changed(path, list(content.items()))
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert re.search(message, refusal(path))


def folder_at(path: Path) -> None:
    path.mkdir()


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (folder_at, "is a folder"),
        (os.mkfifo, "is no regular file"),
        (link_to_itself, "cannot be read"),
        (lambda path: path.symlink_to("/dev/zero"), "is no regular file"),
        (lambda path: None, "no such recipe"),
    ],
)
def test_what_is_no_file_is_no_recipe(make: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    make(tmp_path / "recipe.toml")
    assert message in refusal(tmp_path / "recipe.toml")


def test_a_byte_order_mark_and_line_ends_of_windows_are_read(folder: Path) -> None:
    path = folder / "windows.toml"
    write_changed(path, [])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_recipe(path).names == ("a",)
