"""Each reason has a sentence with the threshold of the recipe."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest

from gpts_data.mixer.format.mix import Mix
from gpts_data.validation.report.reasons import describe_reason

DOCS = Path(__file__).parents[3] / "docs/cleaning.md"
SOURCE = {"name": "web", "files": ["web.jsonl"], "weight": 1}


def described(reason: str, **tables: Any) -> str:
    """The sentence for a reason of a mix with one source."""
    recipe = {
        "source": [{**SOURCE, **tables.pop("source", {})}],
        "clean": {"filters": ["gopher_quality", "gopher_repetition", "fineweb_quality", "c4"]},
        "dedup": {"minhash": {"ngrams": 5, "jaccard": 0.5}},
        **tables,
    }
    content: Any = {"recipe": recipe, "sources": {"web": {"revision": None}}}
    content["waterfall"] = {"web": {"dropped": {reason: 1}}}
    return describe_reason(Mix(Path("mix"), cast(Any, content)), reason)


@pytest.mark.parametrize(
    ("reason", "clean", "sentence"),
    [
        ("gopher_short_doc", {}, "has fewer than 50 words"),
        ("gopher_long_doc", {}, "has more than 100,000 words"),
        ("gopher_too_many_hashes", {}, "has more than one # per 10 words"),
        ("gopher_below_alpha_threshold", {}, "fewer than 80% of its words have a letter"),
        ("line_punct_ratio", {}, "fewer than 12% of its lines end with sentence punctuation"),
        ("short_line_ratio", {}, "more than 67% of its lines have 30 characters or fewer"),
        ("top_3_gram", {}, "its most frequent 3-gram holds more than 18% of its characters"),
        ("duplicated_10_n_grams", {}, "repeated 10-grams hold more than 10% of its characters"),
        ("gopher_short_doc", {"thresholds": {"gopher_quality": {"min_doc_words": 7}}}, "has fewer than 7 words"),
        ("too_long", {"max_characters": 5000}, "has more than 5,000 characters"),
    ],
)
def test_sentences_have_the_thresholds_of_the_recipe(reason: str, clean: dict[str, Any], sentence: str) -> None:
    filters = ["gopher_quality", "gopher_repetition", "fineweb_quality"]
    assert described(reason, clean={"filters": filters, **clean}) == sentence


def test_every_reason_of_the_documentation_has_a_sentence() -> None:
    table = DOCS.read_text(encoding="utf-8").split("| reason |")[1].split("\n\n")[0]
    reasons = re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:]))
    assert len(reasons) > 35
    scores = {"at_least": {"int_score": 3.0}, "below": {"int_score": 5.0}}
    for reason in reasons:
        sentence = described(reason, source=scores, clean={"filters": ["c4"], "max_characters": 9, "min_characters": 1})
        assert sentence != reason.replace("_", " ") and "{" not in sentence, reason


def test_a_score_and_similarity_name_their_limit() -> None:
    assert described("low_int_score", source={"at_least": {"int_score": 3.0}}) == "its int_score is below 3"
    assert "Jaccard similarity of at least 0.5" in described("near_duplicate")
