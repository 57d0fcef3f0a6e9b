"""What goes wrong between a hub and its readers, done to the requests of a `tests.support.hub.Hub`.

    hub.fault = times(3, only(r"\\.parquet$", reset()))
    hub.fault = at_random(0.2, [reset(), status(503), stall(5)], seed=1)
    hub.fault = first(only(at_cdn, at_random(0.2, [status(403)], seed=1)), redirect(expires=1))

A fault first decides whether a request is its own and then acts, perhaps for minutes: deciding is quick, so that
`times` and `at_random` count right when many requests come at once. Those that hold a request let go as soon as the
client goes away or the hub stops.
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
TICK = 0.05  # seconds: how soon an event is seen, and how often a drip drips


@dataclass(frozen=True)
class Fault:
    """`choose` says what to do to a request, None: nothing, it is not this fault's."""

    choose: Callable[[Handler, str], Act | None]

    def __call__(self, handler: Handler, path: str) -> bool:
        act = self.choose(handler, path)
        if act is not None:
            act(handler)
        return act is not None


def status(code: int, **headers: object) -> Fault:
    """An error without a body; `status(429, Retry_After=2)`."""
    return _always(lambda handler: handler.send(code, b"", **headers))


def html() -> Fault:
    """The page of some proxy, as 200, at whatever address."""
    return _always(lambda handler: handler.send(200, PAGE, Content_Type="text/html; charset=utf-8"))


def gone_revision(sha: str | None = None) -> Fault:
    """A commit (default: any) that the hub once named is no more, as after a history was squashed."""

    def choose(handler: Handler, path: str) -> Act | None:
        match = ADDRESS.fullmatch(path)
        named = match["revision"] if match else None
        gone = named == sha if sha else bool(named and re.fullmatch("[0-9a-f]{40}", named))
        return (lambda handler: handler.missing("RevisionNotFound")) if gone else None

    return Fault(choose)


def reset() -> Fault:
    """The connection is reset: no answer, not even an orderly end."""
    return _always(_reset)


