"""The recipe that `init` writes: sources and columns detected, weights by size, each key with a comment."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from gpts_data.mixer.plan import MAX_EPOCHS
from gpts_data.mixer.recipe import RecipeSource, load_recipe
from gpts_data.mixer.starter.columns import DetectedColumns, detect_columns
from gpts_data.mixer.starter.file_groups import find_sources, valid_name
from gpts_data.pipelines.errors import ForeignFolderError, RecipeError, ShortSourceError, UsageError
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.readers.reader import list_files, split_units
from gpts_data.pipelines.readers.source import Listing
from gpts_data.pipelines.storage.atomic_files import write_bytes

BYTES_PER_TOKEN = 6  # 3.4 bytes of English with 4,096 entries; 43% is left for what filters and dedup drop
MAX_TOKENS = 25 * 10**9  # the published budget of GPT-S-5M, 4,800 tokens per parameter
WINDOW = 512
SMALL_WEIGHT = 5  # per cent: below it, rounding changes a source's share by more than a tenth
SMALL_TEXT = 4_000_000  # bytes, below which there is too little text for 4,096 good entries
UNIT = 64_000_000

_HEAD = """\
# Written by `gpts-data init`. Look at weights, columns and filters, then run:
#   gpts-data plan --recipe {recipe}
#   gpts-data build-mix --recipe {recipe} --out mix
# docs/reference.md explains every key.

name = {name}

# Training tokens; --tokens overrides them. Estimated from the size: a token for {ratio} bytes of text. (It has about
# 3.4 bytes of English, but filters and deduplication drop some text.) The sources have about {text} of text, which
# should make {available} tokens. `gpts-data plan` estimates them by running the filters on a sample.
tokens = {tokens}

# Tokens in a window: the length of a training sequence.
window = {window}

[tokenizer]
# Vocabulary entries, at most 65,536. Large models and several languages need more.
vocab_size = {vocab_size}
# Text that the tokenizer is trained on, drawn from the sources by weight.
sample = "{sample}"

# Each source has its share of the tokens by its weight relative to the other weights; here they are proportional to
# size. Of duplicates, the document of the source that comes first is kept. Paths are relative to this file's folder.

"""
_TAIL = """
[clean]
# datatrove's filters. This one drops repetitive text only. For web pages that nobody has filtered, use all three:
# filters = ["gopher_repetition", "gopher_quality", "fineweb_quality"]
filters = ["gopher_repetition"]

[dedup]
# Drops near-duplicates, in addition to equal documents. `minhash = false` keeps them.
minhash = { jaccard = 0.5 }

