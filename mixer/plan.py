"""The plan of a build: what it reads and what it makes, fixed before the first text is read.

`plan.json` holds the recipe with its defaults, the files of every source at one revision, and the digest of a given
tokenizer. A resumed build takes the revisions from it, so it does not matter when a dataset changes meanwhile. A folder
with another plan is refused.
"""

from __future__ import annotations

import secrets
import tempfile
from dataclasses import asdict, dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from gpts_data.mixer.format.manifest_types import ListingEntry
from gpts_data.mixer.plan_file import (
    FORMAT,
    TOKENIZER_RECEIPT,
    WORK,
    PlanIdentity,
    difference,
    read_plan,
    read_scratch_name,
    sources_without_budgets,
    without_budgets,
)
from gpts_data.mixer.recipe import Recipe, RecipeSource, resolved
from gpts_data.mixer.recipe_exclude import ExclusionList, read_lists
from gpts_data.pipelines.decontaminate import index
from gpts_data.pipelines.decontaminate.benchmarks import list_benchmark
from gpts_data.pipelines.dedup.signatures import VERSION
from gpts_data.pipelines.errors import ForeignFolderError, ShortSourceError
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.readers.kinds import compression_of
from gpts_data.pipelines.readers.reader import READERS_VERSION, check_columns, list_files, split_units
from gpts_data.pipelines.readers.source import Listing, Unit
from gpts_data.pipelines.storage.atomic_files import json_digest
from gpts_data.pipelines.storage.paths import AnyPath, absolute, is_file, is_store
from gpts_data.pipelines.storage.receipts import read_receipt
from gpts_data.tokenizer.artifact import Artifact, token_dtype
from gpts_data.tokenizer.encode import EncoderName

UNITS_VERSION = 1  # of the files and the receipt of a prepared unit; units of another version are prepared again
UNITS = "units"
TOKENS_PER_BYTE = 0.25  # of text, about: 3.4 bytes a token, 15% dropped
MAX_EPOCHS = 40  # more epochs over the same text add nothing (Muennighoff et al. 2023, arXiv 2305.16264)


