"""A small dataset hub on loopback that the real `datasets` and `huggingface_hub` clients use through HF_ENDPOINT.

    with Hub(folder) as hub:
        write_files(hub.folder("acme/toy"))             # main's newest commit
        run(env=hub.env(tmp_path))                      # in a fresh process: the clients read HF_ENDPOINT at import
        hub.commit("acme/toy")                          # main moves on; the old commit stays what it was

A commit is a folder, `<root>/<owner>/<name>/<sha>/`. Not served: xet (all bytes go over plain HTTP), uploads, the
dataset viewer. A `fault` gets every request first and may answer, delay or drop it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LFS = (".parquet", ".zst", ".gz")  # what a dataset's .gitattributes keeps out of git, so that a sha256 is listed
REPO = r"([^/]+/[^/]+)"
INFO = re.compile(rf"/api/datasets/{REPO}(?:/revision/([^/]+))?")
TREE = re.compile(rf"/api/datasets/{REPO}/tree/([^/]+)(?:/(.*))?")
FILE = re.compile(rf"/datasets/{REPO}/resolve/([^/]+)/(.+)")


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None


class Hub:
    """Serves the datasets under `root`. `requests` and `served` (bytes of file bodies, by path) say what was asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.heads: dict[str, str] = {}
        self.requests: list[Request] = []
        self.served: Counter[str] = Counter()
        self.fault: Callable[[Handler, str], bool] | None = None
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> Hub:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": self}))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def stop(self) -> None:
        """Connections are refused from here on; `url` stays what it was."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Hub:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def env(self, home: Path) -> dict[str, str]:
        """The environment of a process whose hub this is and whose caches are in `home`."""
        ours = {"HF_ENDPOINT": self.url, "HF_HOME": str(home / "hf"), "NO_PROXY": "127.0.0.1", "HF_HUB_ETAG_TIMEOUT": "5"}
        ours |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "5"}
        return {key: value for key, value in os.environ.items() if not key.startswith("HF_")} | ours

    def folder(self, repo: str) -> Path:
        """The files of main's newest commit; a new dataset when there is none."""
        return self._commit(self.heads[repo]) if repo in self.heads else self.commit(repo)

    def commit(self, repo: str) -> Path:
        """Move main to a new commit, which begins as a copy of the old one, and return its folder."""
        old = self.root / repo / self.heads[repo] if repo in self.heads else None
        sha = hashlib.sha1(f"{repo} after {self.heads.get(repo)}".encode()).hexdigest()
        new = self.root / repo / sha
        shutil.copytree(old, new) if old else new.mkdir(parents=True)
        self.heads[repo] = sha
        return new

    def resolve(self, repo: str, revision: str | None) -> str | None:
        """The commit that a revision names."""
        sha = self.heads.get(repo) if revision in (None, "main") else revision
        return sha if sha and (self.root / repo / sha).is_dir() else None
