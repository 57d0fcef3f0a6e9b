"""The report: sums that add up, texts on one side, smaller vocabularies that are the larger one's beginning."""

from __future__ import annotations

import json
import random
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tokenizers import Tokenizer

from gpts_data.pipelines.errors import DataError
from gpts_data.tokenizer import artifact
from gpts_data.tokenizer import fit_report as reporting
from gpts_data.tokenizer.bpe import train_bpe
from gpts_data.tokenizer.fit_report import report, split_held_out, truncate_vocabulary
from gpts_data.tokenizer.report_chart import draw_report
from tests.conftest import prose

WEIGHTS = {"web": 3.0, "books": 1.0}


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    rng = random.Random(21)
    return {name: [prose(rng, 60) for _ in range(120)] for name in WEIGHTS}


@pytest.fixture
def folder(texts: dict[str, list[str]], tmp_path: Path) -> Path:
    artifact.save(train_bpe([texts["web"]], 400).to_str(), tmp_path / "one", 64)
    return tmp_path / "one"


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "SIZES", (300, 350, 60_000))


def test_bytes_per_token_are_those_of_the_texts_held_out(texts: dict[str, list[str]], folder: Path) -> None:
    facts = report(folder, texts, WEIGHTS, [folder])
    _, held = split_held_out(texts)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = {name: [i for text in some for i in tokenizer.encode(text).ids] for name, some in held.items()}
    for name, some in held.items():
        size = len("".join(some).encode())
        assert facts["held_out_bytes"][name] == size
        assert facts["bytes_per_token"][name] == pytest.approx(size / len(ids[name]))
    rates = facts["bytes_per_token"]
    assert facts["by_weight"] == pytest.approx(4 / (3 / rates["web"] + 1 / rates["books"]))
    used = set(ids["web"]) | set(ids["books"])
    assert facts["never_used"] == pytest.approx(1 - len(used) / 399)
    single = sum(len(tokenizer.id_to_token(i) or "") == 1 for some in ids.values() for i in some)
    assert facts["single_bytes"] == pytest.approx(single / sum(map(len, ids.values())))
    assert list(facts["beside"]) == ["300", "350", "one"]
    assert facts["beside"]["one"]["bytes_per_token"] == rates
    assert facts["beside"]["300"]["by_weight"] < facts["beside"]["350"]["by_weight"]
    assert json.loads(json.dumps(facts)) == facts


def test_a_smaller_vocabulary_is_the_beginning_of_a_larger(texts: dict[str, list[str]]) -> None:
    large = train_bpe([texts["books"]], 400).to_str()
    small = truncate_vocabulary(large, 330)
    assert small is not None
    wanted = Tokenizer.from_str(train_bpe([texts["books"]], 330).to_str())
    assert Tokenizer.from_str(small).to_str() == wanted.to_str()
    assert truncate_vocabulary(large, 401) is None


def test_equal_texts_are_on_one_side(texts: dict[str, list[str]]) -> None:
    training, held = split_held_out({"web": texts["web"] * 2})
    assert not set(training["web"]) & set(held["web"])
    assert len(training["web"]) + len(held["web"]) == 240


def test_a_source_too_small_to_measure_on_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"source 'web': none of 0 sampled documents is held out"):
        report(folder, {"web": []}, {"web": 1.0})


def test_the_embedding_share_is_that_of_the_model() -> None:
    from gpts_data.validation.model.model import GPTS, GPTSConfig

    model = GPTS(GPTSConfig())
    assert model.parameter_count() == reporting.BODY + 4096 * reporting.WIDTH


def test_the_picture_shows_each_figure(texts: dict[str, list[str]], folder: Path) -> None:
    names = {name: f"{name} & <co>" for name in texts}
    facts = report(folder, {names[n]: some for n, some in texts.items()}, {names[n]: w for n, w in WEIGHTS.items()})
    words = "\n".join(ElementTree.fromstring(draw_report(facts, "svg")).itertext())
    for row in (facts, *facts["beside"].values()):
        for rate in (*row["bytes_per_token"].values(), row["by_weight"]):
            assert f"{rate:.3f}" in words
    assert names["web"] in words
    assert draw_report(facts, "svg") == draw_report(facts, "svg")
    assert draw_report(facts, "png").startswith(b"\x89PNG")
