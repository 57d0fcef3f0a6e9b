"""A mix without the documents of some lists: they are gone from every file of it, and no text is read again."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gpts_data.mixer.build import Built, build
from gpts_data.mixer.format.find_document import table_entries
from gpts_data.mixer.format.manifest import NAME
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.format.mix_encoder import open_encoder
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import ForeignFolderError
from gpts_data.validation.diff import diff
from gpts_data.validation.explain.document import explain_document
from gpts_data.validation.verify import verify
from tests.conftest import prose

ODD_URL = 'https://odd.example/it\'s a "page"/\N{LATIN SMALL LETTER U WITH DIAERESIS}?x=1'
IDS = [f"web-{i}" for i in range(7, 600, 100)]  # 1% of the documents
DOMAINS = [f"site{i}.example" for i in range(20)]
RECIPE = """
name = "takedown"
tokens = 200000  # more than there are, so that every unit is read
window = 64
unit = "20kB"
shard_windows = 100
keep_dropped = 10

[draw]
order = "file"

[tokenizer]
vocab_size = 400
sample = "40kB"

[[source]]
name = "web"
weight = 2
max_epochs = 9
files = "web.jsonl"
id = "id"
url = "url"

[[source]]
name = "books"
weight = 1
max_epochs = 9
files = "books.jsonl"
id = "id"

[clean]
min_characters = 40