def early_close() -> Fault:
    """All the headers, half the body, and an orderly end."""

    def half(handler: Handler, body: Body) -> None:
        handler.write(body.read(body.size // 2))
        handler.close_connection = True

    return _bodies(half)


def stall(until: Until = None, after: int = 1000) -> Fault:
    """All the headers and `after` bytes of the body, at most half, then nothing; when the time is over, the rest."""

    def pause(handler: Handler, body: Body) -> None:
        handler.write(body.read(min(after, body.size // 2)))
        if _hold(handler, until):
            send_all(handler, body)

    return _bodies(pause)


def stall_headers(until: Until = None) -> Fault:
    """The connection is accepted, the request read, and nothing answered; when the time is over, what was asked for."""
    return _always(lambda handler: handler.answer() if _hold(handler, until) else None)


def drip(bytes_per_second: float) -> Fault:
    """All the headers, then the body at this speed, so that no single read ever takes long."""
    size = max(1, int(bytes_per_second * TICK))

    def slowly(handler: Handler, body: Body) -> None:
        while piece := body.read(size):
            handler.write(piece)
            if body.left and not handler.wait(len(piece) / bytes_per_second):  # the client's next request is no leaving
                return

    return _bodies(slowly)


def short_body() -> Fault:
    """A 206 that is honest about holding only the first half of the range that was asked for."""

    def choose(handler: Handler, path: str) -> Act | None:
        asked = _asked(handler, path)
        if len(asked) < 2:
            return None
        return lambda handler: _answer_range(handler, f"bytes={asked[0]}-{asked[len(asked) // 2 - 1]}")

    return Fault(choose)


def ignored_range() -> Fault:
    """200 and the whole file, as from a proxy that knows no ranges."""
    return Fault(lambda handler, path: (lambda handler: _answer_range(handler, "")) if _asked(handler, path) else None)


def flip(bit: int) -> Fault:
    """One bit of the body is another; counted from the body's first, and round again when the body is shorter."""

    def flipped(handler: Handler, body: Body) -> None:
        send_all(handler, Body(body.stream, place := bit // 8 % body.size))
        handler.write(bytes([body.stream.read(1)[0] ^ 1 << bit % 8]))
        send_all(handler, Body(body.stream, body.size - place - 1))

    return _bodies(flipped)


def redirect(to: Hub | str = "localhost", expires: float = 3600) -> Fault:
    """Files come from another host, as large ones do from the hub's CDN, by an address good for `expires` seconds.

    `to` is another name of this hub, or a second hub over the same `root` that has this same fault: the fault is the
    CDN as well, and answers 403 to an address that has expired or that it did not sign.
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
    """Whether a request is for an address that `redirect` gave; for `only`."""
    return "Signature=" in urlsplit(handler.path).query


def only(where: str | Predicate, fault: Fault) -> Fault:
    """Requests whose path holds a match of a pattern, or that a predicate picks."""
    picks = where if callable(where) else lambda handler, path: re.search(where, path) is not None
    return Fault(lambda handler, path: fault.choose(handler, path) if picks(handler, path) else None)


def times(n: int, fault: Fault) -> Fault:
    """The first `n` requests that are the fault's."""
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
    """Of several faults the first whose own a request is."""
    return Fault(lambda handler, path: next(filter(None, (fault.choose(handler, path) for fault in faults)), None))


def at_random(probability: float, faults: Sequence[Fault], seed: int) -> Fault:
    """Each request meets one of the faults, or none: what the n-th one draws depends on the seed alone."""
    lock = threading.Lock()
    rng = random.Random(seed)

    def choose(handler: Handler, path: str) -> Act | None:
        with lock:
            hit, fault = rng.random() < probability, rng.choice(faults)
        return fault.choose(handler, path) if hit else None

    return Fault(choose)


def outage(begin: float, end: float, fault: Fault | None = None) -> Fault:
    """Every request fails (by a reset, unless told otherwise) while the hub's clock is between two moments."""
    down = fault or reset()
    return Fault(lambda handler, path: down.choose(handler, path) if begin <= handler.hub.clock() < end else None)


def _always(act: Act) -> Fault:
    return Fault(lambda handler, path: act)


def _bodies(deliver: Deliver) -> Fault:
    """What befalls a body, befalls no HEAD; an answer without a body goes out as it is."""

    def unless_empty(handler: Handler, body: Body) -> None:
        (deliver if body.size else send_all)(handler, body)

    return Fault(lambda handler, path: None if handler.command == "HEAD" else lambda h: h.answer(unless_empty))


def _reset(handler: Handler) -> None:
    """Closed with a linger of 0 seconds, a socket sends RST. At once, or `shutdown` would first send an orderly end."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(handler.connection.detach())
    handler.close_connection = True


def _hold(handler: Handler, until: Until) -> bool:
    """Whether the client is still there when the time is over."""
    if not isinstance(until, threading.Event):
        return handler.wait(until)
    while not until.is_set():
        if not handler.wait(TICK):
            return False
    return True


def _asked(handler: Handler, path: str) -> range:
    """The bytes of a file that a Range names; none without one."""
    span = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range") or "")
    file = handler.hub.find(path)
    if not span or file is None:
        return range(0)
    size = file.stat().st_size
    return range(int(span[1]), min(int(span[2] or size) + 1, size))


def _answer_range(handler: Handler, value: str) -> None:
    """As if the client had asked for this range; "" for none."""
    handler.headers.replace_header("Range", value)
    handler.answer()


def _denied(handler: Handler) -> None:
    handler.send(403, b"<Error><Code>AccessDenied</Code></Error>", Content_Type="text/xml")


def _signed(handler: Handler, expires: float) -> tuple[str, Path, str]:
    """The address of a file at the CDN, the file, and its commit, which the address names whatever was asked for."""
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
