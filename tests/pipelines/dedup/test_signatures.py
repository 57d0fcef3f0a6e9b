"""Keys: the same for the same document, none for what is not there; what they drop, datatrove drops."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
from datatrove.utils.text import TextNormConfig
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpts_data.pipelines.dedup.greedy import TRAIN, decide
from gpts_data.pipelines.dedup.signatures import FIRST_BAND, ID, REASONS, TEXT, URL, Dedup, MinHash, signer
from tests.conftest import prose

ROWS = [prose(random.Random(i), 5 + 17 * i % 90) for i in range(40)]
EDITED = [
    ROWS[7] + " Read more.",
    ROWS[7].upper(),
    ROWS[9].replace(" ", "  "),
    ROWS[9].replace(".", "!"),
    "four words are short",
]
TEXTS = ROWS + EDITED

KEYS = """
import pyarrow as pa
from gpts_data.pipelines.dedup.signatures import Dedup, signer
batch = pa.RecordBatch.from_pylist([{"text": "a b c d e f g", "id": "1", "url": "u"}])
print(signer(Dedup()).sign(batch, "web").tolist())
"""


def batch(
    texts: list[str], ids: list[str | None] | None = None, urls: list[str | None] | None = None
) -> pa.RecordBatch:
    nothing: list[str | None] = [None] * len(texts)
    columns = [pa.array(column, pa.string()) for column in (texts, ids or nothing, urls or nothing)]
    return pa.RecordBatch.from_arrays(columns, names=["text", "id", "url"])


@pytest.fixture(scope="module")
def bands() -> NDArray[np.uint64]:
    return signer(Dedup()).sign(batch(TEXTS), "web")[:, FIRST_BAND:]


def test_a_key_is_the_same_in_every_process() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    there = subprocess.run(
        [sys.executable, "-c", KEYS], env=environment, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    here = signer(Dedup()).sign(batch(["a b c d e f g"], ["1"], ["u"]), "web")
    assert there.stdout == f"{here.tolist()}\n"


def test_columns_do_not_mix() -> None:
    keys = signer(Dedup(minhash=None)).sign(batch(["same"], ["same"], ["same"]), "same")
    assert keys.shape == (1, FIRST_BAND)
    assert len(set(keys[0].tolist())) == 3


def test_the_text_key_takes_runs_of_whitespace_as_one() -> None:
    keys = signer(Dedup(minhash=None)).sign(batch([" a\n\nb ", "a b", "a\xa0b", "ab", "a B", " \n"]), "web")[:, TEXT]
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys.tolist())) == 4
    assert keys[5] == 0


def test_id_and_url_keys() -> None:
    keys = signer(Dedup(minhash=None)).sign(batch(["a", "b", "c"], ["1", "1", None], ["u", None, ""]), "web")
    assert keys[0, ID] == keys[1, ID] != 0
    assert keys[2, ID] == keys[1, URL] == keys[2, URL] == 0
    assert keys[0, URL] != 0


@pytest.mark.parametrize(
    ("dedup", "columns"),
    [
        (Dedup(exact=False), [ID, URL, *range(FIRST_BAND, FIRST_BAND + 14)]),
        (Dedup(id=None), [TEXT, URL, *range(FIRST_BAND, FIRST_BAND + 14)]),
        (Dedup(url=False), [TEXT, ID, *range(FIRST_BAND, FIRST_BAND + 14)]),
        (Dedup(minhash=None), [TEXT, ID, URL]),
        (Dedup(minhash=MinHash(ngrams=2, buckets=3, hashes_per_bucket=2)), range(6)),
    ],
)
def test_what_is_switched_off_has_no_key(dedup: Dedup, columns: list[int]) -> None:
    keys = signer(dedup).sign(batch([ROWS[5]], ["1"], ["u"]), "web")
    assert keys.shape == (1, dedup.n_keys)
    assert np.flatnonzero(keys[0]).tolist() == list(columns)


def test_keys_do_not_depend_on_the_batch(bands: NDArray[np.uint64]) -> None:
    for row in (0, 7, 20, len(TEXTS) - 1):
        assert (signer(Dedup()).sign(batch(TEXTS[row : row + 1]), "web")[0, FIRST_BAND:] == bands[row]).all()


def kept(keys: NDArray[np.uint64]) -> list[bool]:
    n = len(keys)
    return (decide(keys, np.ones(n, np.uint32), np.zeros(n, np.bool_), n + 1).codes == TRAIN).tolist()


def datatroves(texts: list[str]) -> NDArray[np.uint64]:
    """datatrove's own signatures of words with their digits, one key per band; 0 for a text shorter than one n-gram."""
    config = MinhashConfig(norm_config=TextNormConfig(norm_numbers=False))
    step, keys = MinhashDedupSignature("memory://test", config), np.zeros((len(texts), 14), np.uint64)
    for row, text in enumerate(texts):
        if (shingles := step.get_shingles(text)).size:
            keys[row] = [hash((i, *band)) & (1 << 64) - 1 for i, band in enumerate(step.get_signature(shingles))]
    return keys


