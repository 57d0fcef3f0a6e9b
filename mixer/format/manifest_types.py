"""The content of manifest.json as TypedDicts. Types and ranges are checked when it is read (manifest.read_manifest)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from gpts_data.pipelines.storage.typed_json import Count, Positive, Sha256
from gpts_data.tokenizer.artifact import MAX_VOCAB_SIZE

Share = Annotated[float, Meta(ge=0, le=1)]
TokenId = Annotated[int, Meta(ge=0, lt=MAX_VOCAB_SIZE)]
SourceName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z", max_length=255)]
"""It names folders and files of the mix."""


class ListedFile(TypedDict):
    """A file of a source or benchmark."""

    name: str
    size: Count
    sha256: str | None


class ListingEntry(TypedDict):
    """The files of a source or benchmark, at one revision of its dataset."""

    revision: str | None
    files: list[ListedFile]


class ValidationEntry(TypedDict):
    """The validation set of a source."""

    windows: Count
    tokens: Count
    documents: Count
    leftover_tokens: Count
    """Tokens after the last whole window; they are not in the validation set."""


class PackingEntry(TypedDict):
    """The padding and the cuts of a source after best-fit packing. Each window is counted once."""

    padding: Count
    """Tokens of padding, which is end-of-text."""
    cuts: Count
    """Ends of windows inside of a document."""


class PackingPart(TypedDict, total=False):
    """The entry that a receipt or a source of the manifest also has when windows are packed."""

    packing: PackingEntry


class SourceEntry(ListingEntry):
    """A source and its part of the mix."""

    windows: Positive
    tokens: Count
    share: Share
    """Fraction of all training windows."""
    documents: Count
    files_read: Count
    """Files that units were read from; a file that turned out to have no rows counts as read."""
    files_total: Count
    """Files listed, without those of zero bytes."""
    integrity: str
    epochs: Annotated[float, Meta(gt=0)]
    """Training windows divided by `pass_windows`; above 1 only if `max_epochs` allows it."""
    pass_windows: Positive
    """Distinct training windows: those of one epoch."""
    leftover_tokens: Count
    """Tokens after the last window; they are not in the mix."""
    leftover_documents: Count
    """Documents that begin after the last window: no window has a token of them. `documents` counts them too."""
    packing: NotRequired[PackingEntry]
    """Present if the recipe has best-fit packing. The counts of tokens include the padding."""
    validation: ValidationEntry
    damaged: list[str]
    """`place: fault` of the first damaged documents."""


class WaterfallEntry(TypedDict):
    """What became of the documents read from a source: `read = kept + sum(dropped)`."""

    read: Count
    kept: Count
    """Documents kept, for training and validation together."""
    validation: Count
    dropped: dict[str, Count]
    """Documents dropped, by reason."""


class BenchmarkEntry(ListingEntry):
    """A benchmark that documents were searched for."""

    items: Count
    searched: Count
    ngrams: Count
    contaminated: dict[str, Count]
    """Documents dropped for it, by source."""


class ContaminatedDocument(TypedDict):
    """A document that was dropped because it contains an n-gram of a benchmark item."""

    source: str
    unit: str
    document: str
    benchmark: str
    item: str
    ngram: str


class DecontaminationEntry(TypedDict):
    """The benchmarks, and the first contaminated documents."""

    benchmarks: dict[str, BenchmarkEntry]
    documents: list[ContaminatedDocument]


class ExclusionEntry(TypedDict):
    """A list of `[exclude]`. The manifest has no entry of it: the lists may be private."""

    kind: str
    """`ids`, `urls` or `domains`."""
    file: str
    """Its path, as the recipe has it."""
    sha256: Sha256
    """Of its distinct entries in normal form, sorted, each followed by a line feed."""
    entries: Count
    documents: Count
    """Documents in it, among those that were read and passed the filters."""


class TokenizerEntry(TypedDict):
    """The tokenizer of the mix."""

    digest: Sha256
    vocab_size: Annotated[int, Meta(ge=1, le=MAX_VOCAB_SIZE)]
    eos_id: TokenId
    dtype: NotRequired[Literal["uint32"]]
    """The type of stored ids, present if the vocabulary has more than 65,536 entries; else ids are uint16."""


class FileEntry(TypedDict):
    """A file of the mix. Document tables also have `start` and `documents`, so that a reader finds a token's table
    without opening the others."""

    file: Annotated[str, Meta(min_length=1, max_length=1024)]
    bytes: Count
    sha256: Sha256
    content: NotRequired[Sha256]
    """Digest of the values in a parquet or .npy file, whose bytes depend on the library (content_digest.py)."""
    start: NotRequired[Count]
    documents: NotRequired[Count]
    unit: NotRequired[str]
    """Of a table of outcomes, the unit whose documents it has."""


class ShardEntry(FileEntry):
    """A shard of the training order."""

    windows: Positive
    highest_id: TokenId
    sources: dict[str, Count]
    """Windows by source."""


class RecipeSourceEntry(TypedDict):
    """What is read again of a source of the recipe."""

    name: SourceName
    weight: NotRequired[Annotated[float, Meta(gt=0)]]
    """Not in a recipe with stages."""
    dataset: str | None
    license: NotRequired[list[str]]
    clean: NotRequired[dict[str, Any] | None]


class BenchmarkName(TypedDict):
    """What is read again of a benchmark of the recipe."""

    name: str


class DecontaminateEntry(TypedDict):
    """What is read again of the recipe's `[decontaminate]`."""

    benchmark: list[BenchmarkName]


