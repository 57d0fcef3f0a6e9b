"""Faults of a network or a hub, for the requests that a `tests.support.hub.Hub` receives.

    hub.fault = times(3, only(r"\\.parquet$", reset()))
    hub.fault = at_random(0.2, [reset(), status(503), stall(5)], seed=1)
    hub.fault = first(only(at_cdn, at_random(0.2, [status(403)], seed=1)), redirect(expires=1))

A fault first decides whether a request is its own, which is quick, so that `times` and `at_random` count correctly when
many requests arrive at once. Then it acts, perhaps for minutes. A fault that holds a request lets go as soon as the
client disconnects or the hub stops.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from tests.support.hub import ADDRESS, Body, Deliver, Handler, Hub, etag, send_all

Act = Callable[[Handler], None]
Predicate = Callable[[Handler, str], bool]
Until = float | threading.Event | None
"""How long to hold a request: seconds, until an event is set, or (None) for ever."""

PAGE = (
    b"<!doctype html><html><head><title>Sign in</title></head><body><h1>This network wants you to sign in</h1></body>"
)
TICK = 0.05  # seconds between checks of an event, and between two pieces of `drip`


@dataclass(frozen=True)
class Fault:
    """`choose` returns what to do with a request, or None when the request is not this fault's."""

    choose: Callable[[Handler, str], Act | None]

    def __call__(self, handler: Handler, path: str) -> bool:
        act = self.choose(handler, path)
        if act is not None:
            act(handler)
        return act is not None


def status(code: int, **headers: object) -> Fault:
    """An error without a body, such as `status(429, Retry_After=2)`."""
    return _always(lambda handler: handler.send(code, b"", **headers))


def html() -> Fault:
    """The page of a proxy, with status 200, at any address."""
    return _always(lambda handler: handler.send(200, PAGE, Content_Type="text/html; charset=utf-8"))


def gone_revision(sha: str | None = None) -> Fault:
    """A commit (default: any) no longer exists, as after the dataset's history was squashed."""

    def choose(handler: Handler, path: str) -> Act | None:
        match = ADDRESS.fullmatch(path)
        named = match["revision"] if match else None
        gone = named == sha if sha else bool(named and re.fullmatch("[0-9a-f]{40}", named))
        return (lambda handler: handler.missing("RevisionNotFound")) if gone else None

    return Fault(choose)


def reset() -> Fault:
    """The connection is reset without an answer or an orderly end."""
    return _always(_reset)


