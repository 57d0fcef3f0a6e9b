"""croissant.json: a description of the mix for programs (MLCommons Croissant 1.0), readable by `mlcroissant`.

It lists every file with its sha256. The document tables of each source are a record set. Shards are listed as files
only, because Croissant cannot describe records in files of plain token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpts_data.mixer.format.dataset_card import licenses
from gpts_data.mixer.format.layout import document_tables
from gpts_data.mixer.format.manifest_types import FileEntry, ManifestContent

NAME = "croissant.json"
_TERMS = (
    "citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes isLiveDataset "
    "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "dct": "http://purl.org/dc/terms/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS.split()},
}
FORMATS = {
    ".bin": "application/octet-stream",
    ".npy": "application/octet-stream",
    ".parquet": "application/x-parquet",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".md": "text/markdown",
    ".txt": "text/plain",
}
COLUMNS = {
    "id": ("sc:Text", "Id of the document in its source."),
    "url": ("sc:Text", "URL of the document, where the source has one."),
    "unit": ("sc:Text", "Part of the source that the document was read in: file, and range of row groups or bytes."),
    "start": ("sc:Integer", "Number of the document's first token in the token stream of its source."),
    "tokens": ("sc:Integer", "Number of the document's tokens, end-of-text included."),
}


def croissant(content: ManifestContent, files: Sequence[FileEntry]) -> dict[str, Any]:
    """The JSON-LD of a mix. `content` is the content of its manifest, `files` the files to list (file, bytes,
    sha256)."""
    recipe = content["recipe"]
    sources = [source["name"] for source in recipe["source"]]
    dtype = content["tokenizer"].get("dtype", "uint16")
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": recipe["name"],
        "description": (
            f"{content['tokens']:,} tokens of pretraining data in {content['windows']:,} windows of {recipe['window']} "
            f"{dtype} token ids, mixed from {', '.join(sources)}{_stages(content)}. README.md describes the dataset, "
            "manifest.json its recipe and files."
        ),
        "version": "1.0.0",
        **({"license": names} if (names := licenses(recipe)) else {}),
        "distribution": [_object(file) for file in files] + _file_sets(sources, files),
        "recordSet": [_records(name) for name in sources if document_tables(files, name)],
    }


def _stages(content: ManifestContent) -> str:
    """Where the weights change, for a recipe with stages."""
    if "stages" not in content:
        return ""
    starts = " and ".join(f"{stage['start']:,}" for stage in content["stages"][1:])
    return f", with weights that change at window {starts} of the training order"


def _object(file: FileEntry) -> dict[str, Any]:
    suffix = "." + file["file"].rpartition(".")[2]
    return {
        "@type": "cr:FileObject",
        "@id": file["file"],
        "name": file["file"],
        "contentUrl": file["file"],
        "contentSize": f"{file['bytes']} B",
        "sha256": file["sha256"],
        "encodingFormat": FORMATS.get(suffix, "application/octet-stream"),
    }


def _file_sets(sources: Sequence[str], files: Sequence[FileEntry]) -> list[dict[str, Any]]:
    return [
        {
            "@type": "cr:FileSet",
            "@id": f"documents-{name}",
            "name": f"documents-{name}",
            "encodingFormat": FORMATS[".parquet"],
            "includes": f"documents/{name}/*.parquet",
        }
        for name in sources
        if document_tables(files, name)
    ]


def _records(source: str) -> dict[str, Any]:
    name = f"{source}-documents"
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"The training documents of {source}, in the order of its token stream.",
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column}",
                "name": column,
                "description": text,
                "dataType": kind,
                "source": {"fileSet": {"@id": f"documents-{source}"}, "extract": {"column": column}},
            }
            for column, (kind, text) in COLUMNS.items()
        ],
    }
