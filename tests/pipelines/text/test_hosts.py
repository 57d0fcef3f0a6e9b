"""Hosts of URLs: one spelling each, however odd the URL, and the same for a column as for one URL."""

from __future__ import annotations

from urllib.parse import urlsplit

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.pipelines.text.hosts import canonical_url, parents, url_host, url_hosts

ODD = {
    "http://User:p%40ss@EXAMPLE.ORG.:8080/x?q#f": "example.org",
    "https:\\\\a.example.org\\page": "a.example.org",
    "http:///example.org/page": "example.org",
    "//example.org": "example.org",
    "example.org/page": "example.org",
    " \thttps://example.org?q": "example.org",
    "https://evil.com@example.org/": "example.org",
    "https://example.org#@evil.com/": "example.org",
    "http://ex%61mple.org/": "example.org",
    "https://B\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.de/": "xn--bcher-kva.de",
    "https://stra\N{LATIN SMALL LETTER SHARP S}e.de/": "xn--strae-oqa.de",
    "https://example\N{IDEOGRAPHIC FULL STOP}org/": "example.org",
    "http://[2001:DB8::1]:80/": "[2001:db8::1]",
    "mailto:someone@example.org": None,
    "http://": None,
    "not a url": None,
    "": None,
}
LABEL = st.text("abcxyz09-", min_size=1, max_size=6)
HOST = st.lists(LABEL, min_size=2, max_size=4).map(".".join).filter(lambda host: not host.startswith("."))
PATH = st.text(st.characters(codec="utf-8"), max_size=12)


def test_odd_urls_have_the_host_that_a_browser_would_ask() -> None:
    assert {url: url_host(url) for url in ODD} == ODD


@given(HOST, PATH, st.sampled_from(["http://", "HTTPS://", "//", "ftp://"]), st.sampled_from(["", ":80", ":8443", "."]))
def test_a_host_does_not_depend_on_what_surrounds_it(host: str, path: str, scheme: str, end: str) -> None:
    url = f"{scheme}user:x@{host.upper()}{end}/{path}"
    assert url_host(url) == host
    assert urlsplit(f"http://{host}/").hostname == host


@given(st.lists(st.none() | st.sampled_from(sorted(ODD)) | st.text(st.characters(codec="utf-8"), max_size=30)))
def test_a_column_has_the_hosts_of_its_urls(urls: list[str | None]) -> None:
    hosts = url_hosts(pa.array(urls, pa.string())).to_pylist()
    assert hosts == [None if url is None else url_host(url) for url in urls]


@given(
    st.text(st.characters(codec="utf-8"), max_size=30)
    | st.tuples(HOST, PATH).map(lambda url: "http://" + "/".join(url))
)
def test_a_canonical_url_stays_as_it_is(url: str) -> None:
    assert canonical_url(canonical_url(url)) == canonical_url(url)
    if (host := url_host(url)) is not None:
        assert url_host(canonical_url(url)) == host


@pytest.mark.parametrize(
    "spelling",
    [
        "https://example.org/a%20b/%C3%BC?q='x'",
        "http://EXAMPLE.org:80/a b/\N{LATIN SMALL LETTER U WITH DIAERESIS}?q=%27x%27#part",
        "example.org/a b/%c3%bc?q='x'",
    ],
)
def test_spellings_of_a_url_are_one(spelling: str) -> None:
    assert canonical_url(spelling) == "//example.org/a%20b/%C3%BC?q='x'"


def test_other_pages_stay_apart() -> None:
    urls = ["//a.org/x", "//a.org/X", "//a.org/x/", "//a.org/x?y", "//a.org:81/x", "//b.a.org/x", "//a.org/x%3Fy"]
    assert len({canonical_url(url) for url in urls}) == len(urls)


def test_parents_end_with_the_last_label() -> None:
    assert list(parents("a.b.org")) == ["a.b.org", "b.org", "org"]
