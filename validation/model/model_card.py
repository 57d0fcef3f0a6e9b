"""README.md of an exported model: the card, out of the run's and the mix's facts alone."""

from __future__ import annotations

from typing import Any

from gpts_data.tokenizer.artifact import Artifact
from gpts_data.validation.model.model import GPTSConfig

CODE = ("modeling_gpts.py", "model.py")  # what the card's usage runs, copied beside it

USAGE = """\
```python
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

name = "."  # this folder, or its name on the hub
tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(name, trust_remote_code=True, dtype=torch.bfloat16)

inputs = tokenizer("The water cycle begins", return_tensors="pt")
output = model.generate(
    **inputs, max_new_tokens=120, do_sample=True, temperature=0.8, top_p=0.95, repetition_penalty=1.1,
    no_repeat_ngram_size=4,
)
print(tokenizer.decode(output[0], skip_special_tokens=True))
```"""


def model_card(config: GPTSConfig, result: dict[str, Any], mix: dict[str, Any], tokenizer: Artifact) -> str:
    """The card's text. `result` is a run's result.json, `mix` the manifest of the mix it was trained on."""
    return "\n".join(
        [
            *_front_matter(mix),
            f"# GPT-S, {result['parameters']:,} parameters, trained on {mix['recipe']['name']}",
            "",
            f"{config.layers} layers of width {config.width}; exclusive grouped-query attention (arXiv 2603.09078) "
            f"with {config.heads} query and {config.kv_heads} key/value heads of {config.head_dim}; SwiGLU of "
            f"{config.ffn}; RMSNorm; RoPE with theta {config.rope_theta:g}; tied embeddings; context {config.context}.",
            "",
            USAGE,
            "",
            "## Training",
            "",
            f"{result['steps']:,} steps, {result['tokens']:,} tokens, {result['epochs']:.3g} passes over the mix. Loss "
            f"{result['first_loss']:.3f} before and {result['last_loss']:.3f} nats a token after; the entropy of the "
            f"tokens' frequencies is {result['unigram_entropy']:.3f}.",
            "",
            "| source | weight | tokens of the mix | revision | bits per byte, held out |",
            "|---|---:|---:|---|---:|",
            *(_row(source, mix["sources"][source["name"]], result) for source in mix["recipe"]["source"]),
            "",
            f"The mix: {mix['tokens']:,} tokens, root digest `{mix['root_digest']}` (`gpts-data verify` checks it).",
            f"The tokenizer: {tokenizer.vocab_size:,} entries, byte-level BPE, sha256 `{tokenizer.digest}`; documents "
            f"are separated by `<|endoftext|>` (id {tokenizer.eos_id}).",
            "",
            "The licences of the sources apply to their texts.",
            "",
        ]
    )


def _front_matter(mix: dict[str, Any]) -> list[str]:
    """What the hub reads. No licence: that of the weights is their owner's to choose."""
    datasets = dict.fromkeys(source["dataset"] for source in mix["recipe"]["source"] if source["dataset"])
    listed = ["datasets:", *(f"- {name}" for name in datasets)] if datasets else []
    return ["---", "library_name: transformers", "pipeline_tag: text-generation", *listed, "---", ""]


def _row(source: dict[str, Any], facts: dict[str, Any], result: dict[str, Any]) -> str:
    bits = result["validation_bits_per_byte"].get(source["name"])
    return (
        f"| {source['name']} ({source['dataset'] or 'files'}) | {source['weight']:g} | {facts['tokens']:,} "
        f"| {facts['revision'] or 'local files'} | {'' if bits is None else f'{bits:.3f}'} |"
    )
