"""Another implementation of S3 than the one of test_store.py: moto's server. The bytes are the same there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import StorageError
from gpts_data.pipelines.storage.paths import as_path, create, list_files, upload
from gpts_data.validation.verify import verify
from tests.support.store import has_moto, serve_moto

pytestmark = pytest.mark.skipif(not has_moto(), reason="no second S3 server: pip install 'moto[server]'")


@pytest.fixture(scope="module", autouse=True)
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with serve_moto(tmp_path_factory.mktemp("moto") / "s3") as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3").clear_instance_cache()
        fsspec.filesystem("s3", use_listings_cache=False).mkdir("tests")
        yield
    fsspec.filesystem("s3").clear_instance_cache()


def test_the_same_files_as_in_a_folder(mix: Mix, recipe_file: Path) -> None:
    folder = as_path("s3://tests/mix")
    assert build(load_recipe(recipe_file), recipe_file.parent, folder).created
    assert {name: (folder / name).read_bytes() for name in list_files(folder)} == {
        name: (mix.path / name).read_bytes() for name in list_files(mix.path)
    }
    assert verify(folder) == []


def test_of_two_that_create_one_does() -> None:
    path = as_path("s3://tests/one.json")
    assert create(path, b"first") and not create(path, b"second") and create(path, b"first")


def test_a_bucket_that_does_not_exist_is_named(tmp_path: Path) -> None:
    path = as_path("s3://nowhere/mix/one.json")
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(StorageError, match="s3://nowhere/mix/one.json: the store has no bucket nowhere; create it"):
        create(path, b"content")
    with pytest.raises(StorageError, match="the store has no bucket nowhere; create it"):
        upload(tmp_path / "file", path)