class RecipeStageEntry(TypedDict):
    """What is read again of a `[[stage]]` table of the recipe."""

    weights: dict[str, Annotated[float, Meta(gt=0)]]
    until: Annotated[float, Meta(gt=0)] | None


class StageEntry(TypedDict):
    """A stage of the training order."""

    start: Count
    """Position of its first window."""
    stop: Positive
    """Position after its last window."""
    sources: dict[str, Count]
    """Windows by source."""


class DrawEntry(TypedDict):
    """What is read again of the recipe's `[draw]`."""

    order: str


class RecipePackingEntry(TypedDict):
    """The keys of the recipe's `[packing]` that are read again."""

    mode: Literal["best-fit"]


class RecipeEntry(TypedDict):
    """What is read again of the recipe with all defaults filled in, which the manifest has as a whole."""

    name: str
    source: Annotated[list[RecipeSourceEntry], Meta(min_length=1, max_length=256)]
    stage: NotRequired[Annotated[list[RecipeStageEntry], Meta(min_length=1, max_length=100)]]
    window: Annotated[int, Meta(ge=2, le=1 << 31)]
    seed: int
    unit: Positive
    shard_windows: Positive
    keep_dropped: Count
    draw: NotRequired[DrawEntry]
    clean: dict[str, Any]
    dedup: dict[str, Any]
    decontaminate: NotRequired[DecontaminateEntry | None]
    packing: NotRequired[RecipePackingEntry]
    """Present if the recipe has best-fit packing."""


class Environment(TypedDict):
    """What made the mix: what is read again of it."""

    libraries: dict[str, str]
    """Versions by name."""


class ManifestContent(TypedDict):
    """The manifest without its digests and environment."""

    build_id: str
    recipe: RecipeEntry
    """The recipe with all defaults filled in."""
    windows: Positive
    tokens: Positive
    sources: dict[str, SourceEntry]
    stages: NotRequired[list[StageEntry]]
    """Of a recipe with stages, in order; the other ones have one stage, the whole training order."""
    waterfall: dict[str, WaterfallEntry]
    decontamination: NotRequired[DecontaminationEntry]
    exclusions: NotRequired[list[ExclusionEntry]]
    """The lists of a recipe with `[exclude]`."""
    overlap: dict[str, dict[str, Count]]
    """Duplicates by their source, then by the source of the document that each repeats."""
    tokenizer: TokenizerEntry
    shards: Annotated[list[ShardEntry], Meta(min_length=1)]
    files: list[FileEntry]
    """Every other file of the mix except the manifest."""


class Manifest(ManifestContent):
    """The content of manifest.json."""

    format: str
    format_version: int
    root_digest: Sha256
    environment: Environment
    checksum: Sha256
