"""README.md of a mix: the dataset card, out of the manifest's facts alone."""

from __future__ import annotations

from typing import Any

LOAD = """\
```python
import numpy as np

windows = np.memmap("shards/train-00000.bin", dtype="<u2", mode="r").reshape(-1, {window})
```"""


def card(content: dict[str, Any]) -> str:
    """The card's text. `content` is the manifest's content, before it is sealed."""
    recipe = content["recipe"]
    return "\n".join(
        [
            f"# {recipe['name']}",
            "",
            f"{content['windows']:,} training windows of {recipe['window']} tokens ({content['tokens']:,} tokens) in "
            f"{len(content['shards'])} shard(s), packed as little-endian uint16.",
            "",
            "| source | weight | windows | share | tokens | documents | revision |",
            "|---|---:|---:|---:|---:|---:|---|",
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
            "The licences of the sources apply to their texts. `gpts-data verify .` checks every byte of this folder;",
            "`gpts-data trace . --token N` tells where a token came from.",
            "",
        ]
    )


def _row(source: dict[str, Any], facts: dict[str, Any]) -> str:
    where = source["dataset"] or "files"
    windows = f"{facts['windows']:,}" + (f" ({facts['epochs']:.2f} passes)" if facts["epochs"] > 1 else "")
    return (
        f"| {source['name']} ({where}) | {source['weight']:g} | {windows} | {facts['share']:.4%} "
        f"| {facts['tokens']:,} | {facts['documents']:,} | {facts['revision'] or 'local files'} |"
    )