@dataclass(frozen=True)
class Plan:
    """What a build reads and makes, and where.

    `retry_policy`, `encoder` and `keep_units` say how it is done and do not change the mix.
    """

    recipe: Recipe
    listings: tuple[Listing, ...]
    """Files of each source, in recipe order."""
    folder: AnyPath
    """Output folder."""
    tokenizer: Artifact | None
    """Tokenizer given by the user; None when one is trained."""
    retry_policy: RetryPolicy = RetryPolicy()
    encoder: EncoderName = "fast"
    benchmarks: tuple[Listing, ...] = ()
    """Files of each benchmark, in recipe order."""
    keep_units: AnyPath | None = None
    """Folder where prepared units stay after the build; None to delete them with it."""
    exclusions: tuple[ExclusionList, ...] = ()
    """The lists of the recipe's `[exclude]`."""
    scratch_name: str = field(default_factory=lambda: secrets.token_hex(16), compare=False)
    """Name of `scratch` where the output folder is in a store; plan.json keeps it for a resumed build. It is random, so
    that nobody else on the machine can put a folder or link of that name there beforehand."""

    @property
    def fetch_options(self) -> FetchOptions:
        """How remote files are fetched. It does not change the mix."""
        return FetchOptions(self.scratch / "spool", self.retry_policy)

    @property
    def work(self) -> AnyPath:
        """Folder of all intermediate files; deleted when the build is finished."""
        return self.folder / WORK

    @property
    def scratch(self) -> Path:
        """Folder for files that must be on a local disk: `work`, unless that is in a store."""
        if not is_store(self.work):
            return self.work
        return Path(tempfile.gettempdir()) / f"gpts-data-{self.scratch_name}"

    @property
    def units(self) -> AnyPath:
        """Folder of the prepared units."""
        return self.keep_units or self.work / UNITS

    def identity(self) -> PlanIdentity:
        """Everything that determines the bytes of the mix. It is the same on every machine."""
        identity: PlanIdentity = {
            "format": FORMAT,
            "recipe": resolved(self.recipe),
            "sources": [listing_entry(listing) for listing in self.listings],
            "benchmarks": [listing_entry(listing) for listing in self.benchmarks],
            "tokenizer": self.tokenizer.digest if self.tokenizer else None,
        }
        if self.exclusions:
            identity["exclude"] = [exclusion.digest() for exclusion in self.exclusions]
        return identity

    @property
    def key(self) -> str:
        """Digest of the identity."""
        return json_digest(self.identity())

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a stored token id."""
        trained = self.recipe.tokenizer.vocab_size
        return token_dtype(self.tokenizer.vocab_size if self.tokenizer else trained)

    def pass_windows(self, source: int, tokens: int) -> int:
        """Windows in one epoch of a source with `tokens` training tokens: those it needs, or all it has."""
        return min(self.recipe.windows[source], tokens // self.recipe.window)

    def index_key(self) -> str:
        """Digest of everything that the index of the benchmarks' n-grams depends on."""
        config = self.recipe.decontaminate
        columns = [benchmark.columns for benchmark in config.benchmark] if config else []
        ngram = config.ngram if config else 0
        return json_digest([index.VERSION, ngram, columns, [listing_entry(listing) for listing in self.benchmarks]])

    @property
    def index(self) -> AnyPath | None:
        """Folder of the index of the benchmarks' n-grams; None for a recipe without benchmarks."""
        return self.work / "benchmarks" / self.index_key()[:16] if self.recipe.decontaminate else None

    def build_id(self, tokenizer: Artifact) -> str:
        """Digest of everything the mix depends on: recipe, files and tokenizer, whether that was given or trained."""
        return json_digest({**self.identity(), "tokenizer": tokenizer.digest})

    def unit_key(self, source: RecipeSource, unit: Unit, tokenizer: Artifact) -> str:
        """Digest of everything a prepared unit depends on. Weights and budget are not among it, so that other mixes can
        reuse the unit."""
        revision = self.listings[self.recipe.source.index(source)].revision
        return json_digest(
            [
                FORMAT,
                UNITS_VERSION,
                VERSION,
                READERS_VERSION,
                source.columns,
                source.id,
                source.url,
                source.max_document_bytes,
                source.at_least,
                *([{"below": source.below}] if source.below else []),  # the key is as before there was `below`
                asdict(self.recipe.cleaning(source)),
                asdict(self.recipe.dedup),
                self.index_key() if self.index else None,
                tokenizer.digest,
                unit.name,
                unit.file.size,
                unit.file.sha256 or revision,
            ]
        )


def listing_entry(listing: Listing) -> ListingEntry:
    """A listing as plain values, for plan.json and the manifest."""
    return {
        "revision": listing.revision,
        "files": [{"name": f.name, "size": f.size, "sha256": f.sha256} for f in listing.single_files],
    }


def make_plan(
    recipe: Recipe,
    recipe_folder: Path,
    folder: AnyPath,
    tokenizer: Artifact | None,
    manifest_name: str,
    retry_policy: RetryPolicy = RetryPolicy(),
    encoder: EncoderName = "fast",
    keep_units: AnyPath | None = None,
) -> Plan:
    """List the files of all sources and check their columns. Of a half-finished build, return its own plan again.

    manifest_name: the file in `folder` that says that the work there is finished.

    Raises `RecipeError`, and `ForeignFolderError` when the folder holds something else.
    """
    frozen = read_plan(folder, manifest_name)
    revisions = [entry["revision"] for entry in frozen["sources"]] if frozen and _same_sources(frozen, recipe) else None
    fetch_options = FetchOptions(None, retry_policy)
    listings = tuple(
        list_files(_pinned(source, revisions[i] if revisions else None), recipe_folder, fetch_options)
        for i, source in enumerate(recipe.source)
    )
    benchmarks = _list_benchmarks(recipe, frozen, recipe_folder, fetch_options)
    units = absolute(keep_units) if keep_units else None
    lists = read_lists(recipe.exclude, recipe_folder)
    plan = Plan(recipe, listings, absolute(folder), tokenizer, retry_policy, encoder, benchmarks, units, lists)
    if frozen and is_store(folder) and (scratch_name := read_scratch_name(folder / WORK)):
        plan = replace(plan, scratch_name=scratch_name)
    if frozen is not None and without_budgets(frozen) != without_budgets(plan.identity()):
        raise ForeignFolderError(
            f"{folder} holds a half-finished build of something else ({difference(frozen, plan.identity())} differs); "
            f"use a new --out, or delete {folder} to give that build up"
        )
    if frozen is None:
        _refuse_other_work(plan)
    for source, listing in zip(recipe.source, listings, strict=True):
        # An empty file of lines has no columns, which is no error.
        nonempty = [file for file in listing.single_files if file.size]
        for file in nonempty[:1] if source.is_remote else nonempty:
            check_columns(source, file, fetch_options)
    return plan


