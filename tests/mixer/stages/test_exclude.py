"""Which documents are in the lists of `[exclude]`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.recipe_exclude import KINDS, Exclude, ExclusionList, read_lists
from gpts_data.mixer.stages.exclude import NOT_EXCLUDED, Excluder
from gpts_data.pipelines.errors import RecipeError

LABELS = st.sampled_from(["a", "b", "org", "com"])
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)


def lists(folder: Path, **content: str) -> tuple[ExclusionList, ...]:
    for kind, text in content.items():
        (folder / kind).write_bytes(text.encode())
    return read_lists(Exclude(**{kind: (kind,) for kind in content}), folder)


def kinds(excluder: Excluder, *documents: tuple[str, str | None]) -> list[str | None]:
    columns = [pa.array(column, pa.string()) for column in zip(*documents, strict=True)]
    found = excluder.find(*columns).kinds
    return [None if kind == NOT_EXCLUDED else KINDS[kind] for kind in found.tolist()]


@given(st.lists(HOSTS, max_size=4), st.lists(HOSTS, min_size=1, max_size=8))
def test_a_domain_excludes_itself_and_its_subdomains_only(domains: list[str], hosts: list[str]) -> None:
    excluder = Excluder([ExclusionList("domains", "f", tuple(sorted(set(domains))))])
    found = excluder.find(pa.array(hosts), pa.array([f"https://{host}/a.org" for host in hosts])).kinds
    parts = [host.split(".") for host in hosts]
    expected = [any(host[-len(d.split(".")) :] == d.split(".") for d in domains) for host in parts]
    assert (found == KINDS.index("domains")).tolist() == expected


def test_entries_match_in_every_spelling(tmp_path: Path) -> None:
    content = {
        "ids": "\ufeff# by request\n\n  doc 1\r\nfile.jsonl:17\n",
        "urls": 'http://a.org/it\'s a "page"/\u00fc?x=1 \n#no\nnot a url\nhttp://localhost/x\n',
        "domains": "*.B.org.\nhttps://c.org/\nb\u00fccher.de\n.d.org\n",
    }
    found = lists(tmp_path, **content)
    assert [len(one.entries) for one in found] == [2, 3, 4]
    excluder = Excluder(found)
    documents = {
        ("doc 1", None): "ids",
        (" doc 1", "https://x.b.org"): "ids",
        ("doc 2", "https://a.org/it%27s%20a%20%22page%22/%C3%BC?x=1#y"): "urls",
        ("3", "not a url"): "urls",
        ("4", "https://localhost/x"): "urls",
        ("5", "https://a.org/it's"): None,
        ("6", "https://x.b.org:80/"): "domains",
        ("7", "https://xb.org/b.org"): None,
        ("8", "https://XN--BCHER-KVA.de"): "domains",
        ("9", "http://d.org./"): "domains",
        ("10", None): None,
        ("11", "also no url"): None,
    }
    assert dict(zip(documents, kinds(excluder, *documents), strict=True)) == documents
    rows = [(1, {"id": "doc 1", "url": None}), (2, {"id": "no", "url": None})]
    assert excluder.without(iter(rows)) == rows[1:]
    assert Excluder([]).without(iter(rows)) == rows


def test_a_document_counts_for_every_list_that_has_it() -> None:
    excluder = Excluder([ExclusionList("domains", "a", ("b.org",)), ExclusionList("ids", "b", ("1", "2"))])
    found = excluder.find(pa.array(["1", "3"]), pa.array(["http://b.org", "http://b.org"]))
    assert found.documents == (2, 1)
    assert found.kinds.tolist() == [0, 2]
    assert found.kinds.dtype == np.uint8


def test_the_digest_is_that_of_the_set(tmp_path: Path) -> None:
    first, second = lists(tmp_path, ids="b\na\nb\n"), lists(tmp_path, ids="# x\na\n\nb")
    assert first[0].digest() == second[0].digest()
    assert first[0].digest() != lists(tmp_path, ids="a")[0].digest()


@pytest.mark.parametrize(
    "kind, content, message",
    [
        ("domains", b"a.org\nhttps://a.org/page\n", "line 2: 'https://a.org/page', expected a domain"),
        ("domains", b"a b.org\n", "line 1: 'a b.org', expected a domain"),
        ("domains", b"a.org # no\n", "line 1"),
        ("ids", b"a\n\xff\n", "line 2 is not UTF-8"),
        ("urls", None, "No such file"),
    ],
)
def test_a_bad_list_is_named_with_its_line(kind: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(RecipeError, match=f"exclude.{kind} = 'list.txt'") as error:
        read_lists(Exclude(**{kind: ("list.txt",)}), tmp_path)
    assert message in str(error.value)


def test_a_table_without_a_list_is_refused(tmp_path: Path) -> None:
    source = '[[source]]\nname = "a"\nweight = 1\nfiles = "a"\n'
    (tmp_path / "r.toml").write_text(f'name = "x"\ntokens = 512\n{source}[exclude]\n', encoding="utf-8")
    with pytest.raises(RecipeError, match=r"\[exclude\] names no list"):
        load_recipe(tmp_path / "r.toml")
