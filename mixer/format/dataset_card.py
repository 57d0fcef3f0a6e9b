"""README.md of a mix: the dataset card, out of the manifest's facts alone."""

from __future__ import annotations

import json
from typing import Any

from gpts_data.mixer.format.manifest import ManifestContent, SourceEntry

LOAD = """\
```python
import numpy as np

windows = np.memmap("shards/train-00000.bin", dtype="<u2", mode="r").reshape(-1, {window})
```"""


def card(content: ManifestContent) -> str:
    """The card's text. `content` is the manifest's content, before it is sealed."""
    recipe = content["recipe"]
    return "\n".join(
        [
            *_metadata(content),
            f"# {recipe['name']}",
            "",
            f"{content['windows']:,} training windows of {recipe['window']} tokens ({content['tokens']:,} tokens) in "
            f"{len(content['shards'])} shard(s), packed as little-endian uint16.",
            "",
            "| source | weight | windows | share | tokens | documents | revision | licence |",
            "|---|---:|---:|---:|---:|---:|---|---|",
            *(_row(source, content["sources"][source["name"]]) for source in recipe["source"]),
            "",
            f"Tokenizer: {content['tokenizer']['vocab_size']:,} entries, byte-level BPE, sha256 "
            f"`{content['tokenizer']['digest']}`; each document ends with `<|endoftext|>` "
            f"(id {content['tokenizer']['eos_id']}).",
            '`transformers.AutoTokenizer.from_pretrained("tokenizer")` loads it.',
            "",
            "Windows are in training order: read on from the first row of the first shard.",
            "",
            LOAD.format(window=recipe["window"]),
            "",
            "`hf upload USER/NAME . . --repo-type dataset` shares it; croissant.json tells programs of it.",
            "",
            "The licences of the sources apply to their texts, also where this table names none.",
            "",
            "`gpts-data verify .` checks every byte of this folder;",
            "`gpts-data trace . --token N` tells where a token came from.",
            "",
        ]
    )


def _metadata(content: ManifestContent) -> list[str]:
    """The YAML that the hub reads: the document tables are what its viewer shows."""
    recipe = content["recipe"]
    datasets = [source["dataset"] for source in recipe["source"] if source["dataset"]]
    return [
        "---",
        f"pretty_name: {json.dumps(recipe['name'], ensure_ascii=False)}",
        *(["license:", *(f"- {json.dumps(name)}" for name in names)] if (names := licenses(recipe)) else []),
        "task_categories:\n- text-generation",
        "tags:\n- croissant\n- gpts-data\n- pretraining",
        *(["source_datasets:", *(f"- {name}" for name in datasets)] if datasets else []),
        "configs:",
        *(
            f"- config_name: {json.dumps(source['name'])}\n  data_files: "
            + json.dumps(f"documents/{source['name']}/*.parquet")
            for source in recipe["source"]
        ),
        "---",
        "",
    ]


def licenses(recipe: dict[str, Any]) -> list[str]:
    """Of all sources, each once; none at all unless every source names its own."""
    each = [source["license"] for source in recipe["source"]]
    return list(dict.fromkeys(name for names in each for name in names)) if all(each) else []


def _row(source: dict[str, Any], facts: SourceEntry) -> str:
    where = source["dataset"] or "files"
    windows = f"{facts['windows']:,}" + (f" ({facts['epochs']:.2f} passes)" if facts["epochs"] > 1 else "")
    return (
        f"| {source['name']} ({where}) | {source['weight']:g} | {windows} | {facts['share']:.4%} "
        f"| {facts['tokens']:,} | {facts['documents']:,} | {facts['revision'] or 'local files'} "
        f"| {', '.join(source['license']) or 'not named'} |"
    )
