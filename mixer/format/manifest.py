"""manifest.json: what a mix contains. It is written last, so a folder that has one holds a finished mix.

`root_digest` covers the contents: two mixes with the same root digest have the same recipe, counts, windows, documents
and tokenizer. It does not cover how a library encodes them: of a file with a digest of its values (`content`, see
content_digest.py) it covers that digest, not the size and sha256. Nor does it cover the two files that only describe
the mix (DESCRIPTIONS) and `environment` (library versions, encoders, machine). `checksum` covers the whole manifest,
and so the sha256 of every file.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict, cast

from gpts_data.pipelines.environment import libraries
from gpts_data.pipelines.errors import LockedError, UsageError, VerificationError
from gpts_data.pipelines.storage.atomic_files import json_digest, pretty_json, write_json
from gpts_data.pipelines.storage.paths import AnyPath, create, is_store, store_errors

FORMAT = "gpts-data mix"
FORMAT_VERSION = 2
"""2: the root digest covers `content`, and document tables list all documents. 1: it covered the sha256 of files."""
NAME = "manifest.json"
DESCRIPTIONS = ("README.md", "croissant.json")
"""Files that are written from the manifest alone."""
_NOT_IN_ROOT_DIGEST = ("root_digest", "environment", "checksum")
_OF_ENCODING = ("bytes", "sha256")


class ListedFile(TypedDict):
    """A file of a source or benchmark."""

    name: str
    size: int
    sha256: str | None


class ListingEntry(TypedDict):
    """The files of a source or benchmark, at one revision of its dataset."""

    revision: str | None
    files: list[ListedFile]


class ValidationEntry(TypedDict):
    """The validation set of a source."""

    windows: int
    tokens: int
    documents: int
    leftover_tokens: int
    """Tokens after the last whole window; they are not in the validation set."""


class SourceEntry(ListingEntry):
    """A source and its part of the mix."""

    windows: int
    tokens: int
    share: float
    """Fraction of all training windows."""
    documents: int
    files_read: int
    """Files that units were read from; a file that turned out to have no rows counts as read."""
    files_total: int
    """Files listed, without those of zero bytes."""
    integrity: str
    epochs: float
    """Training windows divided by `pass_windows`; above 1 only if `max_epochs` allows it."""
    pass_windows: int
    """Distinct training windows: those of one epoch."""
    leftover_tokens: int
    """Tokens after the last window; they are not in the mix."""
    leftover_documents: int
    """Documents that begin after the last window: no window has a token of them. `documents` counts them too."""
    validation: ValidationEntry
    damaged: list[str]
    """`place: fault` of the first damaged documents."""


class WaterfallEntry(TypedDict):
    """What became of the documents read from a source: `read = kept + sum(dropped)`."""

    read: int
    kept: int
    """Documents kept, for training and validation together."""
    validation: int
    dropped: dict[str, int]
    """Documents dropped, by reason."""


class BenchmarkEntry(ListingEntry):
    """A benchmark that documents were searched for."""

    items: int
    searched: int
    ngrams: int
    contaminated: dict[str, int]
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


class TokenizerEntry(TypedDict):
    """The tokenizer of the mix."""

    digest: str
    vocab_size: int
    eos_id: int


class FileEntry(TypedDict):
    """A file of the mix. Document tables also have `start` and `documents`, so that a reader finds a token's table
    without opening the others."""

    file: str
    bytes: int
    sha256: str
    content: NotRequired[str]
    """Digest of the values in a parquet or .npy file, whose bytes depend on the library (content_digest.py)."""
    start: NotRequired[int]
    documents: NotRequired[int]
    unit: NotRequired[str]
    """Of a table of outcomes, the unit whose documents it has."""


class ShardEntry(FileEntry):
    """A shard of the training order."""

    windows: int
    highest_id: int
    sources: dict[str, int]
    """Windows by source."""


class ManifestContent(TypedDict):
    """The manifest without its digests and environment."""

    build_id: str
    recipe: dict[str, Any]
    """The recipe with all defaults filled in."""
    windows: int
    tokens: int
    sources: dict[str, SourceEntry]
    waterfall: dict[str, WaterfallEntry]
    decontamination: NotRequired[DecontaminationEntry]
    overlap: dict[str, dict[str, int]]
    """Duplicates by their source, then by the source of the document that each repeats."""
    tokenizer: TokenizerEntry
    shards: list[ShardEntry]
    files: list[FileEntry]
    """Every other file of the mix except the manifest."""


class Manifest(ManifestContent):
    """The content of manifest.json."""

    format: str
    format_version: int
    root_digest: str
    environment: dict[str, Any]
    checksum: str


def write_manifest(folder: AnyPath, content: ManifestContent, encoders: Sequence[str] = ()) -> Manifest:
    """Add the digests to `content`, write the manifest and return it.

    encoders: library and version of each encoder that made token ids of the mix.

    Raises `LockedError` when a store already has a manifest there.
    """
    manifest: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION, **content}
    manifest["root_digest"] = root_digest(manifest)
    manifest["environment"] = {**environment(), "encoders": list(encoders)}
    manifest["checksum"] = checksum(manifest)
    if not is_store(folder):
        write_json(folder / NAME, manifest)
    elif not create(folder / NAME, pretty_json(manifest)):
        raise LockedError(f"{folder / NAME} already exists: another build finished first; run the same command again")
    return cast(Manifest, manifest)


def read_manifest(folder: AnyPath) -> Manifest:
    """Read the manifest of a mix and check it against its own digests.

    Raises `UsageError` when there is none, `VerificationError` when it is damaged.
    """
    path = folder / NAME
    try:
        with store_errors(path):
            content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        unfinished = " (a half-finished build is there: run the same build-mix command again)"
        raise UsageError(
            f"{folder} is not a finished mix: no {NAME}{unfinished if (folder / '.build').exists() else ''}"
        ) from error
    manifest = _parse(path, content)
    if pretty_json(manifest) != content or manifest["checksum"] != checksum(manifest):
        raise VerificationError(f"{path}: the content does not match its checksum; the file was changed")
    if manifest["root_digest"] != root_digest(manifest):
        raise VerificationError(f"{path}: the content does not match its root digest; the file was changed")
    return manifest


def _parse(path: AnyPath, content: bytes) -> Manifest:
    try:
        manifest = json.loads(content)
        missing = {"format", "format_version", "checksum", "root_digest"} - manifest.keys()
    except (ValueError, AttributeError) as error:
        raise VerificationError(f"{path}: not readable as JSON: {error}") from error
    if missing or manifest["format"] != FORMAT:
        raise VerificationError(f"{path}: not the manifest of a mix (format {manifest.get('format')!r})")
    if manifest["format_version"] != FORMAT_VERSION:
        raise VerificationError(
            f"{path}: format version {manifest['format_version']!r}, this gpts-data reads {FORMAT_VERSION}; read the "
            "mix with the version of gpts-data that built it, or build it again with this one in a new folder"
        )
    return cast(Manifest, manifest)


def root_digest(manifest: Mapping[str, Any]) -> str:
    """Digest of the contents of a mix: of the manifest without its digests, environment and what only encodes them."""
    covered = {key: value for key, value in manifest.items() if key not in _NOT_IN_ROOT_DIGEST}
    for key in covered.keys() & {"shards", "files"}:
        covered[key] = [_content(entry) for entry in covered[key] if entry["file"] not in DESCRIPTIONS]
    return json_digest(covered)


def _content(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the root digest covers of a file's entry."""
    return {key: value for key, value in entry.items() if "content" not in entry or key not in _OF_ENCODING}


def checksum(manifest: Mapping[str, Any]) -> str:
    """Digest of the whole manifest except the checksum itself."""
    return json_digest({key: value for key, value in manifest.items() if key != "checksum"})


def environment() -> dict[str, Any]:
    """Library versions and machine facts. No time and no host name: a second run on this machine gives the same."""
    return {
        "libraries": libraries(),
        "python": platform.python_version(),
        "machine": {"system": platform.system(), "architecture": platform.machine(), "cores": os.cpu_count()},
    }
