"""The frozen plan: what a build reads and makes, fixed before the first byte of text.

`plan.json` holds the resolved recipe, every source's files at one revision, and the tokenizer if one was given. A
resumed build takes the revision from it, so a dataset that moves meanwhile does not matter; a folder with another plan
is refused.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gpts_data.mixer.recipe import Recipe, RecipeSource, resolved
from gpts_data.pipelines.decontaminate import index
from gpts_data.pipelines.decontaminate.benchmarks import list_benchmark
from gpts_data.pipelines.dedup.signatures import VERSION
from gpts_data.pipelines.errors import ForeignFolderError, ShortSourceError
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.readers.compression import COMPRESSED
from gpts_data.pipelines.readers.reader import check_columns, list_files, split_units
from gpts_data.pipelines.readers.source import Listing, Unit
from gpts_data.pipelines.storage.atomic_files import json_digest, write_json
from gpts_data.pipelines.storage.paths import AnyPath, absolute, is_store
from gpts_data.tokenizer.artifact import Artifact
from gpts_data.tokenizer.encode import EncoderName

FORMAT = 1
WORK = ".build"
UNITS = "units"
MOST_PASSES = 40  # beyond which repeated text teaches nothing more (Muennighoff et al. 2023, arXiv 2305.16264)


@dataclass(frozen=True)
class Plan:
    """`folder` is the output folder; `given` the tokenizer the user brought, None when one is to be trained.

    `retry_policy`, `encoder` and `keep_units` are how it is done, no part of what is made.
    """

    recipe: Recipe
    listings: tuple[Listing, ...]
    folder: AnyPath
    tokenizer: Artifact | None
    retry_policy: RetryPolicy = RetryPolicy()
    encoder: EncoderName = "fast"
    benchmarks: tuple[Listing, ...] = ()
    keep_units: AnyPath | None = None

    @property
    def fetch_options(self) -> FetchOptions:
        """How the sources are reached; not part of what the bytes are a function of."""
        return FetchOptions(self.scratch / "spool", self.retry_policy)

    @property
    def work(self) -> AnyPath:
        """Everything that is gone when the build is finished."""
        return self.folder / WORK

    @property
    def scratch(self) -> Path:
        """What must be on a machine's own disk: `work`, unless that is in a store."""
        if not is_store(self.work):
            return self.work
        return Path(tempfile.gettempdir()) / f"gpts-data-{json_digest(str(self.folder))[:16]}"

    @property
    def units(self) -> AnyPath:
        """Where prepared units are: they outlive the build in a folder of the user's, or when a source is too short."""
        return self.keep_units or self.work / UNITS

    def facts(self) -> dict[str, Any]:
        """The plan as plain values, the same on every machine."""
        return {
            "format": FORMAT,
            "recipe": resolved(self.recipe),
            "sources": [listing_facts(listing) for listing in self.listings],
            "benchmarks": [listing_facts(listing) for listing in self.benchmarks],
            "tokenizer": self.tokenizer.digest if self.tokenizer else None,
        }

    def pass_windows(self, source: int, tokens: int) -> int:
        """Windows in one pass over a source of so many surviving tokens: those it needs, or all there are."""
        return min(self.recipe.windows[source], tokens // self.recipe.window)

    def index_key(self) -> str:
        """What the n-grams of the benchmarks are a function of."""
        wanted = self.recipe.decontaminate
        columns = [benchmark.columns for benchmark in wanted.benchmark] if wanted else []
        ngram = wanted.ngram if wanted else 0
        return json_digest([index.VERSION, ngram, columns, self.facts()["benchmarks"]])

    @property
    def index(self) -> AnyPath | None:
        """The folder of the benchmarks' n-grams; None when there are no benchmarks."""
        return self.work / "benchmarks" / self.index_key()[:16] if self.recipe.decontaminate else None

    def build_id(self, tokenizer: Artifact) -> str:
        """What the mix is a function of: recipe, files and tokenizer, however the tokenizer came to be."""
        return json_digest({**self.facts(), "tokenizer": tokenizer.digest})

    def unit_key(self, source: RecipeSource, unit: Unit, tokenizer: Artifact) -> str:
        """What a prepared unit is a function of: nothing of the mix, so another mix can use it too."""
        revision = self.listings[self.recipe.source.index(source)].revision
        return json_digest(
            [
                FORMAT,
                VERSION,
                source.columns,
                source.id,
                source.url,
                source.max_document_bytes,
                source.at_least,
                asdict(self.recipe.cleaning(source)),
                asdict(self.recipe.dedup),
                self.recipe.keep_dropped,
                self.index_key() if self.index else None,
                tokenizer.digest,
                unit.name,
                unit.file.size,
                unit.file.sha256 or revision,
            ]
        )


def listing_facts(listing: Listing) -> dict[str, Any]:
    return {
        "revision": listing.revision,
        "files": [{"name": f.name, "size": f.size, "sha256": f.sha256} for f in listing.files],
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
    """List the sources and check their columns; on a half-built folder, its own plan again.

    `finished` is the file whose presence means that the folder is done. Raises `RecipeError`, and `ForeignFolderError`
    when the folder holds something else.
    """
    frozen = read_plan(folder, manifest_name)
    revisions = [s["revision"] for s in frozen["sources"]] if frozen and _same_sources(frozen, recipe) else None
    fetch_options = FetchOptions(None, retry_policy)
    listings = tuple(
        list_files(_pinned(source, revisions[i] if revisions else None), recipe_folder, fetch_options)
        for i, source in enumerate(recipe.source)
    )
    benchmarks = _list_benchmarks(recipe, frozen, recipe_folder, fetch_options)
    kept = absolute(keep_units) if keep_units else None
    plan = Plan(recipe, listings, absolute(folder), tokenizer, retry_policy, encoder, benchmarks, kept)
    if frozen is not None and _without_budgets(frozen) != _without_budgets(plan.facts()):
        raise ForeignFolderError(
            f"{folder} holds a half-finished build of something else ({difference(frozen, plan.facts())} differs); "
            f"use a new --out, or delete {folder} to give that build up"
        )
    for source, listing in zip(recipe.source, listings, strict=True):
        filled = [file for file in listing.files if file.size]  # an empty file of lines has no columns, and no harm
        for file in filled if source.files else filled[:1]:
            check_columns(source, file, fetch_options)
    return plan


def _list_benchmarks(
    recipe: Recipe, frozen: dict[str, Any] | None, folder: Path, fetch_options: FetchOptions
) -> tuple[Listing, ...]:
    """The files of the benchmarks, at the revisions of the frozen plan where it is this recipe's."""
    if recipe.decontaminate is None:
        return ()
    same = frozen is not None and frozen["recipe"].get("decontaminate") == resolved(recipe)["decontaminate"]
    revisions = [facts["revision"] for facts in frozen["benchmarks"]] if frozen and same else None
    return tuple(
        list_benchmark(benchmark, folder, fetch_options, revisions[i] if revisions else None)
        for i, benchmark in enumerate(recipe.decontaminate.benchmark)
    )


def write_plan(plan: Plan) -> None:
    write_json(plan.work / "plan.json", plan.facts())


def read_plan(folder: AnyPath, manifest_name: str) -> dict[str, Any] | None:
    """The plan of a half-built folder. Raises `ForeignFolderError` for a folder that holds anything else of its own."""
    path = folder / WORK / "plan.json"
    if path.exists():
        facts: dict[str, Any] = json.loads(path.read_bytes())
        return facts
    strange = [entry.name for entry in folder.iterdir() if entry.name != WORK] if folder.is_dir() else []
    if strange and manifest_name not in strange:
        raise ForeignFolderError(
            f"{folder} is not empty and has no {manifest_name} (found {', '.join(sorted(strange)[:3])}); "
            "choose another --out"
        )
    return None


def difference(one: Any, other: Any, where: str = "") -> str:
    """The dotted name of the first place where two plain values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if one.get(key) != other.get(key):
                return difference(one.get(key), other.get(key), f"{where}.{key}" if where else str(key))
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            if a != b:
                return difference(a, b, f"{where}[{i}]")
    return f"{where}: {json.dumps(one)[:60]} before, {json.dumps(other)[:60]} now"


def refuse_short_sources(plan: Plan) -> None:
    """Raise `ShortSourceError` before any work where local files cannot do: a token is a byte or more."""
    for source, listing, windows in zip(plan.recipe.source, plan.listings, plan.recipe.windows, strict=True):
        if source.dataset or any(file.name.endswith(COMPRESSED) for file in listing.files):
            continue  # how much text a compressed file holds is known once it is read
        needed = windows * plan.recipe.window
        found = sum(
            unit.text_bytes
            for file in listing.files
            for unit in split_units(source, file, plan.recipe.unit, plan.fetch_options)
        )
        if found * source.max_epochs < needed:
            raise too_short(source, needed, f"{found:,} bytes of text in all its files", -(-needed // max(found, 1)))


def too_short(source: RecipeSource, needed: int, found: str, passes: int) -> ShortSourceError:
    """`passes` over what was found would do; 0 if none would."""
    may = f", or let it be repeated: max_epochs = {passes} or more (now {source.max_epochs})"
    repeat = may if source.max_epochs < passes <= MOST_PASSES else ""
    return ShortSourceError(
        f"source {source.name!r} is too short: {needed:,} tokens are needed, found {found}; "
        f"lower --tokens or its weight, give it more files{repeat}"
    )


def _same_sources(frozen: dict[str, Any], recipe: Recipe) -> bool:
    now = {"recipe": resolved(recipe)}
    return bool(_without_budgets(now)["recipe"]["source"] == _without_budgets(frozen)["recipe"]["source"])


def _without_budgets(facts: dict[str, Any]) -> dict[str, Any]:
    """`facts` but for what may change between two runs of one build: a source that was refused may lose more then."""
    sources = [{k: v for k, v in source.items() if k != "max_damaged"} for source in facts["recipe"]["source"]]
    return {**facts, "recipe": {**facts["recipe"], "source": sources}}


def _pinned(source: RecipeSource, revision: str | None) -> RecipeSource:
    return replace(source, revision=revision) if source.dataset and revision else source