def _refuse_other_work(plan: Plan) -> None:
    """Raise `ForeignFolderError` when plan.json was damaged, and what remains there belongs to another plan."""
    receipt = plan.work / TOKENIZER_RECEIPT
    if is_file(receipt) and read_receipt(receipt, plan.key, dict[str, Any]) is None:
        raise ForeignFolderError(
            f"{plan.folder} holds a half-finished build of something else, and its {WORK}/plan.json is damaged; use a "
            f"new --out, or delete {plan.folder} to give that build up"
        )


def _list_benchmarks(
    recipe: Recipe, frozen: PlanIdentity | None, folder: Path, fetch_options: FetchOptions
) -> tuple[Listing, ...]:
    """The files of the benchmarks, at the revisions of the frozen plan if that has the same benchmarks."""
    if recipe.decontaminate is None:
        return ()
    same = frozen is not None and frozen["recipe"].get("decontaminate") == resolved(recipe)["decontaminate"]
    revisions = [entry["revision"] for entry in frozen["benchmarks"]] if frozen and same else None
    return tuple(
        list_benchmark(benchmark, folder, fetch_options, revisions[i] if revisions else None)
        for i, benchmark in enumerate(recipe.decontaminate.benchmark)
    )


def refuse_short_sources(plan: Plan) -> None:
    """Raise `ShortSourceError` before any work when local files are too small: a token is at least one byte."""
    errors = []
    for source, listing, windows in zip(plan.recipe.source, plan.listings, plan.recipe.windows, strict=True):
        if source.is_remote or any(compression_of(file.name) for file in listing.files):
            continue  # the size of the text in a compressed file is known only after it was read
        needed = windows * plan.recipe.window
        text_bytes = sum(
            unit.text_bytes
            for file in listing.files
            for unit in split_units(source, file, plan.recipe.unit, plan.fetch_options)
        )
        if text_bytes * source.max_epochs < needed:
            epochs = ceil(needed / max(text_bytes * TOKENS_PER_BYTE, 1))
            found = f"{text_bytes:,} bytes of text in all its files, which is less than a byte for each token"
            if source.max_epochs > 1:
                found += f" in {source.max_epochs} epochs"
            errors.append(too_short(source, needed, found, epochs))
    if errors:
        raise ShortSourceError("\n".join(map(str, errors)))


def too_short(source: RecipeSource, needed: int, found: str, epochs: int, advice: str = "") -> ShortSourceError:
    """The error for a source with fewer than `needed` tokens. `epochs` would suffice; 0 if no number would.

    advice: what to do before anything else.
    """
    repeat = f", or let it be repeated: max_epochs = {epochs} or more (now {source.max_epochs})"
    return ShortSourceError(
        f"source {source.name!r} is too short: {needed:,} tokens are needed, found {found}; "
        f"{advice and advice + '; or '}lower --tokens or its weight, give it more files"
        f"{repeat if source.max_epochs < epochs <= MAX_EPOCHS else ''}"
    )


def _same_sources(frozen: PlanIdentity, recipe: Recipe) -> bool:
    return sources_without_budgets(resolved(recipe)) == sources_without_budgets(frozen["recipe"])


def _pinned(source: RecipeSource, revision: str | None) -> RecipeSource:
    return replace(source, revision=revision) if source.dataset and revision else source
