"""The sizes of an exported GPT-S, as transformers reads them from config.json. See modeling_gpts.py."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig


class GPTSConfig(PretrainedConfig):  # type: ignore[misc]
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
        initializer_range: float = 0.02,
        use_cache: bool = True,
        tie_word_embeddings: bool = True,
        pad_token_id: int | None = None,
        bos_token_id: int | None = 0,
        eos_token_id: int | list[int] | None = 0,
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
        self.initializer_range = initializer_range
        self.use_cache = use_cache
        super().__init__(**others)
        # After the base class: that of 4.57 sets these itself, that of 5.23 has no such attributes.
        self.tie_word_embeddings = tie_word_embeddings
        self.pad_token_id = pad_token_id
        self.bos_token_id = bos_token_id
        self.eos_token_id = eos_token_id
