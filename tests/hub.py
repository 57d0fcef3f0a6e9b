"""A small dataset hub on loopback that the real `datasets` and `huggingface_hub` clients use through HF_ENDPOINT.

    with Hub(folder) as hub:
        write_files(hub.folder("acme/toy"))             # what main names
        subprocess.run(command, env=hub.env(home))      # a fresh process: the clients read HF_ENDPOINT at import
        hub.commit("acme/toy")                          # main moves on; the old commit stays what it was

A commit is a folder, `<root>/<owner>/<name>/<sha>/`. Not served: xet (so all bytes go over plain HTTP), uploads, the
dataset viewer. A test's `fault` sees every request first and may answer, delay or drop it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from weakref import WeakSet

LFS = (".parquet", ".zst", ".gz")  # what .gitattributes keeps out of git; only such files have a sha256 in listings
ADDRESS = re.compile(
    r"/(?:api/)?datasets/(?P<repo>[^/]+/[^/]+)"
    r"(?:/(?P<kind>revision|tree|resolve)/(?P<revision>[^/]+)(?:/(?P<path>.*))?)?"
)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None


class Hub:
    """Serves the datasets under `root`. `requests` holds what was asked, `served` the bytes of file bodies by path."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.heads: dict[str, str] = {}
        self.requests: list[Request] = []
        self.served: Counter[str] = Counter()
        self.fault: Callable[[Handler, str], bool] | None = None
        self.url = "http://127.0.0.1:0"  # any free port
        self.connections: WeakSet[socket.socket] = WeakSet()
        self._server: Server | None = None

    def start(self) -> Hub:
        port = urlsplit(self.url).port or 0
        self._server = Server(("127.0.0.1", port), type("HubHandler", (Handler,), {"hub": self}))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def stop(self) -> None:
        """Cut all connections and refuse new ones; `start` takes up the same `url` again."""
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

    def env(self, home: Path) -> dict[str, str]:
        """The environment of a process that knows no hub but this one and keeps its caches in `home`."""
        rest = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1"}
        return {**rest, **quiet, "HF_ENDPOINT": self.url, "HF_HOME": str(home)}

    def folder(self, repo: str) -> Path:
        """The files that main names; makes a dataset that does not exist."""
        return self.root / repo / self.heads[repo] if repo in self.heads else self.commit(repo)

    def commit(self, repo: str) -> Path:
        """Move main to a new commit, which begins as a copy of the old one, and return its folder."""
        parent = self.heads.get(repo)
        self.heads[repo] = hashlib.sha1(f"{repo} {parent}".encode()).hexdigest()
        new = self.folder(repo)
        if parent is None:
            new.mkdir(parents=True)
        else:
            shutil.copytree(self.root / repo / parent, new)
        return new

    def resolve(self, repo: str, revision: str | None) -> str | None:
        """The commit that a revision names; None when there is none."""
        sha = self.heads.get(repo) if revision in (None, "main") else revision
        return sha if sha and (self.root / repo / sha).is_dir() else None


class Server(ThreadingHTTPServer):
    request_queue_size = 64  # of 5, the default, a few workers that start together overflow, and wait a second each

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that went away is no error of the hub
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers what reading takes: the commit of a revision, listings, ranges of files."""

    hub: Hub  # set by `Hub.start`
    protocol_version = "HTTP/1.1"  # the client keeps its connections
    wbufsize = 1 << 16  # headers and body leave together; apart, delayed acknowledgements cost 40 ms a request
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.hub.connections.add(self.connection)

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        path = unquote(address.path)
        self.hub.requests.append(Request(self.command, path, self.headers.get("Range")))
        if self.hub.fault is not None and self.hub.fault(self, path):
            return
        if not (match := ADDRESS.fullmatch(path)):
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

    def send(self, status: int, body: bytes = b"", **headers: object) -> None:
        """Answer; `X_Repo_Commit=` becomes the header X-Repo-Commit."""
        self.send_response(status)
        for key, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def missing(self, code: str) -> None:
        """A 404 the client understands: without X-Error-Code it is any HTTP error, RepoNotFound as much as a fault."""
        self.send(404, X_Error_Code=code, X_Error_Message=code)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr; tests read `requests`."""

    def _json(self, value: object) -> None:
        self.send(200, json.dumps(value).encode(), Content_Type="application/json")

    def _tree(self, folder: Path, commit: Path, recursive: bool) -> None:
        found = sorted(folder.rglob("*") if recursive else folder.iterdir())
        self._json([_entry(entry, entry.relative_to(commit).as_posix()) for entry in found])

    def _file(self, file: Path, sha: str) -> None:
        size = file.stat().st_size
        headers = {"ETag": f'"{hashlib.sha1(str(file).encode()).hexdigest()}"', "X_Repo_Commit": sha}
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        start, stop = (int(span[1]), min(int(span[2] or size) + 1, size)) if span else (0, size)
        if span and start >= size:
            return self.send(416, Content_Range=f"bytes */{size}")
        if span:
            headers["Content_Range"] = f"bytes {start}-{stop - 1}/{size}"
        body = file.read_bytes()[start:stop]
        if self.command == "GET":
            self.hub.served[file.relative_to(self.hub.root).as_posix()] += len(body)
        self.send(206 if span else 200, body, **headers)


def _entry(path: Path, name: str) -> dict[str, object]:
    """A row of a listing. No xetHash, so the client does not turn to xet."""
    if path.is_dir():
        return {"type": "directory", "path": name, "size": 0, "oid": "0" * 40}
    body = path.read_bytes()
    row: dict[str, object] = {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
    if path.name.endswith(LFS):
        row["lfs"] = {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
    return row
