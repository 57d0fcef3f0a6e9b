"""A wrong recipe is refused before any work; the error names the key, what was found and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpts_data.mixer.recipe import Recipe, load_recipe, resolved
from gpts_data.pipelines.dedup.signatures import Dedup, MinHash
from gpts_data.pipelines.errors import RecipeError
from gpts_data.validation.api import PRESETS

SOURCE = "[[source]]\nname = 'a'\nweight = 1\nfiles = 'x'\n"
HEAD = "name = 'r'\ntokens = '1M'\n"

TWO = "".join(f"[[source]]\nname = '{name}'\nfiles = 'x'\n" for name in ("web", "books"))
UNTIL = "[[stage]]\nuntil = 0.7\nweights = { web = 3, books = 1 }\n"
LAST = "[[stage]]\nweights = { books = 1 }\n"

BAD = {
    "unknown key": ("nme = 'r'\n" + HEAD + SOURCE, r"unknown key nme; did you mean name\?"),
    "unknown key in a source": (
        HEAD + SOURCE.replace("weight", "wieght"),
        r"source\[0\]\.wieght; did you mean weight\?",
    ),
    "unknown table": (HEAD + "[cleaning]\nfilters = []\n" + SOURCE, r"unknown key cleaning; did you mean clean\?"),
    "ids of no kind": (
        HEAD + '[dedup]\nid = "files"\n' + SOURCE,
        r"dedup\.id = 'files', expected \"source\".*\"all\".*false",
    ),
    "unknown key in a table": (HEAD + "[dedup]\nminhsh = false\n" + SOURCE, r"dedup\.minhsh; did you mean minhash\?"),
    "missing key": ("tokens = '1M'\n" + SOURCE, "name is missing"),
    "bad quantity": (HEAD.replace("1M", "1Q") + SOURCE, r"tokens = '1Q', expected a quantity such as 25B"),
    "zero tokens": (HEAD.replace("1M", "0") + SOURCE, "expected a quantity"),
    "unknown draw order": (
        HEAD + "[draw]\norder = 'random'\n" + SOURCE,
        "draw.order = 'random', expected 'spread' or 'file'",
    ),
    "unknown key of the draw": (HEAD + "[draw]\nsed = 1\n" + SOURCE, r"draw\.sed; did you mean seed\?"),
    "wrong type": (HEAD + SOURCE.replace("'a'", "3"), r"source\[0\]\.name = 3, expected str"),
    "bool is no number": (HEAD + "seed = true\n" + SOURCE, "seed = True, expected int"),
    "no source": (HEAD, "source is missing"),
    "empty sources": (HEAD + "source = []\n", r"no \[\[source\]\]"),
    "same name twice": (HEAD + SOURCE + SOURCE, "names must differ"),
    "a name that is a path": (HEAD + SOURCE.replace("'a'", "'../a'"), "names files"),
    "files and config": (HEAD + SOURCE + "dataset = 'o/d'\nconfig = 'c'\n", "config chooses files of a dataset"),
    "an address that is none": (
        HEAD + SOURCE.replace("files = ", "files = 'hf://o/d'#"),
        "expected hf://datasets/owner/name/path",
    ),
    "neither files nor dataset": (HEAD + "[[source]]\nname = 'a'\nweight = 1\n", "found neither"),
    "revision of files": (HEAD + SOURCE + "revision = 'main'\n", "belongs to a hub dataset"),
    "weight zero": (HEAD + SOURCE.replace("weight = 1", "weight = 0"), "weight = 0, expected a number above 0"),
    "unknown filter": (HEAD + "[clean]\nfilters = ['gopher']\n" + SOURCE, "no filter is called 'gopher'"),
    "misspelled filter": (
        HEAD + "[clean]\nfilters = ['Gopher-Quality']\n" + SOURCE,
        r"no filter is called 'Gopher-Quality'; did you mean gopher_quality\?",
    ),
    "unknown threshold": (
        HEAD + "[clean]\nfilters = ['gopher_quality']\n[clean.gopher_quality]\nmin_words = 3\n" + SOURCE,
        r"no threshold is called 'min_words'; did you mean min_doc_words\?",
    ),
    "window of one": (HEAD + "window = 1\n" + SOURCE, "window = 1, expected at least 2"),
    "minimum below zero": (
        HEAD + "[validation]\nminimum = -1\n" + SOURCE,
        "validation.minimum = -1, expected 0 or more",
    ),
    "fraction of one": (HEAD + "[validation]\nfraction = 1.0\n" + SOURCE, "expected at least 0 and below 1"),
    "vocabulary": (HEAD + "[tokenizer]\nvocab_size = 70000\n" + SOURCE, r"vocab_size = 70000, expected 257"),
    "no room for the merges": (
        HEAD + "[tokenizer]\nvocab_size = 257\nspecial = ['<|a|>']\n" + SOURCE,
        r"vocab_size = 257, expected 258 \(256 bytes, end-of-text and special tokens\)",
    ),
    "a special token that is a word": (HEAD + "[tokenizer]\nspecial = ['user']\n" + SOURCE, r"'user'.*like <\|user\|>"),
    "one of signs alone": (HEAD + "[tokenizer]\nspecial = ['<|_|>']\n" + SOURCE, r"has '<\|_\|>'"),
    "end-of-text again": (HEAD + "[tokenizer]\nspecial = ['<|endoftext|>']\n" + SOURCE, "each once and none"),
    "a special token twice": (HEAD + "[tokenizer]\nspecial = ['<|a|>', '<|a|>']\n" + SOURCE, "each once"),
    "weight without end": (HEAD + SOURCE.replace("weight = 1", "weight = inf"), "weight = inf, expected a number"),
    "a license that is no name": (HEAD + SOURCE + "license = ['odc-by', 'a: b']\n", "license 'a: b'.*odc-by"),
    "a license that says nothing": (HEAD + SOURCE + "license = ''\n", "license ''"),
    "no weight and no stage": (HEAD + SOURCE.replace("weight = 1\n", ""), "source 'a': weight is missing"),
    "weight beside stages": (
        HEAD + SOURCE + LAST.replace("books", "a"),
        r"weight = 1, but the recipe has \[\[stage\]\]",
    ),
    "a source of no stage": (HEAD + TWO + LAST, "source 'web' is in the weights of no stage"),
    "a stage with an unknown source": (
        HEAD + TWO + UNTIL.replace("books", "boks") + LAST,
        r"stage\[0\]\.weights: no source is called 'boks'; did you mean books\?",
    ),
    "a last stage with an end": (HEAD + TWO + UNTIL, r"stage\[0\]\.until = 0\.7, but the last stage ends"),
    "a stage without an end": (HEAD + TWO + LAST + LAST, r"stage\[0\]\.until is missing"),
    "a weight of zero in a stage": (HEAD + TWO + UNTIL.replace("3", "0") + LAST, r"weights\.web = 0.*is absent"),
    "a stage without weights": (HEAD + TWO + UNTIL + "[[stage]]\nweights = {}\n", r"stage\[1\]\.weights is empty"),
    "ends that do not rise": (
        HEAD + TWO + UNTIL + UNTIL.replace("0.7", "0.5") + LAST,
        r"stage\[1\] holds no window: it begins at window 1,367 and ends at window 977 of 1,953",
    ),
    "a stage too short for a window": (
        HEAD + TWO + UNTIL.replace("0.7", "200") + LAST,
        r"stage\[0\] holds no window.*window of 512 tokens",
    ),
    "an end behind the tokens": (
        HEAD + TWO + UNTIL.replace("0.7", "'2M'") + LAST,
        r"until = 2,000,000 is window 3,906, but the tokens make 1,953",
    ),
    "a share of one": (HEAD + TWO + UNTIL.replace("0.7", "1.0") + LAST, r"stage\[0\] holds no window"),
    "an end that is no quantity": (HEAD + TWO + UNTIL.replace("0.7", "'70%'") + LAST, r"stage\[0\]\.until = '70%'"),
    "a source with too little weight": (
        HEAD.replace("1M", "5000") + TWO + UNTIL.replace("web = 3", "web = 0.001") + LAST,
        "source 'web': its weights in the stages give it no window of the 10",
    ),
    "not TOML": ("name = \n", "not valid TOML"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_recipes(case: str, tmp_path: Path) -> None:
    text, message = BAD[case]
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(path)


def test_presets_load() -> None:
    recipe = load_recipe(PRESETS / "gpt-s-5m.toml")
    assert recipe.windows == (26_855_469, 14_648_437, 7_324_219)
    assert [source.dataset for source in recipe.source] == [
        "HuggingFaceFW/fineweb-edu",
        "HuggingFaceTB/smollm-corpus",
        "epfml/FineWeb-HQ",
    ]
    assert recipe.dedup == Dedup(exact=True, id="all", url=True, minhash=MinHash(5, 14, 8, jaccard=0.5))
    assert load_recipe(PRESETS / "sample.toml").names == recipe.names


def test_tokens_override(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(HEAD + SOURCE)
    assert load_recipe(path, 5120).windows == (10,)


def test_cleaning_of_one_source_overrides(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(HEAD + "[clean]\nfilters = ['c4']\n" + SOURCE + "[source.clean]\nfilters = []\n")
    recipe = load_recipe(path)
    assert recipe.cleaning(recipe.source[0]).filters == ()


def test_minhash_can_be_switched_off(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(HEAD + "[dedup]\nminhash = false\n" + SOURCE)
    assert load_recipe(path).dedup.minhash is None


@pytest.mark.parametrize("value", ["3", '{ int_score = "3" }', "{ int_score = true }", "[3]"])
def test_least_scores_are_numbers_by_column(tmp_path: Path, value: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f'name = "x"\ntokens = 9000\n[[source]]\nname = "a"\nweight = 1\nfiles = "*"\nat_least = {value}\n')
    with pytest.raises(RecipeError, match=r"source\[0\]\.at_least.*expected a (table|number)"):
        load_recipe(path)


def test_least_scores_and_lengths_reach_their_tables(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        'name = "x"\ntokens = 9000\n[clean]\nmin_characters = 20\nmax_characters = 900\nengine = "datatrove"\n'
        '[[source]]\nname = "a"\nweight = 1\nfiles = "*"\nat_least = { int_score = 3, language_score = 0.65 }\n'
    )
    recipe = load_recipe(path)
    assert recipe.source[0].at_least == {"int_score": 3, "language_score": 0.65}
    assert (recipe.clean.min_characters, recipe.clean.max_characters, recipe.clean.engine) == (20, 900, "datatrove")
    path.write_text(path.read_text().replace('"datatrove"', '"spacy"'))
    with pytest.raises(RecipeError, match="clean.engine = 'spacy', expected one of numba, datatrove"):
        load_recipe(path)


def staged(tmp_path: Path, stages: str, tokens: str = "1M") -> Recipe:
    path = tmp_path / "recipe.toml"
    path.write_text(HEAD.replace("1M", tokens) + TWO + stages)
    return load_recipe(path)


def test_stages_by_share_and_by_tokens(tmp_path: Path) -> None:
    by_share, by_tokens = staged(tmp_path, UNTIL + LAST), staged(tmp_path, UNTIL.replace("0.7", "'700k'") + LAST)
    assert [(stage.start, stage.stop) for stage in by_share.stages] == [(0, 1367), (1367, 1953)]
    assert by_share.stages == by_tokens.stages
    assert by_share.windows == (1025, 928) == tuple(map(sum, zip(*(s.windows for s in by_share.stages), strict=True)))
    assert by_share.weights == by_tokens.weights == (0.525, 0.475)  # 0.7 x 0.75 and the rest
    assert [source.weight for source in by_share.weighted_sources] == [0.525, 0.475]
    table = resolved(by_share)
    assert [stage["until"] for stage in table["stage"]] == [0.7, None]
    assert "weight" not in table["source"][0]


def test_one_stage_is_the_recipe_with_plain_weights(tmp_path: Path) -> None:
    one = staged(tmp_path, "[[stage]]\nweights = { books = 1, web = 3 }\n")
    plain = tmp_path / "plain.toml"
    plain.write_text(HEAD + TWO.replace("'web'", "'web'\nweight = 3").replace("'books'", "'books'\nweight = 1"))
    assert one == load_recipe(plain)
    assert "stage" not in resolved(one)
    assert [(stage.start, stage.stop, stage.windows) for stage in one.stages] == [(0, 1953, one.windows)]
