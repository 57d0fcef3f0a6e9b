"""A small dataset hub on the loopback interface; the real `datasets` and `huggingface_hub` use it by HF_ENDPOINT.

    with Hub(folder) as hub:
        write_files(hub.folder("acme/toy"))             # the files of branch main
        subprocess.run(command, env=hub.env(home))      # a fresh process: the clients read HF_ENDPOINT at import
        hub.commit("acme/toy")                          # main moves to a new commit; the old one stays as it was

A commit is a folder, `<root>/<owner>/<name>/<sha>/`. Not supported: xet (so all bytes go over plain HTTP), uploads, the
dataset viewer. A test's `fault` sees every request first and may answer, delay or drop it; faults.py has common ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import select
import shutil
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit
from weakref import WeakSet

LFS = (".parquet", ".zst", ".gz")  # stored in LFS, as by .gitattributes; listings have a sha256 for these only
ADDRESS = re.compile(
    r"/(?:api/)?datasets/(?P<repo>[^/]+/[^/]+)"
    r"(?:/(?P<kind>revision|tree|resolve)/(?P<revision>(?:refs/convert/)?[^/]+)(?:/(?P<path>.*))?)?"
)
PIECE = 256 << 10  # bytes of a body that are read and sent at once


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None
    host: str | None = None
    authorized: bool = False
    """Whether the request had a token. The token itself is not kept."""


class Body:
    """The next `size` bytes of a stream, read in pieces because a file may be larger than memory."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self.stream, self.size, self.left = stream, size, size

    def read(self, most: int = PIECE) -> bytes:
        piece = self.stream.read(min(most, self.left))
        self.left -= len(piece)
        return piece


Deliver = Callable[["Handler", Body], None]
"""Sends a body after its headers; that of a fault may cut, delay or change it."""


