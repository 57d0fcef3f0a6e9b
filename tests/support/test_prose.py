"""Made-up prose and the miniature of the preset's datasets are as real as a build needs."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.filters.cleaner import get_cleaner
from gpts_data.validation.api import PRESETS
from tests.support.datasets import preset
from tests.support.hub import Hub
from tests.support.prose import documents


def test_the_filters_of_the_preset_keep_the_prose() -> None:
    recipe = load_recipe(PRESETS / "gpt-s-5m.toml")
    texts = documents("some", 300_000)
    kept, dropped = get_cleaner(recipe.cleaning(recipe.source[0])).clean(pa.record_batch({"text": texts}))
    assert kept.column("text").to_pylist() == texts, dropped
    assert len(texts) > 70


def test_prose_is_the_same_for_a_seed() -> None:
    texts = documents("some", 50_000)
    assert 50_000 <= sum(map(len, texts)) + len(texts) < 57_000
    assert texts == documents("some", 50_000)
    assert not set(texts) & set(documents("other", 50_000))


def test_the_columns_are_those_of_the_datasets(tmp_path: Path) -> None:
    """The bundled sample has the three schemas of the hub."""
    hub = Hub(tmp_path)
    preset(hub, 100_000, parts=1, group=5)
    for name, files in (
        ("fineweb-edu", "HuggingFaceFW/fineweb-edu/*/sample/100BT/*.parquet"),
        ("cosmopedia-v2", "HuggingFaceTB/smollm-corpus/*/cosmopedia-v2/*.parquet"),
        ("fineweb-hq", "epfml/FineWeb-HQ/*/data/*/*.parquet"),
    ):
        (found,) = tmp_path.glob(files)
        assert pq.read_schema(found).remove_metadata().equals(pq.read_schema(PRESETS / f"sample/{name}.parquet"))
    vectors = pq.read_table(found).column("embeddings")
    assert {len(vector) for row in vectors.to_pylist() for vector in row} == {768}
