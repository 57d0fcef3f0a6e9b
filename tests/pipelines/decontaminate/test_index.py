"""Every planted question is found, nothing else is; the guard is the rule in plain Python, in canonical order."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.pipelines.decontaminate.benchmarks import Benchmark, list_benchmark, read_items
from gpts_data.pipelines.decontaminate.index import (
    BoilerplateGuard,
    Decontaminate,
    benchmark_numbers,
    build_index,
    check_decontaminate,
    get_matcher,
    origins,
)
from gpts_data.pipelines.decontaminate.ngram_matcher import MIN_WORDS, NgramMatcher, build_ngrams, text_of
from gpts_data.pipelines.errors import DataError, RecipeError
from gpts_data.pipelines.hub.remote_file import FetchOptions
from tests.conftest import prose

QUESTION = "Why do the 12 red foxes of Mrs. Smith's café always sleep under a very old oak tree at 3,400 feet?"
SHORT = "Nine quick words are a text of its own"
RNG = random.Random(5)
CLEAN = [prose(RNG, 300) for _ in range(50)]


def planted(text: str) -> dict[str, str]:
    clean = CLEAN[0]
    return {
        "at the start": f"{text} {clean}",
        "in the middle": f"{clean[:500]} {text}\n{clean[500:]}",
        "at the end": f"{clean} {text}",
        "alone": text,
        "in capitals": f"{clean} {text.upper()} {clean}",
        "without accents": f"{clean} {text.replace('é', 'e')} {clean}",
        "with other punctuation": f"{clean} «{text.replace(' ', ' -- ').replace('?', '!').replace(',', '.')}» {clean}",
        "over lines": f"{clean}\n\n{text.replace(' ', chr(10))}\r\n{clean}",
        "with other spaces": f"{clean} {text.replace(' ', chr(0xA0))} {clean}",
    }


def found(texts: list[str], documents: list[str], n: int = 13) -> list[list[int]]:
    matches: list[list[int]] = NgramMatcher(build_ngrams(pa.array(texts), n), n).find(pa.array(documents)).to_pylist()
    return matches


@pytest.mark.parametrize("text", [QUESTION, SHORT], ids=["long", "short"])
@pytest.mark.parametrize("how", planted(QUESTION))
def test_a_planted_question_is_found(text: str, how: str) -> None:
    (matches,) = found([*CLEAN[1:], QUESTION, SHORT], [planted(text)[how]])
    ngrams = build_ngrams(pa.array([*CLEAN[1:], QUESTION, SHORT]), 13)
    assert matches
    assert {int(ngrams.texts[number]) for number in matches} == {len(CLEAN) - 1 + (text == SHORT)}


def test_thirteen_words_of_it_are_enough_and_twelve_are_not() -> None:
    words = QUESTION.split()
    assert found([QUESTION], [" ".join(words[3:16])]) != [[]]
    assert found([QUESTION], [" ".join(words[3:14]), " ".join([*words[3:14], "new", *words[14:18]])]) == [[], []]


def test_nothing_in_clean_text() -> None:
    assert found([QUESTION, SHORT], [*CLEAN, "", "one word"]) == [[]] * (len(CLEAN) + 2)


def test_digits_count() -> None:
    text = "add 12 to 30 and then 400 to 5 and then take away 7"
    same, *others = found([text], [text, text.replace("12", "13"), text.replace("400", "40")])
    assert sorted(same) == [0, 1] and others == [[], []]


def test_texts_of_few_words_are_not_looked_for() -> None:
    words = SHORT.split()
    assert len(build_ngrams(pa.array([" ".join(words[: MIN_WORDS - 1]), None, ""]), 13).hashes) == 0
    assert build_ngrams(pa.array([" ".join(words[:MIN_WORDS]), SHORT]), 13).lengths.tolist() in ([8, 9], [9, 8])


WORDS = st.lists(st.sampled_from(["a", "b", "É", "7"]), max_size=16).map(" ".join)


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    words = text.split()
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, max_size=4), st.integers(1, 12))
def test_found_is_what_plain_python_finds(texts: list[str], documents: list[str], n: int) -> None:
    """With few different words, so that n-grams recur: each once, in the order of the document."""

    table = build_ngrams(pa.array(texts), n)
    spelled = [
        tuple(text_of(texts[t], s, c).split())
        for t, s, c in zip(table.texts.tolist(), table.starts.tolist(), table.lengths.tolist(), strict=True)
    ]
    lengths = {text: min(len(text.split()), n) for text in texts}
    wanted = {g for text, length in lengths.items() if length >= min(n, MIN_WORDS) for g in ngrams(text, length)}
    assert sorted(spelled) == sorted(wanted)
    finds = NgramMatcher(table, n).find(pa.array(documents, pa.string())).to_pylist()
    for row, document in zip(finds, documents, strict=True):
        here = [ngram for i in range(16) for ngram in ngrams(document, i + 1)]
        assert sorted(spelled[i] for i in row) == sorted({ngram for ngram in here if ngram in wanted})


MATCHES = st.lists(st.lists(st.integers(0, 5), max_size=4, unique=True), max_size=40)


def judged(guard: BoilerplateGuard, rows: list[list[int]]) -> list[int]:
    verdicts: list[int] = guard.judge(pa.array(rows, pa.list_(pa.uint32()))).tolist()
    return verdicts


def plainly(rows: list[list[int]], most: int) -> list[int]:
    had: dict[int, int] = {}
    verdicts = []
    for row in rows:
        verdicts.append(next((ngram for ngram in row if had.get(ngram, 0) < most), -1))
        for ngram in row:
            had[ngram] = had.get(ngram, 0) + 1
    return verdicts


@given(MATCHES, st.integers(1, 4), st.integers(1, 7))
def test_the_guard_is_the_rule_in_plain_python_whatever_the_batches(rows: list[list[int]], most: int, cut: int) -> None:
    guard = BoilerplateGuard(most)
    batches = [judged(guard, rows[i : i + cut]) for i in range(0, len(rows), cut)]
    assert [verdict for batch in batches for verdict in batch] == plainly(rows, most)


@given(MATCHES, MATCHES, MATCHES, st.integers(1, 4))
def test_documents_over_budget_leave_no_trace(
    one: list[list[int]], over: list[list[int]], other: list[list[int]], most: int
) -> None:
    guard = BoilerplateGuard(most)
    judged(guard, one)
    matches = pa.array([*one, *over], pa.list_(pa.uint32()))
    guard.judge(matches)
    guard.undo(matches, np.arange(len(matches)) >= len(one))
    assert judged(guard, other) == plainly([*one, *one, *other], most)[2 * len(one) :]


def test_boilerplate_is_kept_after_so_many_documents() -> None:
    assert judged(BoilerplateGuard(10), [[3]] * 12 + [[3, 4]]) == [3] * 10 + [-1, -1, 4]


ITEMS = [
    {"id": 1, "question": "a" * 3, "choices": {"text": ["b", "c"], "label": ["A", "B"]}, "answer": 1, "none": None},
    {"id": 2, "question": "é", "choices": {"text": [], "label": []}, "answer": 2, "none": None},
]


def write(folder: Path, suffix: str, rows: list[dict[str, object]] = ITEMS) -> str:
    path = folder / f"items{suffix}"
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(gzip.compress(lines) if suffix.endswith(".gz") else lines)
    return path.name


def texts(folder: Path, file: str, *columns: str) -> list[list[str]]:
    benchmark = Benchmark("b", columns, (file,))
    return [
        item.texts for item in read_items(benchmark, list_benchmark(benchmark, folder, FetchOptions()), FetchOptions())
    ]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".jsonl.gz"])
def test_columns_are_strings_lists_dotted_paths_and_joins(suffix: str, tmp_path: Path) -> None:
    file = write(tmp_path, suffix)
    assert texts(tmp_path, file, "question", "choices.text", "none") == [["aaa", "b", "c"], ["é"]]
    assert texts(tmp_path, file, "question + choices.text") == [["aaa b", "aaa c"], []]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            ["qestion"],
            r"benchmark 'b': no column 'qestion' in items.jsonl:0; found answer, choices, id, none, question",
        ),
        (["choices.txt"], r"no column 'choices.txt'"),
        (["question.text"], r"no column 'question.text'"),
        (["answer"], r"column 'answer' in items.jsonl:0 holds int, expected strings or lists of strings"),
        (["choices"], r"holds dict"),
    ],
)
def test_columns_that_hold_no_text_are_refused(columns: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        texts(tmp_path, write(tmp_path, ".jsonl"), *columns)


CUT = gzip.compress(b'{"a": "b"}\n', mtime=0)[:-9]  # no clock: each process of the suite must collect the same names


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", b'{"a": "b"}\nno json\n', r"x.jsonl: row 1 is not JSON"),
        ("x.jsonl", b"[1]\n", r"row 0 is not a JSON object"),
        ("x.jsonl.gz", CUT, r"x.jsonl.gz: cannot be decompressed \(cut_frame\)"),
        ("x.parquet", b"PAR1 but no more", r"x.parquet: not readable as parquet"),
        ("x.PQ", b"PAR1 but no more", r"x.PQ: not readable as parquet"),
        ("x.json", b'[{"a": "b"}', r"x.json: the array is not JSON"),
    ],
)
def test_damaged_files_are_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        texts(tmp_path, name, "a")


def test_a_json_array_is_read_and_other_kinds_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf [{"a": "b"},\n {"a": "c"}]\n')
    (tmp_path / "x.csv").write_text("a\nb\n", encoding="utf-8")
    assert texts(tmp_path, "x.json", "a") == [["b"], ["c"]]
    with pytest.raises(RecipeError, match=r"x\.csv: cannot search for its texts; expected a benchmark as \.parquet"):
        texts(tmp_path, "x.csv", "a")


def test_more_benchmarks_than_outcomes_are_refused() -> None:
    config = Decontaminate(tuple(Benchmark(f"b{i}", ("q",), ("x.jsonl",)) for i in range(10_001)))
    with pytest.raises(RecipeError, match="10,001 benchmarks, expected at most 10,000"):
        check_decontaminate(config)


def test_a_glob_without_files(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="benchmark 'b': files = 'none.*' matches nothing under"):
        texts(tmp_path, "none*", "a")


def test_the_index_names_every_ngram_and_counts_each_item_once(tmp_path: Path) -> None:
    write(tmp_path, "1.jsonl", [{"q": QUESTION}, {"q": "few words"}, {"q": SHORT}])
    write(tmp_path, "2.jsonl", [{"q": [SHORT, CLEAN[0]]}])
    wanted = Decontaminate((Benchmark("one", ("q",), ("items1.jsonl",)), Benchmark("two", ("q",), ("items2.jsonl",))))
    check_decontaminate(wanted)
    listings = [list_benchmark(benchmark, tmp_path, FetchOptions()) for benchmark in wanted.benchmark]
    facts = build_index(wanted, listings, tmp_path / "index", "k", FetchOptions())
    long = len(QUESTION.split()) + 2  # Smith's and 3,400 are two words each
    assert facts == {
        "one": {"items": 3, "searched": 2, "ngrams": long - 12 + 1},
        "two": {"items": 1, "searched": 1, "ngrams": 300 - 12},
    }
    (matches,) = get_matcher(tmp_path / "index", 13).find(pa.array([f"{CLEAN[1]} {QUESTION} {SHORT}"])).to_pylist()
    named = origins(wanted, tmp_path / "index", matches)
    assert [(origin.benchmark, origin.item) for origin in named] == [("one", "items1.jsonl:0")] * (long - 12) + [
        ("one", "items1.jsonl:2")
    ]
    assert named[0].ngram == "Why do the 12 red foxes of Mrs. Smith's café always sleep"
    assert named[-1].ngram == SHORT
    assert np.bincount(benchmark_numbers(tmp_path / "index")).tolist() == [
        facts["one"]["ngrams"],
        facts["two"]["ngrams"],
    ]
    assert origins(wanted, tmp_path / "index", []) == []
    assert build_index(wanted, [], tmp_path / "index", "k", FetchOptions()) == facts


def test_a_benchmark_without_anything_to_look_for(tmp_path: Path) -> None:
    write(tmp_path, ".jsonl", [{"q": "20 + -13 ="}])
    wanted = Decontaminate((Benchmark("sums", ("q",), ("items.jsonl",)),))
    listings = [list_benchmark(wanted.benchmark[0], tmp_path, FetchOptions())]
    with pytest.raises(RecipeError, match="benchmark 'sums': nothing to look for: of its 1 items, none .* 8 words"):
        build_index(wanted, listings, tmp_path / "index", "k", FetchOptions())
