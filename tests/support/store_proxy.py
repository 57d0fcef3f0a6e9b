"""A proxy before an S3 server that counts requests by kind, delays every answer, and refuses a share of them."""

from __future__ import annotations

import http.client
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = {"transfer-encoding", "connection", "content-length", "keep-alive"}
LEASE = re.compile(r"/lock(\?|$)|\.lock(\?|$)")


class StoreProxy(ThreadingHTTPServer):
    """`counts`: requests by kind since the last `reset`; those of a lease are "lease". `log`: time, kind and path."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str, latency: float = 0.0, errors: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.latency, self.errors = latency, errors
        self._random, self._lock = random.Random(0), threading.Lock()
        self.reset()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def reset(self) -> None:
        self.counts: Counter[str] = Counter()
        self.log: list[tuple[float, str, str]] = []

    def count(self, kind: str, path: str) -> bool:
        """Note a request; whether it is refused."""
        with self._lock:
            self.counts[kind] += 1
            self.log.append((time.monotonic(), kind, path))
            return self._random.random() < self.errors


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StoreProxy
    upstream: http.client.HTTPConnection | None = None

    def log_message(self, *_: object) -> None:
        pass

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        refused = self.server.count(_kind(self.command, self.path), self.path)
        time.sleep(self.server.latency)
        if refused:
            self._answer(503, {}, b"")
            return
        self.upstream = self.upstream or http.client.HTTPConnection(self.server.upstream)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        self.upstream.request(self.command, self.path, body or None, headers)
        response = self.upstream.getresponse()
        self._answer(response.status, dict(response.getheaders()), response.read())

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        length = next((v for k, v in headers.items() if k.lower() == "content-length"), str(len(content)))
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward


def _kind(method: str, path: str) -> str:
    if LEASE.search(path):
        return "lease"
    if method == "GET" and re.search(r"[?&](list-type|prefix|location)", path):
        return "LIST"
    return method


@contextmanager
def proxy(store: dict[str, str], latency: float = 0.0, errors: float = 0.0) -> Iterator[StoreProxy]:
    """Run a proxy before the server of `tests.support.store.serve`; its `address` is another AWS_ENDPOINT_URL."""
    with StoreProxy(store["AWS_ENDPOINT_URL"], latency, errors) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
