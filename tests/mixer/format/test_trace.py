"""P6: any token leads back to its document."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gpts_data.mixer.format.layout import document_tables
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.trace import find_document, trace
from gpts_data.mixer.format.training_order import token_number
from gpts_data.pipelines.errors import UsageError
from gpts_data.tokenizer.encode import Encoder


def test_tokens_lead_to_their_documents(mix: Mix, home: Path) -> None:
    encoder, rng = Encoder(mix.tokenizer), random.Random(4)
    corpus = (home / "corpus/books.jsonl").read_text(encoding="utf-8") + _web(home)
    for token in [0, mix.tokens - 1, *(rng.randrange(mix.tokens) for _ in range(60))]:
        origin = trace(mix, token)
        ids, _ = encoder.encode([origin.text])
        assert ids[origin.document_token_offset] == origin.token_id
        assert origin.token_id == mix.shard(token // 6400)[token % 6400 // 64, token % 64]
        if origin.source != "notes" and token != mix.tokens - 1:
            assert origin.text[:200] in corpus


def _web(home: Path) -> str:
    parts = sorted((home / "corpus/web").glob("*.parquet"))
    return "\n".join(text for part in parts for text in pq.read_table(part).column("text").to_pylist())


def test_ids_and_urls_are_the_sources_own(mix: Mix) -> None:
    origins = {origin.source: origin for origin in (trace(mix, token) for token in range(0, mix.tokens, 704))}
    assert origins["web"].document_id.startswith("web-")
    assert origins["web"].url and origins["web"].url.startswith("https://example.org/")
    assert origins["notes"].document_id.startswith("note-")
    assert origins["books"].document_id.startswith("books.jsonl:") and origins["books"].url is None
    assert origins["web"].unit.startswith("part-")


def test_shard_and_row(mix: Mix) -> None:
    assert token_number(mix, 0, 0) == 0
    assert token_number(mix, 3, 12) == mix.tokens - 64


@pytest.mark.parametrize(("shard", "row"), [(4, 0), (-1, 0), (3, 13), (0, -1)])
def test_no_such_row(mix: Mix, shard: int, row: int) -> None:
    with pytest.raises(UsageError, match="the mix has shards 0 to 3|has rows 0 to"):
        token_number(mix, shard, row)


@pytest.mark.parametrize("token", [-1, 20_032])
def test_no_such_token(mix: Mix, token: int) -> None:
    with pytest.raises(UsageError, match="tokens 0 to 20,031"):
        trace(mix, token)


def test_the_first_and_the_last_token_of_each_table_belong_to_its_own_documents(mix: Mix) -> None:
    n_tables = 0
    for source in mix.sources:
        tables = document_tables(mix.manifest["files"], source)
        for entry, after in zip(tables, [*tables[1:], None], strict=True):
            rows = pq.read_table(mix.path / entry["file"]).to_pylist()
            assert find_document(mix, source, entry["start"]) == rows[0] and rows[0]["start"] == entry["start"]
            end = rows[-1]["start"] + rows[-1]["tokens"]
            assert find_document(mix, source, end - 1) == rows[-1]
            assert after is None or after["start"] == end
        n_tables += len(tables)
    assert n_tables > len(mix.sources)