[validation]
fraction = 0.05
"""
EXCLUDE = """
[exclude]
ids = ["ids.txt", "none.txt"]
urls = "urls.txt"
domains = "domains.txt"
"""


@dataclass
class Takedown:
    """A mix, the lists of what must go, and what the texts of the documents to be removed contain."""

    home: Path
    before: Mix
    after: Built
    marks: dict[str, str]
    """A word that only this document has, by id."""

    @property
    def mix(self) -> Mix:
        return open_mix(self.home / "after")


def write_corpus(home: Path) -> dict[str, str]:
    """600 pages of 60 sites and 200 books; returns a word of each page that must go, by its id."""
    rng = random.Random(5)
    hosts = [f"site{i}.example" if i % 2 else f"www.Site{i}.EXAMPLE" for i in range(60)]
    web = [
        {
            "id": f"web-{i}",
            "url": f"https://{hosts[i % 60]}/{i}",
            "text": f"{prose(rng, rng.randint(20, 60))} mark{i}z",
        }
        for i in range(600)
    ]
    web[330]["url"] = ODD_URL
    for i in (40, 47, 107):  # 47: another site; 107: in the list of ids. All go, and 290 and 291 repeat two of them
        web[i]["text"] += " and the same end of a page"
    web[290]["text"], web[291]["text"] = web[5]["text"], web[107]["text"]
    web[9]["text"] = "short mark9z"  # dropped by a filter before it is looked for; site9.example
    (home / "web.jsonl").write_text("".join(json.dumps(row) + "\n" for row in web), encoding="utf-8")
    books = [{"id": f"book-{i}", "text": prose(rng, 80)} for i in range(200)]
    (home / "books.jsonl").write_text("".join(json.dumps(row) + "\n" for row in books), encoding="utf-8")
    hosts_of = {row["id"]: (urlsplit(row["url"]).hostname or "").removeprefix("www.") for row in web}
    gone = [row for row in web if row["id"] in IDS or row["url"] == ODD_URL or hosts_of[row["id"]] in DOMAINS]
    return {row["id"]: f"mark{row['id'].removeprefix('web-')}z" for row in gone}


@pytest.fixture(scope="module")
def takedown(tmp_path_factory: pytest.TempPathFactory) -> Takedown:
    home = tmp_path_factory.mktemp("takedown")
    marks = write_corpus(home)
    (home / "before.toml").write_text(RECIPE, encoding="utf-8")
    (home / "after.toml").write_text(RECIPE.replace("[clean]", f"{EXCLUDE}\n[clean]"), encoding="utf-8")
    (home / "ids.txt").write_text("# by request\n" + "\n".join(IDS), encoding="utf-8")
    (home / "none.txt").write_text("web-9999\n", encoding="utf-8")
    (home / "urls.txt").write_text(f"{ODD_URL}\n", encoding="utf-8")
    (home / "domains.txt").write_text("\n".join(DOMAINS), encoding="utf-8")
    build(load_recipe(home / "before.toml"), home, home / "before", keep_units=home / "units")
    before = open_mix(home / "before")
    recipe = load_recipe(home / "after.toml")
    after = build(recipe, home, home / "after", keep_units=home / "units", tokenizer=before.tokenizer)
    return Takedown(home, before, after, marks)


def documents(mix: Mix) -> set[str]:
    entries = [entry for name in mix.sources for held in (False, True) for entry in table_entries(mix, name, held)]
    return {id for entry in entries for id in mix.table(entry, ["id"]).column("id").to_pylist()}


def test_excluded_documents_are_in_no_file(takedown: Takedown) -> None:
    mix, encoder = takedown.mix, open_encoder(takedown.mix)
    assert verify(mix.path) == []
    assert len(takedown.marks) > 200
    assert documents(takedown.before) & takedown.marks.keys()
    assert not documents(mix) & takedown.marks.keys()
    windows = [*(mix.shard(n) for n in range(len(mix.shards))), *(mix.validation(name) for name in mix.sources)]
    texts = "\n".join(encoder.decode(window) for array in windows for window in array)
    assert "mark" in texts
    dropped = "".join(path.read_text(encoding="utf-8") for path in (mix.path / "dropped").iterdir())
    for id, mark in takedown.marks.items():
        assert mark not in texts or id in ("web-5", "web-107")  # which 290 and 291 repeat
        assert f'"{id}"' not in dropped and mark not in dropped, id
    for name in (NAME, "README.md", "croissant.json"):
        content = (mix.path / name).read_text(encoding="utf-8")
        assert "site7.example" not in content and "odd.example" not in content and '"web-107"' not in content


def test_a_repetition_of_an_excluded_document_is_kept(takedown: Takedown) -> None:
    (before,), (after,) = (explain_document(mix, "web-291") for mix in (takedown.before, takedown.mix))
    assert before.kept is not None and before.kept.document_id == "web-107"
    assert after.outcome == "kept"


def test_the_reason_can_be_looked_up(takedown: Takedown) -> None:
    mix = takedown.mix
    outcomes = {id: explain_document(mix, id, takedown.home)[0] for id in ("web-107", "web-330", "web-66", "web-9")}
    assert {id: outcome.outcome for id, outcome in outcomes.items()} == {
        "web-107": "excluded_id",
        "web-330": "excluded_url",
        "web-66": "excluded_domain",
        "web-9": "too_short",  # PREPARE comes before
    }
    assert outcomes["web-66"].detail == "its domain is in a list of [exclude] domains, which must not be in the mix"
    assert outcomes["web-66"].text is None
    fall = mix.manifest["waterfall"]["web"]
    assert fall["read"] == fall["kept"] + sum(fall["dropped"].values())


def test_the_manifest_says_what_each_list_did_and_none_of_its_entries(takedown: Takedown) -> None:
    entries = {entry["file"]: entry for entry in takedown.mix.manifest["exclusions"]}
    assert {file: entry["entries"] for file, entry in entries.items()} == {
        "ids.txt": 6,
        "none.txt": 1,
        "urls.txt": 1,
        "domains.txt": 20,
    }
    assert {file: entry["documents"] for file, entry in entries.items() if file != "domains.txt"} == {
        "ids.txt": 6,
        "none.txt": 0,
        "urls.txt": 1,
    }
    dropped = takedown.mix.manifest["waterfall"]["web"]["dropped"]
    n_domain = entries["domains.txt"]["documents"]
    assert dropped["excluded_id"] + dropped["excluded_url"] == 7 and dropped["excluded_domain"] < n_domain


def test_units_are_reused_and_the_digest_is_that_of_a_new_build(takedown: Takedown) -> None:
    assert takedown.after.reused == takedown.after.units > 4
    recipe = load_recipe(takedown.home / "after.toml")
    scratch = build(recipe, takedown.home, takedown.home / "scratch", tokenizer=takedown.before.tokenizer, workers=2)
    assert scratch.manifest["root_digest"] == takedown.after.manifest["root_digest"]
    assert scratch.manifest["build_id"] != takedown.before.manifest["build_id"]


def test_diff_names_exactly_the_documents_that_went(takedown: Takedown) -> None:
    difference = diff(takedown.before, takedown.mix, max_ids=1000)
    gone = documents(takedown.before) - documents(takedown.mix)
    assert set(difference.sources["web"].only_a) == gone
    listed = gone & takedown.marks.keys()
    assert listed == documents(takedown.before) & takedown.marks.keys()


def test_another_list_is_another_mix(takedown: Takedown) -> None:
    recipe = load_recipe(takedown.home / "after.toml")
    again = build(recipe, takedown.home, takedown.home / "after", tokenizer=takedown.before.tokenizer)
    assert not again.created
    other = takedown.home / "other"
    other.mkdir()
    for path in takedown.home.glob("*.txt"):
        (other / path.name).write_bytes(path.read_bytes())
    (other / "ids.txt").write_text("web-1\n", encoding="utf-8")
    with pytest.raises(ForeignFolderError, match="exclude"):
        build(recipe, other, takedown.home / "after", tokenizer=takedown.before.tokenizer)
