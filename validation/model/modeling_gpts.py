"""GPT-S for transformers: `AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)`.

`gpts-data export-model` copies this file and model.py, the network, into the folder of the weights, so that the
exported model runs the code that was trained. This file adds transformers' names, cache and masks. The output matrix is
the embedding: it has no module and no weight of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

# Relative, since an exported folder has no gpts_data around it.
from .model import GPTS
from .model import GPTSConfig as Sizes


class GPTSConfig(PreTrainedConfig):  # type: ignore[misc]
    """The sizes in config.json, under Llama's names."""

    model_type = "gpts"
    keys_to_ignore_at_inference = ("past_key_values",)

    def __init__(
        self,
        vocab_size: int = 4096,
        hidden_size: int = 192,
        num_hidden_layers: int = 9,
        num_attention_heads: int = 6,
        num_key_value_heads: int = 2,
        head_dim: int = 32,
        intermediate_size: int = 672,
        max_position_embeddings: int = 512,
        rope_theta: float = 2500.0,
        rms_norm_eps: float = 1e-6,
        use_cache: bool = True,
        **others: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads
        self.head_dim = head_dim
        self.intermediate_size = intermediate_size
        self.max_position_embeddings = max_position_embeddings
        self.rope_theta = rope_theta
        self.rms_norm_eps = rms_norm_eps
        self.use_cache = use_cache
        super().__init__(**others)

    @property
    def sizes(self) -> Sizes:
        """The same sizes under the names of model.py."""
        return Sizes(
            self.vocab_size,
            self.hidden_size,
            self.num_hidden_layers,
            self.num_attention_heads,
            self.num_key_value_heads,
            self.head_dim,
            self.intermediate_size,
            self.max_position_embeddings,
            self.rope_theta,
            self.rms_norm_eps,
        )


class GPTSForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """GPT-S with the interface of transformers' causal language models."""

    config_class = GPTSConfig
    base_model_prefix = "model"
    _supports_sdpa = True
    _no_split_modules = ("Block",)

    def __init__(self, config: GPTSConfig) -> None:
        super().__init__(config)
        self.model = GPTS(config.sizes)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Initialize the weights; transformers calls this only for those that the weights file lacks."""
        if isinstance(module, GPTS):
            module.init_weights()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
        **others: Any,
    ) -> Any:
        """input_ids (B, T), which follow those in the cache -> logits (B, T, V); with labels (B, T) also the loss.

        attention_mask (B, S) is 0 for padding and includes the positions in the cache. Labels are the ids themselves,
        or -100 where a position has no target; the model shifts them by one.
        """
        if past_key_values is None and (self.config.use_cache if use_cache is None else use_cache) and labels is None:
            past_key_values = DynamicCache()
        past = 0 if past_key_values is None else past_key_values.get_seq_length()
        new = input_ids.shape[1]
        if position_ids is None:
            position_ids = positions(attention_mask, past, new, input_ids.device)
        mask = visible(attention_mask, past, new, input_ids.device)
        logits = self.model(input_ids, position_ids.unsqueeze(1), mask, past_key_values)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **others)
        output = CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)
        return output.to_tuple() if return_dict is False else output


def positions(padding: Tensor | None, past: int, new: int, device: torch.device) -> Tensor:
    """Return the positions of the new ids, (B, T) or (1, T). Padding on the left does not count."""
    if padding is None:
        return torch.arange(past, past + new, device=device).unsqueeze(0)
    return (padding.long().cumsum(-1) - 1).clamp_min(0)[:, past : past + new]


def visible(padding: Tensor | None, past: int, new: int, device: torch.device) -> Tensor | None:
    """Return which of all S positions each new one may attend to, bool (B or 1, 1, T, S).

    None stands for causal attention without cache and padding. Every position, even padding, attends to itself, since a
    softmax over nothing would be NaN.
    """
    if padding is not None and bool(padding.all()):
        padding = None
    if past == 0 and padding is None:
        return None
    key = torch.arange(past + new, device=device)
    query = key[past:, None]
    causal = (key <= query)[None, None]
    if padding is None:
        return causal
    return causal & padding.bool()[:, None, None, : past + new] | (key == query)
