"""The layers of the GPT-S that transformers runs, with the names of Llama's. See modeling_gpts.py.

Two things differ from Llama: the exclusion after attention, and the norms and RoPE, which stay float32 to their end.

Letters for shapes: B rows, T new positions, S positions including those in the cache, W width, H query heads, K
key/value heads, D head width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_gpts import GPTSConfig

VALUE_EPS = 1e-6  # value vectors shorter than this have no direction


class GPTSRMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis, float32 until the result."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        x32 = x.float()
        return (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + self.eps) * self.weight).to(x.dtype)


class GPTSMLP(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x)), (B, T, W) -> (B, T, W)."""

    def __init__(self, config: GPTSConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.down_proj.is_residual = True  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class GPTSAttention(nn.Module):
    """Exclusive grouped-query attention: H query heads share K key/value heads; head h uses h // (H // K)."""

    def __init__(self, config: GPTSConfig, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.num_key_value_groups = config.num_attention_heads // config.num_key_value_heads
        self.scaling = config.head_dim**-0.5
        self.is_causal = True
        self.q_proj = nn.Linear(config.hidden_size, config.num_attention_heads * config.head_dim, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, config.num_key_value_heads * config.head_dim, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, config.num_key_value_heads * config.head_dim, bias=False)
        self.o_proj = nn.Linear(config.num_attention_heads * config.head_dim, config.hidden_size, bias=False)
        self.o_proj.is_residual = True  # type: ignore[assignment]

    def forward(
        self,
        hidden_states: Tensor,
        angles: tuple[Tensor, Tensor],
        attention_mask: Any,
        past_key_values: Any = None,
        cache_position: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, W) -> (B, T, W) and, from the eager kernel only, the weights (B, H, T, S)."""
        heads = (*hidden_states.shape[:-1], -1, self.head_dim)
        query = rotate(self.q_proj(hidden_states).view(heads).transpose(1, 2), *angles)
        key = rotate(self.k_proj(hidden_states).view(heads).transpose(1, 2), *angles)
        own_value = self.v_proj(hidden_states).view(heads)  # (B, T, K, D)
        value = own_value.transpose(1, 2)
        if past_key_values is not None:
            # transformers 5.23 counts positions itself; before, a static cache needed to be told them.
            key, value = past_key_values.update(key, value, self.layer_idx, {"cache_position": cache_position})
        kernel: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS.get(self.config._attn_implementation, eager_attention)
        # A kernel decides by T and the mask whether it is causal: one new token without a mask sees the whole cache.
        mixed, weights = kernel(self, query, key, value, attention_mask, dropout=0.0, scaling=self.scaling, **kwargs)
        return self.o_proj(exclude(mixed, own_value).flatten(2)), weights


class GPTSDecoderLayer(GradientCheckpointingLayer):  # type: ignore[misc]
    """One layer, pre-norm: (B, T, W) -> (B, T, W)."""

    def __init__(self, config: GPTSConfig, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = GPTSAttention(config, layer_idx)
        self.mlp = GPTSMLP(config)
        self.input_layernorm = GPTSRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = GPTSRMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, hidden_states: Tensor, angles: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        mixed, weights = self.self_attn(self.input_layernorm(hidden_states), angles, **kwargs)
        hidden_states = hidden_states + mixed
        return hidden_states + self.mlp(self.post_attention_layernorm(hidden_states)), weights


def eager_attention(
    module: GPTSAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **others: Any,
) -> tuple[Tensor, Tensor]:
    """Attention in plain operations: query (B, H, T, D), key and value (B, K, S, D) -> (B, T, H, D), weights."""
    key = key.repeat_interleave(module.num_key_value_groups, dim=1)
    value = value.repeat_interleave(module.num_key_value_groups, dim=1)
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    elif attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    return (weights @ value).transpose(1, 2), weights


def exclude(mixed: Tensor, value: Tensor) -> Tensor:
    """Remove from every head's output its component along the token's own value (Zhai, arXiv 2603.09078).

    mixed (B, T, H, D), value (B, T, K, D) -> (B, T, H, D), computed in float32, since the two can be nearly parallel.
    """
    batch, length, groups, dim = value.shape
    y = mixed.float().reshape(batch, length, groups, -1, dim)  # (B, T, K, H/K, D)
    v = value.float().unsqueeze(3)
    along = (y * v).sum(-1, keepdim=True) / (v * v).sum(-1, keepdim=True).clamp_min(VALUE_EPS**2)
    return (y - along * v).flatten(2, 3).to(mixed.dtype)


def rotation(position_ids: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return RoPE's cos and sin for positions (B or 1, T), each (B or 1, 1, T, D) float32."""
    pairs = torch.arange(0, head_dim, 2, dtype=torch.float32, device=position_ids.device)
    angle = position_ids[:, None, :, None].float() * theta ** (-pairs / head_dim)
    angle = torch.cat((angle, angle), dim=-1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs (x[i], x[i + D/2]) of x (B, heads, T, D), computed in float32."""
    first, second = x.float().chunk(2, dim=-1)
    return (x.float() * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)
