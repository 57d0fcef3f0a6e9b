"""Writes the model card of an exported model from the results of its run and the manifest of its mix."""

from __future__ import annotations

from gpts_data.tokenizer.artifact import Artifact
from gpts_data.validation.model.model import GPTSConfig
from gpts_data.validation.run_files import CountsOfRun, MixOfRun, RunResult, SourceOfRun

CODE = ("modeling_gpts.py", "layers_gpts.py", "configuration_gpts.py")  # the files that the card's example runs

USAGE = """\
```python
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

name = "."  # this folder, or the model's id on the hub
tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(name, trust_remote_code=True, dtype=torch.bfloat16)

inputs = tokenizer("The water cycle begins", return_tensors="pt")
output = model.generate(
    **inputs, max_new_tokens=120, do_sample=True, temperature=0.8, top_p=0.95, repetition_penalty=1.1,
    no_repeat_ngram_size=4,
)
print(tokenizer.decode(output[0], skip_special_tokens=True))
```"""


NOTES = """\
The code runs with transformers 4.57, 5.0 and 5.23. For fine-tuning, end each text with `<|endoftext|>` (id {eos}).
Batches are padded on the left with id {pad}{pad_note}. Documents packed into one row are kept apart when `position_ids`
start at 0 for each and there is no `attention_mask`. The tokenizer turns `<|endoftext|>` inside a text into id {eos};
`tokenizer(text, split_special_tokens=True)` does not, which is right for texts from strangers."""


def model_card(config: GPTSConfig, result: RunResult, mix: MixOfRun, tokenizer: Artifact, pad: int) -> str:
    """Return the text of the card. `pad` is the id of the padding token."""
    eos = tokenizer.eos_id
    pad_note = ", `<|pad|>`, which no text has" if pad != eos else ", so mask padding in the labels by its place"
    return "\n".join(
        [
            *_front_matter(mix),
            f"# GPT-S, {result['parameters']:,} parameters, trained on {mix['recipe']['name']}",
            "",
            f"A decoder-only language model with {config.layers} layers of width {config.width}. It has exclusive "
            f"grouped-query attention (arXiv 2603.09078) with {config.heads} query heads and {config.kv_heads} "
            f"key/value heads of dimension {config.head_dim}, SwiGLU of dimension {config.ffn}, RMSNorm, RoPE with "
            f"theta {config.rope_theta:g} and tied embeddings. The context is {config.context:,} tokens.",
            "",
            USAGE,
            "",
            NOTES.format(eos=eos, pad=pad, pad_note=pad_note),
            "",
            "## Training",
            "",
            f"The model was trained for {result['steps']:,} steps on {result['tokens']:,} tokens, which is "
            f"{result['epochs']:.3g} epochs of the mix. The training loss went from {result['first_loss']:.3f} to "
            f"{result['last_loss']:.3f} nats per token. The unigram entropy, which is the loss of the best model that "
            f"ignores context, is {result['unigram_entropy']:.3f}.",
            "",
            "| source | weight | tokens in the mix | revision | bits per byte of held-out text |",
            "|---|---:|---:|---|---:|",
            *(_row(source, mix["sources"][source["name"]], result) for source in mix["recipe"]["source"]),
            "",
            f"The mix has {mix['tokens']:,} tokens and the root digest `{mix['root_digest']}`, which `gpts-data "
            "verify` checks.",
            f"The tokenizer is a byte-level BPE with {tokenizer.vocab_size:,} entries. The mix's tokenizer.json, which "
            f"has no padding token, has the sha256 `{tokenizer.digest}`. Each document ends with `<|endoftext|>`.",
            "",
            "The licenses of the sources apply to their texts.",
            "",
        ]
    )


def _front_matter(mix: MixOfRun) -> list[str]:
    """Return the metadata that the hub reads. It has no license, which the owner of the weights must choose."""
    datasets = dict.fromkeys(source["dataset"] for source in mix["recipe"]["source"] if source["dataset"])
    dataset_lines = ["datasets:", *(f"- {name}" for name in datasets)] if datasets else []
    return ["---", "library_name: transformers", "pipeline_tag: text-generation", *dataset_lines, "---", ""]


def _row(source: SourceOfRun, counts: CountsOfRun, result: RunResult) -> str:
    bits = result["validation_bits_per_byte"].get(source["name"])
    return (
        f"| {source['name']} ({source['dataset'] or 'files'}) | {source['weight']:g} | {counts['tokens']:,} "
        f"| {counts['revision'] or 'local files'} | {'' if bits is None else f'{bits:.3f}'} |"
    )
