"""What is wrong with a scheduler, its address or the certificates is said in one line, and nothing of dask stays."""

from __future__ import annotations

import gc
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import pytest
from distributed import Client

from gpts_data.pipelines import dask_client
from gpts_data.pipelines.errors import SourceUnavailableError, UsageError
from gpts_data.pipelines.execute import open_engine

TLS = "distributed.comm.tls"


@pytest.fixture(autouse=True)
def _nothing_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dask_client, "CONNECT_SECONDS", 1.0)
    before = open_clients(), loop_threads()
    yield
    assert open_clients() <= before[0] and loop_threads() <= before[1]


def open_clients() -> int:
    return sum(type(thing) is Client and thing.status != "closed" for thing in gc.get_objects())


def loop_threads() -> int:
    return sum(thread.name == "IO loop" for thread in threading.enumerate())


def hang_up(connection: socket.socket) -> None:
    connection.close()


def say_nothing(connection: socket.socket) -> None:
    connection.recv(1 << 20)


def speak_http(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)


def send_zeros(connection: socket.socket) -> None:
    connection.sendall(bytes(4096))


def send_a_short_frame(connection: socket.socket) -> None:
    connection.sendall(struct.pack("<Q", 30) + b"\1" * 30)


@pytest.fixture
def port() -> Iterator[socket.socket]:
    """A bound port at which nobody listens yet."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        yield own


def refused(port: socket.socket, said: str) -> None:
    address = f"tcp://127.0.0.1:{port.getsockname()[1]}"
    message = rf"no dask scheduler answers at {address} \({said}\); start one with `dask scheduler`"
    with pytest.raises(SourceUnavailableError, match=message), open_engine(scheduler=address):
        pass


def test_a_scheduler_that_is_not_there(port: socket.socket) -> None:
    refused(port, ".*(refused|Timed out).*")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (say_nothing, "no answer within 1 seconds"),
        (hang_up, ".*(closed|reset).*"),
        (speak_http, ".+"),
        (send_zeros, "something else does"),
        (send_a_short_frame, "something else does"),
    ],
    ids=["frozen", "hangs up", "speaks another protocol", "zeros", "a short frame"],
)
def test_what_answers_is_no_dask_scheduler(
    port: socket.socket, answer: Callable[[socket.socket], None], said: str
) -> None:
    """Dask itself waits without a limit for the first words of a scheduler."""
    port.listen()
    held: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                held.append(port.accept()[0])
                answer(held[-1])
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    refused(port, said)
    port.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()


@pytest.mark.parametrize(
    "address",
    ["nonsense", "tcp://127.0.0.1", "gopher://127.0.0.1:70", "", "tcp://127.0.0.1:99999", "tcp://:1", "tcp//a:1"],
)
def test_an_invalid_address_is_a_usage_error(address: str) -> None:
    with pytest.raises(UsageError, match=rf"'{address}'.*tcp://host:8786"), open_engine(scheduler=address):
        pass


@pytest.mark.parametrize("given", [(), ("ca-file",)])
def test_encryption_without_certificates_names_the_missing_ones(given: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    missing = "" if given else "DASK_DISTRIBUTED__COMM__TLS__CA_FILE and "
    message = f"name their files in {missing}DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT$"
    with (
        dask.config.set({f"{TLS}.{key}": str(file) for key in given}),
        pytest.raises(UsageError, match=message),
        open_engine(scheduler="tls://127.0.0.1:8786"),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no file {}, which DASK_DISTRIBUTED__COMM__TLS__CA_FILE"), ("no certificate", "cannot be read from {}")],
)
def test_certificates_that_cannot_be_read_are_a_usage_error(content: str | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content, encoding="utf-8")
    with (
        dask.config.set({f"{TLS}.ca-file": str(file), f"{TLS}.client.cert": str(file)}),
        pytest.raises(UsageError, match=said.format(file)),
        open_engine(scheduler="tls://127.0.0.1:8786"),
    ):
        pass


def test_a_setting_that_dask_refuses_is_a_usage_error() -> None:
    with (
        dask.config.set({f"{TLS}.min-version": 9}),
        pytest.raises(UsageError, match="dask's TLS settings cannot be used: .*min-version=9"),
        open_engine(scheduler="tls://127.0.0.1:8786"),
    ):
        pass
