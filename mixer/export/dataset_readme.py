"""README.md of a Parquet export: which files are which split, the sources with their licenses, and how to load it."""

from __future__ import annotations

from collections.abc import Sequence

from gpts_data.mixer.format.dataset_card import license_lines, markdown, source_table
from gpts_data.mixer.format.mix import Mix

TEXT = """\
# {name}

{windows:,} training windows of {window} tokens ({tokens:,} tokens), in training order. This is an export of a
gpts-data mix with the root digest `{digest}`.

```python
import datasets

row = datasets.load_dataset("USER/NAME", split="train")[0]  # or the path of this folder
```

| column | content |
|---|---|
| `input_ids` | the {window} token ids of a window, end-of-text (id {eos_id}) behind each document |
| `source` | name of the source that all documents of the window are from |
| `document_starts` | offsets in the window at which a document, or the window's part of one, begins; the first is 0 |

`transformers.AutoTokenizer.from_pretrained("tokenizer")` loads the tokenizer, a BPE with {vocab_size:,} entries.

## Sources

{sources}

The texts keep the licenses of their sources, also where the table names none. `export.json` has the sha256 of every
file.
"""


def dataset_readme(mix: Mix, splits: Sequence[str]) -> str:
    """The text of README.md. Its metadata give the hub and `datasets` one default config with the splits."""
    manifest = mix.manifest
    metadata = [
        "---",
        *license_lines(manifest["recipe"]),
        "task_categories:\n- text-generation",
        "tags:\n- gpts-data\n- pretraining",
        "configs:\n- config_name: default\n  default: true\n  data_files:",
        *(f"  - split: {split}\n    path: data/{split}-*.parquet" for split in splits),
        "---",
        "",
    ]
    text = TEXT.format(
        name=markdown(manifest["recipe"]["name"]),
        windows=mix.windows,
        window=mix.window,
        tokens=mix.tokens,
        digest=manifest["root_digest"],
        eos_id=mix.eos_id,
        vocab_size=mix.vocab_size,
        sources="\n".join(source_table(manifest)),
    )
    return "\n".join([*metadata, text])
