"""What kind of file a name stands for: its format, and whether it is compressed. Upper and lower case are the same."""

from __future__ import annotations

PARQUET = "parquet"
ARROW = "arrow"
JSONL = "jsonl"
JSON = "json"
CSV = "csv"
TSV = "tsv"
TXT = "txt"

FORMATS = {
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".arrow": ARROW,
    ".feather": ARROW,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".jsonlines": JSONL,
    ".json": JSON,
    ".csv": CSV,
    ".tsv": TSV,
    ".txt": TXT,
}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd", ".bz2": "bzip2", ".xz": "xz"}
COLUMNAR = (PARQUET, ARROW)  # they compress their own columns, and are read out of order

READABLE = (
    "expected .parquet or .pq, .arrow or .feather, or .jsonl, .jsonlines, .ndjson, .json, .csv, .tsv or .txt, the last "
    "seven also as .gz, .zst, .bz2 or .xz"
)
"""What can be read, for messages."""


def compression_of(name: str) -> str | None:
    """The compression of a file of rows or text; None for plain files and for parquet and Arrow files."""
    return next((kind for suffix, kind in COMPRESSIONS.items() if name.lower().endswith(suffix)), None)


def format_of(name: str) -> str | None:
    """The format that a file's name stands for; None for one that cannot be read.

    A compressed file without a further suffix, such as `part-00000.gz`, holds JSON lines.
    """
    stem, compressed = name.lower(), False
    for suffix in COMPRESSIONS:
        if stem.endswith(suffix):
            stem, compressed = stem.removesuffix(suffix), True
            break
    kind = next((kind for suffix, kind in FORMATS.items() if stem.endswith(suffix)), None)
    if compressed and kind is None and "." not in stem.rpartition("/")[2]:
        return JSONL
    return None if compressed and kind in COLUMNAR else kind
