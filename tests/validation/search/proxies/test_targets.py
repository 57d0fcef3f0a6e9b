"""Targets: what may be named, and which ids of their texts are measured."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path

import numpy as np
import pytest

from gpts_data.pipelines.errors import UsageError
from gpts_data.tokenizer.encode import Encoder
from gpts_data.validation.search.proxies.pool import Pool, spaced
from gpts_data.validation.search.proxies.targets import (
    SOURCE,
    TEXT,
    Rows,
    Target,
    log_size,
    parse_targets,
    question_rows,
    target_rows,
)
from tests.validation.search.proxies.conftest import Searched

NAMES = ("web", "books")


@pytest.fixture(scope="module")
def encoder(searched: Searched) -> Encoder:
    return Encoder(searched.out / "tokenizer")


@pytest.fixture
def pool(searched: Searched) -> Pool:
    return Pool(searched.out / "pool", ("web", "books", "notes"), 64, (), (), "")


def test_sources_files_and_weights(tmp_path: Path) -> None:
    essays, odd = tmp_path / "essays.jsonl", tmp_path / "a=2.txt"
    for path in (essays, odd):
        path.write_text("{}", encoding="utf-8")
    assert parse_targets(["books=2.5", f"{essays}=0.5", str(odd)], NAMES) == (
        Target("books", SOURCE, 2.5),
        Target("essays", TEXT, 0.5, essays),
        Target("a=2", TEXT, 1.0, odd),
    )


def test_without_targets_each_source_counts_the_same() -> None:
    assert parse_targets([], NAMES) == (Target("web", SOURCE, 1.0), Target("books", SOURCE, 1.0))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["boks"], "no source has this name; did you mean books?"),
        (["books=0"], "weight 0, expected a number above 0"),
        (["books=x"], "'x' is not a weight"),
        (["books", "books=2"], "two targets are called 'books'"),
    ],
)
def test_other_targets_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        parse_targets(texts, NAMES)


def test_a_file_is_measured_in_whole_windows_from_all_over_it(tmp_path: Path, pool: Pool, encoder: Encoder) -> None:
    texts = [f"text {i} of many, with a few words" for i in range(200)]
    path = tmp_path / "essays[1].jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    ids, _ = encoder.encode(texts)
    rows = target_rows(Target("essays", TEXT, 1.0, path), pool, encoder, 5 * 64)
    assert (rows.ids == ids[: len(ids) // 64 * 64].reshape(-1, 64)[spaced(len(ids) // 64, 5)]).all()
    assert (rows.counted == (np.arange(64) > 0)).all()


def test_a_short_text_is_padded_and_the_padding_is_not_counted(tmp_path: Path, pool: Pool, encoder: Encoder) -> None:
    path = tmp_path / "note.txt"
    path.write_text("a short note", encoding="utf-8")
    ids, _ = encoder.encode(["a short note"])
    rows = target_rows(Target("note", TEXT, 1.0, path), pool, encoder, 1000)
    assert rows.ids[rows.counted].tolist() == ids[1:].tolist()
    assert rows.ids.shape == (1, 64)


def test_of_a_question_the_answer_alone_is_counted(encoder: Encoder) -> None:
    questions = [("Question: what\nAnswer:", " this"), ("Question: " + "long " * 100 + "\nAnswer:", " that one")]
    rows = question_rows(questions, encoder, 64, 1000)
    assert [encoder.decode(ids[counted]) for ids, counted in zip(rows.ids, rows.counted, strict=True)] == [
        " this",
        " that one",
    ]
    assert rows.ids.shape == (2, 64)
    assert rows.ids[0, 0] == encoder.eos_id


def test_the_size_of_a_target_is_told_and_too_little_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gpts_data")
    for count, messages in ((8, 1), (1, 2)):
        caplog.clear()
        ids = np.zeros((count, 64), np.uint16)
        log_size(Target("books", SOURCE, 1.0), Rows(ids, ids == 0))
        assert f"target books: {count} window" in caplog.messages[0]
        assert len(caplog.messages) == messages
    assert "fewer than 8" in caplog.messages[1] and caplog.records[1].levelname == "WARNING"


def test_targets_without_text_are_refused(tmp_path: Path, pool: Pool, encoder: Encoder) -> None:
    for name, content in (("empty.txt", ""), ("blank.jsonl", '{"text": ""}\n')):
        (tmp_path / name).write_text(content, encoding="utf-8")
        with pytest.raises(UsageError, match=r"--target .*: no text in it"):
            target_rows(Target("x", TEXT, 1.0, tmp_path / name), pool, encoder, 1000)
    for name, content in (("cut.jsonl", b'{"text": "words"}\n{"text'), ("piqa_train.jsonl.gz", gzip.compress(b"{}\n"))):
        (tmp_path / name).write_bytes(content)
        [target] = parse_targets([str(tmp_path / name)], NAMES)
        with pytest.raises(UsageError, match=f"--target {tmp_path / name}"):  # exit code 2: 3 says that weights stay
            target_rows(target, pool, encoder, 1000)
    with pytest.raises(UsageError, match="no column 'text'"):
        path = tmp_path / "other.jsonl"
        path.write_text('{"body": "words"}\n', encoding="utf-8")
        target_rows(Target("x", TEXT, 1.0, path), pool, encoder, 1000)


def test_questions_are_read_from_a_file(tmp_path: Path, pool: Pool, encoder: Encoder) -> None:
    row = {"goal": "Cut bread", "sol1": "with a spoon", "sol2": "with a knife", "label": 1}
    path = tmp_path / "piqa_train.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row).encode() + b"\n"))
    [target] = parse_targets([str(path)], NAMES)
    rows = target_rows(target, pool, encoder, 1000)
    assert (target.name, encoder.decode(rows.ids[rows.counted])) == ("piqa_train", " with a knife")
