"""Encrypted columns: a file is read when none of them is asked for, and refused by name when one is."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from gpts_data.pipelines.errors import DataError, SourceUnavailableError
from gpts_data.pipelines.readers import parquet, parquet_footer
from gpts_data.pipelines.readers.parquet_footer import Footer
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


class Evicting:
    """The prefetcher of a remote file: what is read after `evict` comes from the hub again."""

    def __init__(self, file: io.BytesIO, sound: bytes) -> None:
        self.file, self.sound, self.evicted = file, sound, 0

    def evict(self) -> bool:
        self.evicted += 1
        self.file.seek(0)
        self.file.write(self.sound)
        return True


def sound_file() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": [str(i) for i in range(77)]}), sink, row_group_size=7)
    return sink.getvalue()


FOOTER_AT = -8 - int.from_bytes(sound_file()[-8:-4], "little")


@pytest.mark.parametrize("at", [-1, -6, FOOTER_AT], ids=["magic", "length", "footer"])
def test_a_footer_that_the_network_damaged_is_fetched_again(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    sound = sound_file()
    damaged = bytearray(sound)
    damaged[at] ^= 0xFF
    file = io.BytesIO(damaged)
    with pytest.raises((DataError, pa.ArrowException, OSError)):  # a local file stays as it is
        Footer(file, "a.parquet")
    remote = Evicting(file, sound)
    monkeypatch.setattr(parquet_footer, "prefetcher", lambda _: remote)
    assert Footer(file, "a.parquet").n_groups == 11
    assert remote.evicted == 1
    file = io.BytesIO(damaged)
    monkeypatch.setattr(parquet_footer, "prefetcher", lambda _: Evicting(file, bytes(damaged)))
    with pytest.raises(SourceUnavailableError, match=r"a\.parquet: its footer came damaged twice"):
        parquet.columns(file, "a.parquet")


def test_row_counts_that_disagree_are_damage() -> None:
    """77 rows in row groups of 7, and a footer whose total says 78: field 3 of FileMetaData, a zigzag varint."""
    sound = sound_file()
    assert sound.count(b"\x16\x9a\x01") == 1
    damaged = sound.replace(b"\x16\x9a\x01", b"\x16\x9c\x01")
    with pytest.raises(pa.ArrowInvalid, match="78 rows in all, 77 in row groups"):
        Footer(io.BytesIO(damaged), "a.parquet")
    with pytest.raises(DataError, match="a.parquet: not readable as parquet: 78 rows in all, 77 in row groups"):
        parquet.columns(io.BytesIO(damaged), "a.parquet")