def test_decisions_are_datatroves_where_chance_has_no_say() -> None:
    """Copies that differ in case, accents, punctuation and spacing, each text after its original."""
    changes: list[Callable[[str], str]] = [
        str.upper,
        str.title,
        lambda text: text.replace(" ", " \n"),
        lambda text: text.replace(".", " !?"),
        lambda text: text.replace("a", "\xe1"),
        lambda text: f"\u201c{text}\u201d",
    ]
    originals = [f"{text} at 7 o'clock" for text in ROWS]
    texts = originals + [changes[i % len(changes)](text) for i, text in enumerate(originals)]
    ours = kept(signer(Dedup()).sign(batch(texts), "web")[:, FIRST_BAND:])
    assert ours == kept(datatroves(texts)) == [True] * len(ROWS) + [False] * len(ROWS)


def test_what_is_dropped_is_about_what_datatrove_drops() -> None:
    """Random exchanges of words: each method misses by chance, so their counts agree within three deviations."""
    rng, texts = random.Random(5), []
    for _ in range(150):
        words = prose(rng, 120).split()
        texts.append(" ".join(words))
        for i in rng.sample(range(len(words)), 4):
            words[i] = "exchanged"
        texts.append(" ".join(words))
    ours, theirs = kept(signer(Dedup()).sign(batch(texts), "web")[:, FIRST_BAND:]), kept(datatroves(texts))
    assert all(ours[::2]) and all(theirs[::2])
    assert 75 < ours.count(False) < 150
    assert abs(ours.count(False) - theirs.count(False)) < 3 * np.sqrt(2 * 150 / 4)


@given(st.lists(st.tuples(*[st.none() | st.text(max_size=40)] * 2, st.text(max_size=40)), max_size=8), st.data())
def test_keys_do_not_depend_on_order_and_batches(rows: list[tuple[str, str, str]], data: st.DataObject) -> None:
    signs, order = signer(Dedup(minhash=MinHash(ngrams=2))), data.draw(st.permutations(range(len(rows))))
    ids, urls, texts = ([row[i] for row in rows] for i in range(3))
    whole = batch(texts, ids, urls)
    shuffled = batch([texts[i] for i in order], [ids[i] for i in order], [urls[i] for i in order])

    def sign(documents: pa.RecordBatch) -> NDArray[np.uint64]:
        return signs.sign(documents, "web")

    assert (sign(shuffled) == sign(whole)[list(order)]).all()
    cut = data.draw(st.integers(0, len(rows)))
    assert (np.concatenate([sign(whole.slice(0, cut)), sign(whole.slice(cut))]) == sign(whole)).all()


def test_no_two_buckets_share_a_key(bands: NDArray[np.uint64]) -> None:
    columns = [set(column[column != 0].tolist()) for column in bands.T]
    assert len(set.union(*columns)) == sum(map(len, columns))


def test_a_lightly_edited_copy_shares_a_band_and_another_text_none(bands: NDArray[np.uint64]) -> None:
    edited = dict(zip(range(len(ROWS), len(TEXTS)), (7, 7, 9, 9), strict=False))
    for copy, original in edited.items():
        assert (bands[copy] == bands[original]).any()
    full = bands[10:30]
    assert all(len(set(column.tolist())) == 20 for column in full.T)


def test_a_text_shorter_than_an_ngram_has_no_bands(bands: NDArray[np.uint64]) -> None:
    assert not bands[-1].any()
    assert bands[0].all()  # five words


def test_reasons_are_one_per_named_column_and_one_for_the_bands() -> None:
    assert [REASONS[column] for column in (TEXT, ID, URL, FIRST_BAND)] == [
        "exact_duplicate",
        "id_duplicate",
        "url_duplicate",
        "near_duplicate",
    ]


def test_ids_of_two_sources_agree_only_where_the_recipe_says_so() -> None:
    row = batch(["a"], ["17"], ["u"])
    for id_rule, equal in (("source", False), ("all", True)):
        one, other = (signer(Dedup(id=id_rule)).sign(row, name)[0] for name in ("web", "books"))
        assert (one[ID] == other[ID]) == equal
        assert one[ID] and other[ID]
        assert one[TEXT] == other[TEXT]
        assert one[URL] == other[URL]


def table_of_numbers(seed: int) -> str:
    rng = random.Random(seed)
    rows = (f"In {rng.randint(1900, 2020)} the station measured {rng.randint(0, 999)} mm of rain" for _ in range(60))
    return ". ".join(rows)


def test_tables_that_differ_in_their_numbers_share_no_band() -> None:
    one, other = signer(Dedup()).sign(batch([table_of_numbers(0), table_of_numbers(1)]), "web")[:, FIRST_BAND:]
    assert one.all()
    assert not (one == other).any()


@pytest.mark.parametrize(
    "letters", ["\u4e00\u9fa5", "\u0e01\u0e2e", "\u3041\u3093"], ids=["Chinese", "Thai", "Japanese"]
)
def test_texts_without_spaces_have_bands(letters: str) -> None:
    """A copy with one character in a hundred exchanged shares a band; another text does not."""
    rng = random.Random(1)
    first, last = map(ord, letters)

    def sentence() -> list[str]:
        return [chr(rng.randint(first, last)) for _ in range(400)]

    original, unrelated = sentence(), sentence()
    copy = original.copy()
    for i in rng.sample(range(400), 4):
        copy[i] = chr(rng.randint(first, last))
    texts = ["".join(text) for text in (original, copy, unrelated)]
    keys = signer(Dedup()).sign(batch(texts), "web")[:, FIRST_BAND:]
    assert keys.all()
    assert (keys[0] == keys[1]).any()
    assert not (keys[0] == keys[2]).any()