def early_close() -> Fault:
    """All headers, half of the body, and an orderly end."""

    def half(handler: Handler, body: Body) -> None:
        handler.write(body.read(body.size // 2))
        handler.close_connection = True

    return _bodies(half)


def stall(until: Until = None, after: int = 1000) -> Fault:
    """All headers and `after` bytes of the body, at most half; then nothing until the time is over, then the rest."""

    def pause(handler: Handler, body: Body) -> None:
        handler.write(body.read(min(after, body.size // 2)))
        if _hold(handler, until):
            send_all(handler, body)

    return _bodies(pause)


def stall_headers(until: Until = None) -> Fault:
    """The request is read, but not answered until the time is over."""
    return _always(lambda handler: handler.answer() if _hold(handler, until) else None)


def drip(bytes_per_second: float) -> Fault:
    """All headers, then the body at this speed, so that no single read takes long."""
    size = max(1, int(bytes_per_second * TICK))

    def slowly(handler: Handler, body: Body) -> None:
        while piece := body.read(size):
            handler.write(piece)
            # after the body, the client's next request would look like a disconnect
            if body.left and not handler.wait(len(piece) / bytes_per_second):
                return

    return _bodies(slowly)


def short_body() -> Fault:
    """A 206 with only the first half of the range that was asked for, and headers that say so."""

    def choose(handler: Handler, path: str) -> Act | None:
        asked = _asked(handler, path)
        if len(asked) < 2:
            return None
        return lambda handler: _answer_range(handler, f"bytes={asked[0]}-{asked[len(asked) // 2 - 1]}")

    return Fault(choose)


def ignored_range() -> Fault:
    """200 and the whole file, as from a proxy that does not support ranges."""
    return Fault(lambda handler, path: (lambda handler: _answer_range(handler, "")) if _asked(handler, path) else None)


def flip(bit: int) -> Fault:
    """One bit of the body is flipped: number `bit`, modulo the body's length."""

    def flipped(handler: Handler, body: Body) -> None:
        send_all(handler, Body(body.stream, place := bit // 8 % body.size))
        handler.write(bytes([body.stream.read(1)[0] ^ 1 << bit % 8]))
        send_all(handler, Body(body.stream, body.size - place - 1))

    return _bodies(flipped)


def redirect(to: Hub | str = "localhost", expires: float = 3600) -> Fault:
    """Files come from another host, as large ones do from the hub's CDN, by an address valid for `expires` seconds.

    `to` is another host name of this hub, or a second hub with the same `root` and this same fault, which also plays
    the CDN: it answers 403 to an address that has expired or was not signed.
    """

    def choose(handler: Handler, path: str) -> Act | None:
        if at_cdn(handler, path):
            return None if _good(handler.path) else _denied
        return _redirected if handler.hub.find(path) else None

    def _redirected(handler: Handler) -> None:
        address, file, sha = _signed(handler, expires)
        host, hub = ("localhost", to) if isinstance(to, Hub) else (to, handler.hub)
        linked = {"X_Linked_Size": file.stat().st_size, "X_Linked_ETag": f'"{etag(file)}"', "X_Repo_Commit": sha}
        handler.send(302, b"", Location=f"http://{host}:{urlsplit(hub.url).port}{address}", **linked)

    return Fault(choose)


def at_cdn(handler: Handler, path: str) -> bool:
    """Whether a request is for an address given by `redirect`. For use in `only`."""
    return "Signature=" in urlsplit(handler.path).query


def only(where: str | Predicate, fault: Fault) -> Fault:
    """The fault, for requests only whose path matches a pattern or that a predicate picks."""
    picks = where if callable(where) else lambda handler, path: re.search(where, path) is not None
    return Fault(lambda handler, path: fault.choose(handler, path) if picks(handler, path) else None)


def times(n: int, fault: Fault) -> Fault:
    """The fault, for its first `n` requests."""
    lock = threading.Lock()
    left = n

    def choose(handler: Handler, path: str) -> Act | None:
        nonlocal left
        with lock:
            act = fault.choose(handler, path) if left else None
            left -= act is not None
        return act

    return Fault(choose)


def first(*faults: Fault) -> Fault:
    """The first of several faults that applies to a request."""
    return Fault(lambda handler, path: next(filter(None, (fault.choose(handler, path) for fault in faults)), None))


def at_random(probability: float, faults: Sequence[Fault], seed: int) -> Fault:
    """One of the faults or none, drawn for each request; the n-th draw depends on the seed only."""
    lock = threading.Lock()
    rng = random.Random(seed)

    def choose(handler: Handler, path: str) -> Act | None:
        with lock:
            hit, fault = rng.random() < probability, rng.choice(faults)
        return fault.choose(handler, path) if hit else None

    return Fault(choose)


def outage(begin: float, end: float, fault: Fault | None = None) -> Fault:
    """The fault, a reset by default, for every request while the hub's clock is between `begin` and `end`."""
    down = fault or reset()
    return Fault(lambda handler, path: down.choose(handler, path) if begin <= handler.hub.clock() < end else None)


def _always(act: Act) -> Fault:
    return Fault(lambda handler, path: act)


def _bodies(deliver: Deliver) -> Fault:
    """A fault in bodies. It does not apply to HEAD requests, nor to answers without a body."""

    def unless_empty(handler: Handler, body: Body) -> None:
        (deliver if body.size else send_all)(handler, body)

    return Fault(lambda handler, path: None if handler.command == "HEAD" else lambda h: h.answer(unless_empty))


def _reset(handler: Handler) -> None:
    """A socket closed with a linger of 0 seconds sends RST. `shutdown` first would send an orderly end instead."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(handler.connection.detach())
    handler.close_connection = True


def _hold(handler: Handler, until: Until) -> bool:
    """Whether the client is still connected when the time is over."""
    if not isinstance(until, threading.Event):
        return handler.wait(until)
    while not until.is_set():
        if not handler.wait(TICK):
            return False
    return True


def _asked(handler: Handler, path: str) -> range:
    """The bytes of a file that the Range header asks for; an empty range without one."""
    span = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range") or "")
    file = handler.hub.find(path)
    if not span or file is None:
        return range(0)
    size = file.stat().st_size
    return range(int(span[1]), min(int(span[2] or size) + 1, size))


def _answer_range(handler: Handler, value: str) -> None:
    """Answer as if the client had asked for this range; "" for no range."""
    handler.headers.replace_header("Range", value)
    handler.answer()


def _denied(handler: Handler) -> None:
    handler.send(403, b"<Error><Code>AccessDenied</Code></Error>", Content_Type="text/xml")


def _signed(handler: Handler, expires: float) -> tuple[str, Path, str]:
    """The address of a file at the CDN, which names its commit whatever was asked for; the file; the commit."""
    file = handler.hub.find(unquote(urlsplit(handler.path).path))
    assert file is not None
    owner, name, sha, rest = file.relative_to(handler.hub.root).as_posix().split("/", 3)
    path, until = f"/datasets/{owner}/{name}/resolve/{sha}/{rest}", f"{time.time() + expires:.3f}"
    return f"{quote(path)}?{urlencode({'Expires': until, 'Signature': _sign(path, until)})}", file, sha


def _sign(path: str, expires: str) -> str:
    return hashlib.sha256(f"{path} {expires} a secret of the CDN".encode()).hexdigest()


def _good(address: str) -> bool:
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query))
    expires = query.get("Expires", "0")
    return query.get("Signature") == _sign(unquote(parts.path), expires) and time.time() < float(expires)