class Hub:
    """Serves the datasets under `root`.

    `requests` lists all requests, `served` counts the bytes of file bodies that were sent, by path, and `faulty` the
    requests that the fault answered. `clock` gives the seconds since the hub was made; a test may replace it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.heads: dict[str, str] = {}
        self.requests: list[Request] = []
        self.served: Counter[str] = Counter()
        self.faulty = 0
        self.fault: Callable[[Handler, str], bool] | None = None
        self.url = "http://127.0.0.1:0"  # any free port
        self.connections: WeakSet[socket.socket] = WeakSet()
        self.lock = threading.Lock()  # for both counts: += in two threads may lose an addition
        began = time.monotonic()
        self.clock: Callable[[], float] = lambda: time.monotonic() - began
        self._server: Server | None = None

    def start(self) -> Hub:
        port = urlsplit(self.url).port or 0
        self._server = Server(("127.0.0.1", port), type("HubHandler", (Handler,), {"hub": self}))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def stop(self) -> None:
        """Cut all connections, which ends their threads, and refuse new ones; `start` serves the same `url` again."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in tuple(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Hub:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def total(self) -> int:
        """All bytes served. They are counted just after they are sent, so this waits until the count is stable."""
        before = -1
        while before != (now := sum(self.served.values())):
            before = now
            time.sleep(0.1)
        return now

    def env(self, home: Path) -> dict[str, str]:
        """The environment of a process that uses this hub only and keeps its caches in `home`."""
        rest = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        quiet = {
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        return {**rest, **quiet, "HF_ENDPOINT": self.url, "HF_HOME": str(home)}

    def folder(self, repo: str) -> Path:
        """The folder of the files of branch main; creates the dataset if it does not exist."""
        return self.root / repo / self.heads[repo] if repo in self.heads else self.commit(repo)

    def commit(self, repo: str) -> Path:
        """Move branch main to a new commit, a copy of the old one, and return its folder."""
        parent = self.heads.get(repo)
        self.heads[repo] = hashlib.sha1(f"{repo} {parent}".encode()).hexdigest()
        new = self.folder(repo)
        if parent is None:
            new.mkdir(parents=True)
        else:
            shutil.copytree(self.root / repo / parent, new)
        return new

    def resolve(self, repo: str, revision: str | None) -> str | None:
        """The commit of a revision; None when there is none. The hub's branch for parquet files is main here."""
        sha = self.heads.get(repo) if revision in (None, "main", "refs/convert/parquet") else revision
        return sha if sha and (self.root / repo / sha).is_dir() else None

    def find(self, path: str) -> Path | None:
        """The file at a /resolve address, if there is one."""
        match = ADDRESS.fullmatch(path)
        if not match or match["kind"] != "resolve" or not (sha := self.resolve(match["repo"], match["revision"])):
            return None
        file = self.root / match["repo"] / sha / (match["path"] or "")
        return file if file.is_file() else None


class Server(ThreadingHTTPServer):
    request_queue_size = 64  # the default of 5 is too short for workers that start together; each would wait a second

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection before its thread starts, so that `Hub.stop` misses none."""
        self.RequestHandlerClass.hub.connections.add(request)  # type: ignore[attr-defined]
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that disconnects is no error of the hub
            super().handle_error(request, client_address)


def send_all(handler: Handler, body: Body) -> None:
    while piece := body.read():
        handler.write(piece)


class Handler(BaseHTTPRequestHandler):
    """Answers what reading a dataset needs: the commit of a revision, listings, ranges of files."""

    hub: Hub  # set by `Hub.start`
    deliver: Deliver  # set for each request, as is `name`
    name: str | None  # key in `Hub.served` of the file whose body is sent
    protocol_version = "HTTP/1.1"  # so that the client reuses its connections
    wbufsize = 1 << 16  # headers and body leave together; apart, delayed acknowledgements cost 40 ms a request
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        asked = {name: self.headers.get(name) for name in ("Range", "Host", "Authorization")}
        authorized = asked["Authorization"] is not None
        self.deliver, self.name = send_all, None
        self.hub.requests.append(Request(self.command, path, asked["Range"], asked["Host"], authorized))
        if self.hub.fault is not None and self.hub.fault(self, path):
            with self.hub.lock:
                self.hub.faulty += 1
        else:
            self.answer()

    def answer(self, deliver: Deliver = send_all) -> None:
        """Answer as a working hub does, with the body sent by `deliver`. Used by `do_GET` and by faults in bodies."""
        self.deliver = deliver
        address = urlsplit(self.path)
        if not (match := ADDRESS.fullmatch(unquote(address.path))):
            return self.missing("EntryNotFound")
        repo, kind, revision, name = match.groups()
        if not (sha := self.hub.resolve(repo, revision)):
            self.missing("RevisionNotFound" if repo in self.hub.heads else "RepoNotFound")
        elif kind not in ("tree", "resolve"):
            self._json({"id": repo, "sha": sha, "private": False, "tags": [], "siblings": []})
        elif not (found := self.hub.root / repo / sha / (name or "")).exists():
            self.missing("EntryNotFound")
        elif kind == "resolve":
            self._file(found, sha)
        else:
            self._tree(found, self.hub.root / repo / sha, "recursive=true" in address.query)

    do_HEAD = do_GET

    def send(self, status: int, body: bytes | Body = b"", **headers: object) -> None:
        """Answer; `X_Repo_Commit=` becomes the header X-Repo-Commit."""
        body = Body(BytesIO(body), len(body)) if isinstance(body, bytes) else body
        self.send_response(status)
        for key, value in {"Content-Length": body.size, **headers}.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.deliver(self, body)

    def write(self, piece: bytes) -> None:
        """Send a piece of the body, and count it if it belongs to a file."""
        self.wfile.write(piece)
        self.wfile.flush()
        if self.name:
            with self.hub.lock:
                self.hub.served[self.name] += len(piece)

    def wait(self, seconds: float | None) -> bool:
        """Wait `seconds`, or for ever if None. Returns False, at once, when the client disconnects or the hub stops."""
        self.wfile.flush()
        readable, _, _ = select.select([self.connection], [], [], seconds)  # a waiting client sends nothing
        self.close_connection = self.close_connection or bool(readable)
        return not readable

    def missing(self, code: str) -> None:
        """A 404 with the error code by which the client tells a missing dataset, revision or file from other errors."""
        self.send(404, X_Error_Code=code, X_Error_Message=code)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing on stderr; tests read `requests`."""

    def _json(self, value: object) -> None:
        self.send(200, json.dumps(value).encode(), Content_Type="application/json")

    def _tree(self, folder: Path, commit: Path, recursive: bool) -> None:
        found = sorted(folder.rglob("*") if recursive else folder.iterdir())
        self._json([_entry(entry, entry.relative_to(commit).as_posix()) for entry in found])

    def _file(self, file: Path, sha: str) -> None:
        size = file.stat().st_size
        headers = {"ETag": f'"{etag(file)}"', "X_Repo_Commit": sha}
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        start, stop = (int(span[1]), min(int(span[2] or size) + 1, size)) if span else (0, size)
        if span and start >= size:
            return self.send(416, Content_Range=f"bytes */{size}")
        if span:
            headers["Content_Range"] = f"bytes {start}-{stop - 1}/{size}"
        self.name = file.relative_to(self.hub.root).as_posix()
        with file.open("rb") as stream:
            stream.seek(start)
            self.send(206 if span else 200, Body(stream, stop - start), **headers)


def etag(file: Path) -> str:
    """The hub's digest of a file: sha256 of a file in LFS, git's blob digest of any other."""
    git, sha256 = _digests(file, (stat := file.stat()).st_size, stat.st_mtime_ns)
    return sha256 if file.name.endswith(LFS) else git


@lru_cache(maxsize=4096)
def _digests(file: Path, size: int, mtime_ns: int) -> tuple[str, str]:
    """git's blob digest and sha256. `size` and `mtime_ns` are cache keys: a changed file is read again."""
    git, sha256 = hashlib.sha1(f"blob {size}\0".encode()), hashlib.sha256()
    with file.open("rb") as stream:
        while piece := stream.read(PIECE):
            git.update(piece)
            sha256.update(piece)
    return git.hexdigest(), sha256.hexdigest()


def _entry(path: Path, name: str) -> dict[str, object]:
    """A row of a listing. It has no xetHash, so the client does not use xet."""
    if path.is_dir():
        return {"type": "directory", "path": name, "size": 0, "oid": "0" * 40}
    git, sha256 = _digests(path, (stat := path.stat()).st_size, stat.st_mtime_ns)
    row: dict[str, object] = {"type": "file", "path": name, "size": stat.st_size, "oid": git}
    if path.name.endswith(LFS):
        row["lfs"] = {"oid": sha256, "size": stat.st_size, "pointerSize": 134}
    return row
