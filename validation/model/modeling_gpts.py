"""GPT-S for transformers: `AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)`.

    ids (B, T) ── embedding ── layers (layers_gpts.py) ── norm ── lm_head, which is the embedding ── logits (B, T, V)

`gpts-data export-model` copies this file, layers_gpts.py and configuration_gpts.py into the folder of the weights. They
are the network of model.py with transformers' masks, caches, attention kernels, gradient checkpointing and outputs.
They run with transformers 4.57 to 5.23: arguments that were renamed are looked up in `create_causal_mask`'s signature.

Letters for shapes: B rows, T new positions, S positions including those in the cache, V vocabulary, W width.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.utils import can_return_tuple

# Relative, since an exported folder has no gpts_data around it.
from .configuration_gpts import GPTSConfig
from .layers_gpts import GPTSDecoderLayer, GPTSRMSNorm, rotation

MASK_ARGUMENTS = inspect.signature(create_causal_mask).parameters
EMBEDDINGS = "inputs_embeds" if "inputs_embeds" in MASK_ARGUMENTS else "input_embeds"  # renamed in 5.x
CACHE_POSITION = "cache_position" in MASK_ARGUMENTS and MASK_ARGUMENTS["cache_position"].default is inspect._empty


class GPTSPreTrainedModel(PreTrainedModel):  # type: ignore[misc]
    """What transformers may do with the model, and how weights that no file holds are drawn."""

    config_class = GPTSConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ("GPTSDecoderLayer",)
    _skip_keys_device_placement = ("past_key_values",)
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        return True  # transformers would search this file for the words of its own models

    def _init_weights(self, module: nn.Module) -> None:
        """Draw a matrix from normal(0, 0.02), times 1/sqrt(2 x layers) if it projects into the residual stream."""
        if isinstance(module, nn.Linear | nn.Embedding):
            scale = (2 * self.config.num_hidden_layers) ** -0.5 if getattr(module, "is_residual", False) else 1.0
            nn.init.normal_(module.weight, std=self.config.initializer_range * scale)
        elif isinstance(module, GPTSRMSNorm):
            nn.init.ones_(module.weight)


class GPTSModel(GPTSPreTrainedModel):
    """The layers without the output matrix: ids or embeddings -> hidden states after the last norm."""

    def __init__(self, config: GPTSConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(GPTSDecoderLayer(config, number) for number in range(config.num_hidden_layers))
        self.norm = GPTSRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """input_ids (B, T), or inputs_embeds (B, T, W) in their place -> hidden states (B, T, W).

        attention_mask is (B, S), 0 for padding; or (B or 1, 1, T, S), what each position may attend to, as booleans or
        as numbers that are added to the scores. Without a mask and a cache, position_ids (B, T) that restart within a
        row begin another document, which sees nothing of the one before.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("expected exactly one of input_ids and inputs_embeds")
        embeddings = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        places = cache_positions(embeddings, past_key_values, kwargs.pop("cache_position", None))
        position_ids = places.unsqueeze(0) if position_ids is None else position_ids
        mask = causal_mask(self.config, embeddings, attention_mask, past_key_values, position_ids, places)
        use_cache = self.config.use_cache if use_cache is None else use_cache
        use_cache = bool(use_cache) and not (self.gradient_checkpointing and self.training)
        if use_cache and past_key_values is None:  # after the mask, which looks for documents only without a cache
            past_key_values = DynamicCache()
        shared = {"attention_mask": mask, "position_ids": position_ids, "cache_position": places, **kwargs}
        angles = rotation(position_ids, self.config.head_dim, self.config.rope_theta)
        states, attentions = [embeddings], []
        for layer in self.layers:
            state, weights = layer(states[-1], angles, past_key_values=past_key_values, **shared)
            states.append(state)
            attentions.append(weights)
        states[-1] = self.norm(states[-1])
        return BaseModelOutputWithPast(
            last_hidden_state=states[-1],
            past_key_values=past_key_values if use_cache else None,
            hidden_states=tuple(states) if self._returns("output_hidden_states", kwargs) else None,
            attentions=tuple(attentions) if self._returns("output_attentions", kwargs) else None,
        )

    def _returns(self, name: str, kwargs: dict[str, Any]) -> bool:
        value = kwargs.get(name)
        return bool(getattr(self.config, name) if value is None else value)


class GPTSForCausalLM(GPTSPreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """GPT-S with logits, loss and generation."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: GPTSConfig) -> None:
        super().__init__(config)
        self.model = GPTSModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> Any:
        """The arguments of GPTSModel -> logits (B, T, V); with labels (B, T) also the loss.

        Labels are the ids themselves, or -100 where a position has no target; the loss shifts them by one.
        logits_to_keep is the number of last positions to compute logits of, 0 for all, or their indices.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            return_dict=True,
            **kwargs,
        )
        logits = self.lm_head(select(outputs.last_hidden_state, logits_to_keep))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


def cache_positions(embeddings: Tensor, cache: Any, given: Tensor | None) -> Tensor:
    """Return the places of the new positions among all, (T,). `generate` gives them until transformers 5.1."""
    if given is not None:
        return given
    past = 0 if cache is None else cache.get_seq_length()
    return torch.arange(embeddings.shape[1], device=embeddings.device) + past


def causal_mask(
    config: GPTSConfig, embeddings: Tensor, padding: Any, cache: Any, position_ids: Tensor, places: Tensor
) -> Any:
    """Return transformers' mask for the kernel in use; None where the kernel needs none."""
    arguments = {EMBEDDINGS: embeddings, **({"cache_position": places} if CACHE_POSITION else {})}
    return create_causal_mask(
        config=config, attention_mask=padding, past_key_values=cache, position_ids=position_ids, **arguments
    )


def select(states: Tensor, keep: int | Tensor) -> Tensor:
    """Return the states (B, T, W) of the last `keep` positions, of all if it is 0, or of the positions in a tensor.

    The tensor is (N,) for the same positions in every row, (B, N) for those of each, or bool (B, T), which flattens.
    """
    if isinstance(keep, int):
        return states[:, -keep:] if keep else states
    if keep.dim() == 1:
        return states[:, keep]
    if keep.dtype == torch.bool:
        return states[keep]
    return states[torch.arange(len(states), device=states.device)[:, None], keep]
