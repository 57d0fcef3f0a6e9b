"""README.md of a mix: the dataset card, written from the manifest alone."""

from __future__ import annotations

import json
import re

from gpts_data.mixer.format.manifest_types import ManifestContent, RecipeEntry, RecipeSourceEntry, SourceEntry
from gpts_data.pipelines.text.control_characters import escape_line
from gpts_data.tokenizer.artifact import token_dtype

LOAD = """\
```python
import numpy as np

windows = np.memmap("shards/train-00000.bin", dtype="{dtype}", mode="r").reshape(-1, {window})
```"""
COMMANDS = """\
## Check, trace, share

- `gpts-data verify .` checks every file of this folder against `manifest.json`.
- `gpts-data trace . --token N` shows the document that token N of the training order comes from.
- `hf upload USER/NAME . . --repo-type dataset` uploads the folder to the Hugging Face hub.

`manifest.json` has the recipe, the revisions of the sources, how many documents were dropped and why, and the sha256 of
every file. `croissant.json` describes the files for programs (MLCommons Croissant).
"""
_MARKUP = re.compile(r"([\\`*\[\]<>|&])")
_PLAIN_YAML = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*")


def markdown(text: str) -> str:
    """A name as text of one line in Markdown: control characters and marks of Markdown and HTML are escaped."""
    return _MARKUP.sub(r"\\\1", escape_line(text))


def _yaml(name: str) -> str:
    """A name as a YAML string; in quotes only where it could be something else."""
    return name if _PLAIN_YAML.fullmatch(name) else json.dumps(name)


def card(content: ManifestContent) -> str:
    """The text of the card. `content` is the content of the manifest before its digests are added."""
    recipe, tokenizer, n_shards = content["recipe"], content["tokenizer"], len(content["shards"])
    dtype = token_dtype(tokenizer["vocab_size"])
    return "\n".join(
        [
            *_metadata(content),
            f"# {markdown(recipe['name'])}",
            "",
            f"{content['windows']:,} training windows of {recipe['window']} tokens ({content['tokens']:,} tokens), "
            "tokenized, packed and shuffled for language model pretraining.",
            "",
            f"The windows are in `shards/` ({n_shards} shard{'s' if n_shards > 1 else ''}) as little-endian "
            f"{dtype.name} token ids, in training order: read each shard from its first row to its last.",
            "",
            LOAD.format(window=recipe["window"], dtype=dtype.str),
            "",
            f"The tokenizer is a byte-level BPE with {tokenizer['vocab_size']:,} entries; "
            '`transformers.AutoTokenizer.from_pretrained("tokenizer")` loads it. Each document is followed by '
            f"`<|endoftext|>` (id {tokenizer['eos_id']}). A document longer than a window continues in another window.",
            *_padding(content),
            "",
            "## Sources",
            "",
            *source_table(content),
            "",
            *_stages(content),
            _files(content),
            "",
            "The texts keep the licenses of their sources, also where the table names none. `documents/` lists the id, "
            "URL and position of every training document; the dataset viewer shows these tables.",
            "",
            COMMANDS,
        ]
    )


def source_table(content: ManifestContent) -> list[str]:
    """The lines of a table of the sources: weight, counts, revision and license of each."""
    sources = content["recipe"]["source"]
    return [
        "| source | weight | windows | share | tokens | documents | revision | license |",
        "|---|---:|---:|---:|---:|---:|---|---|",
        *(_row(source, _weight(content, source), content["sources"][source["name"]]) for source in sources),
    ]


def _padding(content: ManifestContent) -> list[str]:
    """The padding of packed windows; nothing for others."""
    if "packing" not in content["recipe"]:
        return []
    padding = sum(source["packing"]["padding"] for source in content["sources"].values())
    total = sum(source["pass_windows"] for source in content["sources"].values()) * content["recipe"]["window"]
    return [
        "Documents that fit into a window are whole (best-fit packing). Windows are padded with end-of-text, "
        f"{padding / total:.3%} of the tokens; an end-of-text behind another one is padding."
    ]


def _files(content: ManifestContent) -> str:
    """How many files of each source the text is from."""
    counts = (
        f"{markdown(name)}: {source['files_read']:,} of {source['files_total']:,}"
        for name, source in content["sources"].items()
    )
    how = (
        "was drawn from all over each source"
        if content["recipe"]["draw"]["order"] == "spread"
        else "is from the first files"
    )
    return f"The text {how}. Files read: {', '.join(counts)}."


def _metadata(content: ManifestContent) -> list[str]:
    """The YAML metadata that the hub reads. Its dataset viewer shows the document tables."""
    recipe = content["recipe"]
    datasets = [source["dataset"] for source in recipe["source"] if source["dataset"]]
    return [
        "---",
        f"pretty_name: {json.dumps(escape_line(recipe['name']), ensure_ascii=False)}",
        *license_lines(recipe),
        "task_categories:\n- text-generation",
        "tags:\n- croissant\n- gpts-data\n- pretraining",
        *(["source_datasets:", *(f"- {_yaml(name)}" for name in datasets)] if datasets else []),
        "configs:",
        *(
            f"- config_name: {json.dumps(source['name'])}\n  data_files: "
            + json.dumps(f"documents/{source['name']}/*.parquet")
            for source in recipe["source"]
        ),
        "---",
        "",
    ]


def license_lines(recipe: RecipeEntry) -> list[str]:
    """The key `license` of the YAML metadata; nothing if the license of any source is unknown."""
    names = licenses(recipe)
    return ["license:", *(f"- {json.dumps(name)}" for name in names)] if names else []


def licenses(recipe: RecipeEntry) -> list[str]:
    """The licenses of all sources without repetitions; none at all if the license of any source is unknown."""
    of_sources = [source["license"] for source in recipe["source"]]
    return list(dict.fromkeys(name for names in of_sources for name in names)) if all(of_sources) else []


def _weight(content: ManifestContent, source: RecipeSourceEntry) -> str:
    """The weight of a source; with stages, its weight in each of them."""
    if stages := content["recipe"].get("stage"):
        weights = [stage["weights"].get(source["name"]) for stage in stages]
        return ", ".join("-" if weight is None else f"{weight:g}" for weight in weights)
    return f"{source['weight']:g}"


def _stages(content: ManifestContent) -> list[str]:
    """The windows of the stages; nothing for a recipe without stages."""
    if "stages" not in content:
        return []
    names = list(content["sources"])
    rows = [
        f"| {number} | {stage['start']:,} to {stage['stop'] - 1:,} | "
        + " | ".join(f"{stage['sources'][name]:,}" for name in names)
        + " |"
        for number, stage in enumerate(content["stages"], 1)
    ]
    return [
        "The weights change over the training order. After each window, every source has the windows that the weights "
        "up to there give it, rounded up or down. Windows of each source by stage:",
        "",
        f"| stage | windows | {' | '.join(names)} |",
        f"|---|---:|{'---:|' * len(names)}",
        *rows,
        "",
    ]


def _row(source: RecipeSourceEntry, weight: str, counts: SourceEntry) -> str:
    origin = markdown(source["dataset"] or "local files")
    windows = f"{counts['windows']:,}" + (f" ({counts['epochs']:.2f} epochs)" if counts["epochs"] > 1 else "")
    return (
        f"| {source['name']} ({origin}) | {weight} | {windows} | {counts['share']:.4%} "
        f"| {counts['tokens']:,} | {counts['documents']:,} | {markdown(counts['revision'] or '-')} "
        f"| {', '.join(source['license']) or 'unknown'} |"
    )
