"""What is wrong with a scheduler's address or certificates is said in one line, and no half-open client stays."""

from __future__ import annotations

import gc
import socket
from pathlib import Path

import dask
import pytest
from distributed import Client

from gpts_data.pipelines import dask_client
from gpts_data.pipelines.errors import SourceUnavailableError, UsageError
from gpts_data.pipelines.execute import open_engine

CERTIFICATES = "distributed.comm.tls"


def open_clients() -> int:
    return sum(isinstance(thing, Client) and thing.status != "closed" for thing in gc.get_objects())


def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_client, "CONNECT_TIMEOUT", "1s")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        message = rf"no dask scheduler answers at {address} \(.*refused\); start one with `dask scheduler`"
        with pytest.raises(SourceUnavailableError, match=message), open_engine(scheduler=address):
            pass


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1", "gopher://127.0.0.1:70", ""])
def test_an_invalid_address_is_a_usage_error(address: str) -> None:
    """A client of dask that has failed to start must not wait for the garbage collector, which can hang."""
    before = open_clients()
    with pytest.raises(UsageError, match=rf"'{address}'.*tcp://host:8786"), open_engine(scheduler=address):
        pass
    assert open_clients() == before


def test_encryption_without_certificates_names_where_to_put_them() -> None:
    message = "dask has no certificates; name their files in DASK_DISTRIBUTED__COMM__TLS__CA_FILE"
    with pytest.raises(UsageError, match=message), open_engine(scheduler="tls://127.0.0.1:8786"):
        pass


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_a_usage_error(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content, encoding="utf-8")
    named = {f"{CERTIFICATES}.ca-file": str(file), f"{CERTIFICATES}.client.cert": str(file)}
    with (
        dask.config.set(named),
        pytest.raises(UsageError, match="dask's certificates cannot be read: .*TLS__CLIENT__CERT"),
        open_engine(scheduler="tls://127.0.0.1:8786"),
    ):
        pass