[validation]
# Fraction of the documents that are held out of training.
fraction = 0.0005
"""


@dataclass(frozen=True)
class StarterSource:
    """A source of the recipe, and the bytes of text that it probably has."""

    source: RecipeSource
    text_bytes: int
    detected: DetectedColumns


@dataclass(frozen=True)
class StarterRecipe:
    """A recipe for given data: the text of the TOML file and what it says."""

    text: str
    tokens: int
    """Tokens of the mix; an estimate from the bytes of text."""
    sources: tuple[StarterSource, ...]


def write_starter_recipe(
    arguments: Sequence[str], path: Path, fetch_options: FetchOptions = FetchOptions()
) -> StarterRecipe:
    """Write a recipe for files, folders, globs and datasets to `path`, and return it.

    Raises `ForeignFolderError` when `path` exists, `UsageError` and `RecipeError` for what cannot be a source,
    `ShortSourceError` when there is too little text for a mix.
    """
    if path.exists() or path.is_symlink():
        raise ForeignFolderError(f"{path} exists already; choose another --out, or remove it")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}; create it first")
    starter = starter_recipe(arguments, path, fetch_options)
    write_bytes(path, starter.text.encode())
    return starter


def starter_recipe(arguments: Sequence[str], path: Path, fetch_options: FetchOptions = FetchOptions()) -> StarterRecipe:
    """The recipe of these files, which will lie at `path`. Raises as `write_starter_recipe` does."""
    folder = path.parent.resolve()
    examined = [_examine(source, folder, fetch_options) for source in find_sources(arguments, folder)]
    weights = _weights([source.text_bytes for source in examined])
    tokens = _tokens(examined, weights)
    total = sum(weights)
    sources = tuple(
        _weighted(source, weight, tokens * weight // total) for source, weight in zip(examined, weights, strict=True)
    )
    name = valid_name(folder.name if path.stem == "recipe" else path.stem)
    text = _text(name, path.name, tokens, sources)
    with tempfile.TemporaryDirectory() as scratch:  # a recipe that is not valid is never written
        written = Path(scratch, "recipe.toml")
        written.write_text(text, encoding="utf-8")
        return StarterRecipe(text, load_recipe(written).tokens, sources)


def _examine(source: RecipeSource, folder: Path, fetch_options: FetchOptions) -> StarterSource:
    listing = list_files(source, folder, fetch_options)
    files = [file for file in listing.single_files if file.size]
    if not files:
        raise RecipeError(f"{', '.join(source.files) or source.dataset}: only empty files; expected files with text")
    detected = detect_columns(source, files[0], fetch_options)
    source = replace(source, text=detected.text, id=detected.id, url=detected.url)
    source = replace(source, revision=listing.revision) if source.dataset else source
    return StarterSource(source, _text_bytes(source, listing, detected, fetch_options), detected)


def _text_bytes(source: RecipeSource, listing: Listing, detected: DetectedColumns, fetch_options: FetchOptions) -> int:
    """Bytes of text in all files; of a dataset or store one file is opened, and the others are counted by size."""
    files = [file for file in listing.single_files if file.size]
    opened = files[:1] if source.is_remote else files
    counted = sum(unit.text_bytes for file in opened for unit in split_units(source, file, UNIT, fetch_options))
    scale = sum(file.size for file in files) / sum(file.size for file in opened)
    return max(1, int(counted * scale * detected.text_share))


def _weights(sizes: Sequence[int]) -> list[int]:
    """The share of each size in whole per cents, at least 1."""
    return [max(1, round(100 * size / sum(sizes))) for size in sizes]


def _tokens(sources: Sequence[StarterSource], weights: Sequence[int]) -> int:
    """The tokens that all text makes, or fewer, so that each source has its share.

    A source whose weight was rounded much may be repeated. Raises `ShortSourceError` when a source would get no window.
    """
    available = [source.text_bytes // BYTES_PER_TOKEN for source in sources]
    epochs = [1 if weight >= SMALL_WEIGHT else MAX_EPOCHS for weight in weights]
    limits = [
        tokens * times * sum(weights) // weight
        for tokens, times, weight in zip(available, epochs, weights, strict=True)
    ]
    tokens = _rounded_down(min(sum(available), MAX_TOKENS, *limits))
    needed = WINDOW * sum(weights) // min(weights) + 1
    if tokens < needed:
        sizes = ", ".join(f"{source.source.name} {source.text_bytes:,} bytes" for source in sources)
        raise ShortSourceError(
            f"too little text for a mix: found {sizes}, which make about {tokens:,} tokens at {BYTES_PER_TOKEN} bytes "
            f"each, expected at least {needed:,}, so that each source fills a window of {WINDOW}; give more files"
        )
    return tokens


def _weighted(source: StarterSource, weight: int, needed: int) -> StarterSource:
    """The source with its weight, and as many epochs as fill its share of `needed` tokens."""
    epochs = ceil(needed / max(source.text_bytes // BYTES_PER_TOKEN, 1))
    return replace(source, source=replace(source.source, weight=weight, max_epochs=max(1, min(MAX_EPOCHS, epochs))))


def _rounded_down(number: int) -> int:
    """The number with two significant digits."""
    unit = 10 ** max(len(str(number)) - 2, 0)
    return int(number // unit * unit)


def _quantity(number: int) -> str:
    """A number with two significant digits as recipes write it: `2.4M`."""
    for unit, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= unit:
            return f"{number / unit:g}{letter}"
    return str(number)


def _text(name: str, file: str, tokens: int, sources: Sequence[StarterSource]) -> str:
    text_bytes = sum(source.text_bytes for source in sources)
    is_small = text_bytes < SMALL_TEXT
    head = _HEAD.format(
        recipe=shlex.quote(file) if file.isprintable() else "FILE",
        name=_string(name),
        ratio=BYTES_PER_TOKEN,
        text=_bytes(text_bytes),
        available=_quantity(_rounded_down(text_bytes // BYTES_PER_TOKEN)),
        tokens=_string(_quantity(tokens)),
        window=WINDOW,
        vocab_size=1024 if is_small else 4096,
        sample="2MB" if is_small else "200MB",
    )
    return head + "\n".join(map(_source_table, sources)) + _TAIL


def _source_table(starter: StarterSource) -> str:
    source = starter.source
    files = list(source.files) if len(source.files) > 1 else source.files[0] if source.files else None
    by_config = source.dataset is not None and not source.files
    epochs = source.max_epochs if source.max_epochs > 1 else None
    rows: list[tuple[str, object, str]] = [
        ("name", source.name, ""),
        ("weight", source.weight, f"about {_bytes(starter.text_bytes)} of text"),
        ("dataset", source.dataset, "on the Hugging Face Hub"),
        ("config", source.config, ""),
        ("split", source.split if by_config else None, ""),
        ("revision", source.revision, "a commit; without it, a new build uses the newest one"),
        ("files", files, "paths in the dataset" if source.dataset else ""),
        ("text", source.text, "the column of the text"),
        ("id", source.id, "the column of the document's id; of documents with the same id, one is kept"),
        ("url", source.url, "the column of its URL"),
        ("max_epochs", epochs, "it may be repeated this often, because it has fewer tokens than its share"),
    ]
    lines = [f"{key} = {_string(value)}{f'  # {why}' if why else ''}" for key, value, why in rows if value is not None]
    return "\n".join(["[[source]]", *lines, '# license = "odc-by"  # as the Hub spells it; for the dataset card', ""])


def _string(value: object) -> str:
    """A TOML value: JSON's strings, numbers and lists are TOML's too, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _bytes(number: int) -> str:
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number} bytes"
