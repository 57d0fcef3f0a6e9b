"""Hosts and canonical forms of URLs as they occur in crawls: odd, in every spelling, and often no URL at all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.compute as pc

_AUTHORITY = r"(?i)^[\x00-\x20]*(?:https?:[/\\]*|(?:[a-z][a-z0-9+.\-]*:)?[/\\]{2,})([^/?#\\]*)"
"""Scheme and slashes, then the authority: user, host and port. As in browsers (https://url.spec.whatwg.org), a
backslash is a slash, and any number of them follows http: and https:."""
_NO_SCHEME = r"^[\x00-\x20]*([^/?#\\:@\x00-\x20]+\.[^/?#\\:@\x00-\x20]+(?::[0-9]*)?)(?:[/?#\\]|[\x00-\x20]*$)"
"""example.org/page, which some datasets have in place of a URL."""
_DEFAULT_PORTS = ("", ":80", ":443")
_SAFE = "/&=:@!$'()*+,;~"


def normalize_host(authority: str) -> str | None:
    """The host in an authority (`user@host:port`), so that equal hosts are equal strings; None where there is none.

    It is in lower case and in punycode (RFC 3492), without the final dot of a full name. Labels are put into NFKC,
    which keeps the German sharp s, as browsers do.
    """
    host = unquote(authority.rpartition("@")[2]).translate({9: None, 10: None, 13: None}).strip()
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"  # an IPv6 address
    host = host.partition(":")[0].lower()
    if not host.isascii():
        host = unicodedata.normalize("NFKC", host).lower().replace("\N{IDEOGRAPHIC FULL STOP}", ".")
        host = ".".join(map(_punycode, host.split(".")))
    return host.strip(".") or None


def _punycode(label: str) -> str:
    return label if label.isascii() else f"xn--{label.encode('punycode').decode()}"


def url_host(url: str) -> str | None:
    """The host of a URL, as `normalize_host` writes it; None for what is no URL."""
    match = re.match(_AUTHORITY, url) or re.match(_NO_SCHEME, url)
    return normalize_host(match[1]) if match else None


def url_hosts(urls: pa.Array) -> pa.DictionaryArray:
    """The hosts of URLs, as `url_host`, null where there is none; each host is parsed once."""
    authorities = pc.struct_field(pc.extract_regex(urls, _named(_AUTHORITY)), 0)
    others = pc.struct_field(pc.extract_regex(urls, _named(_NO_SCHEME)), 0)
    encoded = pc.dictionary_encode(pc.coalesce(authorities, others))
    hosts = [normalize_host(authority) for authority in encoded.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(hosts, pa.string()))


def _named(pattern: str) -> str:
    """The pattern with its only group named, which `extract_regex` asks for."""
    return re.sub(r"\((?!\?)", "(?P<authority>", pattern)


def parents(host: str) -> Iterator[str]:
    """Yield the host and every domain above it: a.b.org, b.org, org."""
    while host:
        yield host
        host = host.partition(".")[2]


def canonical_url(url: str) -> str:
    """A URL so that other spellings of it are the same string: `//host/path?query`.

    The scheme, a user name, the default port and the fragment are left out; percent-encoding is made uniform. What is
    no URL stays as it is, without the spaces around it.
    """
    url = url.strip()
    match = re.match(_AUTHORITY, url) or re.match(_NO_SCHEME, url)
    host = normalize_host(match[1]) if match else None
    if match is None or host is None:
        return url
    port = re.search(r":[0-9]*$", match[1].rpartition("@")[2])
    rest = re.sub(r"[\t\r\n]", "", url[match.end(1) :].partition("#")[0])
    path, question_mark, query = rest.replace("\\", "/").partition("?")
    path, query = _encode(path), _encode(query)
    shown_port = port[0] if port and port[0] not in _DEFAULT_PORTS else ""
    return f"//{host}{shown_port}{path or '/'}{question_mark if query else ''}{query}"


def _encode(part: str) -> str:
    """A path or query with uniform percent-encoding; bytes that are not UTF-8 stay as they are."""
    return quote(unquote(part, errors="surrogateescape"), safe=_SAFE, errors="surrogateescape")
