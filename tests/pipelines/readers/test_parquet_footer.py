"""Encrypted columns: a file is read when none of them is asked for, and refused by name when one is."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.readers.reader import check_columns, list_files, read, split_units
from gpts_data.pipelines.readers.source import Source


class KeysInPlace(pe.KmsClient):
    """Stores the keys themselves in the file."""

    def __init__(self, _: pe.KmsConnectionConfig) -> None:
        super().__init__()

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        return key_bytes.hex().encode()

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        return bytes.fromhex(wrapped_key.decode())


@pytest.fixture
def encrypted(tmp_path: Path) -> Path:
    """A file with a plain footer and one encrypted column."""
    table = pa.table({"text": ["a", "b"], "secret": ["c", "d"], "meta": [{"open": "e", "hidden": "f"}] * 2})
    config = pe.EncryptionConfiguration("footer", column_keys={"key": ["secret", "meta.hidden"]}, plaintext_footer=True)
    factory = pe.CryptoFactory(KeysInPlace)
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), config)
    with pq.ParquetWriter(tmp_path / "a.parquet", table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    return tmp_path


def ids(folder: Path, source: Source) -> list[str | None]:
    (file,) = list_files(source, folder).files
    check_columns(source, file)
    return [
        value
        for unit in split_units(source, file, 100)
        for batch in read(source, unit)
        for value in batch.column("id").to_pylist()
    ]


def test_other_columns_may_be_encrypted(encrypted: Path) -> None:
    assert ids(encrypted, Source("web", 1, ("a.parquet",))) == [None, None]
    assert ids(encrypted, Source("web", 1, ("a.parquet",), id="meta.open")) == ["e", "e"]


@pytest.mark.parametrize("columns", [{"text": "secret"}, {"id": "secret"}, {"url": "meta.hidden"}], ids=str)
def test_an_encrypted_column_is_refused(encrypted: Path, columns: dict[str, str]) -> None:
    source = Source("web", 1, ("a.parquet",), **columns)
    with pytest.raises(DataError, match=r"^a\.parquet: an encrypted parquet file \(column '(secret|meta\.hidden)'\)"):
        ids(encrypted, source)
    (file,) = list_files(source, encrypted).files
    with pytest.raises(DataError, match=r"^a\.parquet: an encrypted parquet file"):
        [batch for unit in split_units(source, file, 100) for batch in read(source, unit)]
