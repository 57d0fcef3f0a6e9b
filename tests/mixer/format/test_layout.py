"""The files of a mix, found among the manifest's entries."""

from __future__ import annotations

from gpts_data.mixer.format.layout import document_tables
from gpts_data.mixer.format.mix import Mix


def test_document_tables_are_those_of_the_source_in_stream_order(mix: Mix) -> None:
    for name in mix.sources:
        tables = document_tables(mix.manifest["files"], name)
        expected = sorted((mix.path / "documents" / name).glob("*.parquet"))
        assert [mix.path / table["file"] for table in tables] == expected != []
        assert [table["start"] for table in tables] == sorted(table["start"] for table in tables)
        assert tables[0]["start"] == 0


def test_document_tables_of_a_source_whose_name_begins_another() -> None:
    files = [
        {"file": name} for name in ("documents/a/0.parquet", "documents/a/_0.ids.npy", "documents/ab/0.parquet", "a")
    ]
    assert document_tables(files, "a") == files[:1]


def test_the_tables_of_a_source_come_in_stream_order() -> None:
    names = [f"documents/web/{number:05d}.parquet" for number in (0, 10_000, 99_999, 100_000, 100_001)]
    others = ["documents/web2/00000.parquet", "documents/web/_00000.ids.npy", "validation/web.parquet"]
    files = [{"file": name} for name in sorted([*names, *others])]
    assert [table["file"] for table in document_tables(files, "web")] == names
