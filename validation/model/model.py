"""GPT-S: the 5,158,464-parameter decoder that trains on a mix.

    ids (B, T) int64 ── embedding ── 9 x [ x += attention(norm(x)); x += feed_forward(norm(x)) ] ── norm ── tied logits

Letters for shapes: B windows, T positions, V vocabulary, W width, H query heads, K key/value heads, D head width.
Weights are float32. Under bfloat16 autocast, or with bfloat16 weights, matrix products are bfloat16, while norms, RoPE
and the exclusion stay float32. `gpts-data export-model` copies this file, so it imports nothing of this package.
Modules and parameters have the names of transformers' LlamaModel, which is the same network without the exclusion.

Parameters with the default sizes: embedding 4,096 x 192 = 786,432, which is also the output matrix. A layer: q and o
192 x 192 each, k and v 64 x 192 each = 98,304; feed-forward 3 x 672 x 192 = 387,072; two norms 384. 9 layers =
4,371,840; the final norm 192.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INIT_STD = 0.02  # GPT-2's
VALUE_EPS = 1e-6  # value vectors shorter than this have no direction; those of a new model are about 1.6 long
NO_TARGET = -100  # cross_entropy's ignore_index

Angles = tuple[Tensor, Tensor]  # cos and sin of RoPE, which `rotation` returns
Extend = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # new keys and values -> those of all positions so far


@dataclass(frozen=True)
class GPTSConfig:
    """Sizes of the network; the defaults are GPT-S-5M's.

    `heads` must be a multiple of `kv_heads`, and `head_dim` must be even for RoPE.
    """

    vocab_size: int = 4096
    width: int = 192
    layers: int = 9
    heads: int = 6
    kv_heads: int = 2
    head_dim: int = 32
    ffn: int = 672
    context: int = 512
    rope_theta: float = 2500.0
    norm_eps: float = 1e-6


class GPTS(nn.Module):
    """The network: logits of the next token at every position, and the loss that training minimises."""

    def __init__(self, config: GPTSConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.init_weights()

    def forward(
        self,
        ids: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        cache: Any = None,
        angles: Angles | None = None,
    ) -> Tensor:
        """ids (B, T) int64 -> logits (B, T, V), float32 or bfloat16.

        To continue earlier ids, pass `cache`, whose `update(keys, values, layer_idx)` returns the keys and values of
        all S positions so far (transformers' Cache); `positions` (T,) or (B, 1, T) of the new ids; and `mask` bool
        (B, 1, T, S), true where a position may be attended to. Without a mask, attention is causal over the ids. T is
        not limited by any weight, only by what the model was trained on. `angles` are those of the positions, if they
        were computed before.
        """
        cos, sin = angles or self.angles(
            torch.arange(ids.shape[1], device=ids.device) if positions is None else positions
        )
        x = self.embed_tokens(ids)
        for number, layer in enumerate(self.layers):
            x = layer(x, cos, sin, mask, None if cache is None else partial(cache.update, layer_idx=number))
        return F.linear(self.norm(x), self.embed_tokens.weight)  # tied: the transposed embedding

    def loss(self, ids: Tensor, angles: Angles | None = None, padding_id: int | None = None) -> Tensor:
        """ids (B, T) int64 -> mean loss in nats, float32 scalar, of B x (T-1) targets: 0..T-2 predict 1..T-1.

        padding_id: a target of this id behind the same id is padding, and counts for nothing.
        """
        targets = F.pad(ids[:, 1:], (0, 1), value=NO_TARGET)  # nothing follows the last position
        if padding_id is not None:
            targets = targets.masked_fill((targets == padding_id) & (ids == padding_id), NO_TARGET)
        logits = self.forward(
            ids, angles=angles
        ).float()  # a logarithm of a sum over V needs more than bfloat16's 8 bits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=NO_TARGET)

    def angles(self, positions: Tensor) -> Angles:
        """RoPE's cos and sin of positions (T,) or (B, 1, T)."""
        return rotation(positions, self.config.head_dim, self.config.rope_theta)

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def init_weights(self) -> None:
        """Draw from normal(0, 0.02), times 1/sqrt(2 x layers) for the projections into the residual stream."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                scale = 1 / math.sqrt(2 * self.config.layers) if residual else 1.0
                nn.init.normal_(parameter, std=INIT_STD * scale)
            else:
                nn.init.ones_(parameter)


class Block(nn.Module):
    """One layer, pre-norm: (B, T, W) -> (B, T, W)."""

    def __init__(self, config: GPTSConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.width, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.width, config.norm_eps)
        self.mlp = FeedForward(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, extend: Extend | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask, extend)
        x = x + self.mlp(self.post_attention_layernorm(x))
        return x


class Attention(nn.Module):
    """Exclusive grouped-query attention: H query heads share K key/value heads; head h uses h // (H // K)."""

    def __init__(self, config: GPTSConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.q_proj = nn.Linear(config.width, config.heads * config.head_dim, bias=False)
        self.k_proj = nn.Linear(config.width, config.kv_heads * config.head_dim, bias=False)
        self.v_proj = nn.Linear(config.width, config.kv_heads * config.head_dim, bias=False)
        self.o_proj = nn.Linear(config.heads * config.head_dim, config.width, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None = None, extend: Extend | None = None
    ) -> Tensor:
        """(B, T, W) -> (B, T, W). RoPE rotates queries and keys only; the exclusion uses the values as they are."""
        query, key, value = (self._heads(y) for y in apply_each((self.q_proj, self.k_proj, self.v_proj), x))
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        keys, values = (key, value) if extend is None else extend(key, value)
        mixed = F.scaled_dot_product_attention(query, keys, values, mask, is_causal=mask is None, enable_gqa=True)
        out: Tensor = self.o_proj(exclude(mixed, value).transpose(1, 2).flatten(2))
        return out

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, heads x D) -> (B, heads, T, D)."""
        return x.view(*x.shape[:2], -1, self.head_dim).transpose(1, 2)


def apply_each(layers: Sequence[nn.Module], x: Tensor) -> Sequence[Tensor]:
    """Apply several linear layers without biases to the same x: (B, T, W) -> for each layer (B, T, its outputs).

    torch.compile makes one matrix product of them, which reads x once; the concatenated weights are small. Layers that
    a library has replaced, such as those of LoRA, are called as they are.
    """
    plain = [layer for layer in layers if type(layer) is nn.Linear]
    if torch.compiler.is_compiling() and len(plain) == len(layers):
        joined = F.linear(x, torch.cat([layer.weight for layer in plain]))
        return torch.split(joined, [layer.out_features for layer in plain], dim=-1)
    return [layer(x) for layer in layers]


def exclude(mixed: Tensor, value: Tensor) -> Tensor:
    """Remove from every head's output its component along the token's own value (Zhai, arXiv 2603.09078).

    mixed (B, H, T, D), value (B, K, T, D) -> z (B, H, T, D) in `mixed`'s dtype:

        z = y - (y . u) u   with y the output, u = v / max(|v|, eps), v the token's value in the head's group

    It is computed in float32, since y and v can be nearly parallel and bfloat16 would leave only rounding errors. The
    code uses the equal form z = y - v (y . v) / max(|v|, eps)^2, so that y = v gives v - v * 1: position 0, which can
    attend only to itself, has an output of exactly 0.
    """
    batch, groups, length, dim = value.shape
    y = mixed.float().reshape(batch, groups, -1, length, dim)  # (B, K, H/K, T, D)
    v = value.float().unsqueeze(2)  # (B, K, 1, T, D)
    along = (y * v).sum(-1, keepdim=True) / (v * v).sum(-1, keepdim=True).clamp_min(VALUE_EPS**2)
    return (y - along * v).flatten(1, 2).to(mixed.dtype)


def rotation(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return RoPE's cos and sin: positions (..., T) -> each (..., T, D/2) float32. Pair i has angle p / theta^(2i/D).

    Su et al., arXiv 2104.09864. They are no buffers of the model, which would become bfloat16 with the weights.
    """
    pairs = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions.device)
    angle = positions.float().unsqueeze(-1) * theta ** (-pairs / head_dim)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs of x (B, heads, T, D) by the angles of their positions, computed in float32.

    cos and sin are (T, D/2), or (B, 1, T, D/2) when the positions differ between the rows of a batch. As in
    transformers' Llama ("rotate half"), a pair is (x[i], x[i + D/2]), not (x[2i], x[2i + 1]).
    """
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)


class FeedForward(nn.Module):
    """SwiGLU (Shazeer, arXiv 2002.05202): down(silu(gate(x)) * up(x)), (B, T, W) -> (B, T, W)."""

    def __init__(self, config: GPTSConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.ffn, bias=False)
        self.up_proj = nn.Linear(config.width, config.ffn, bias=False)
        self.down_proj = nn.Linear(config.ffn, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = apply_each((self.gate_proj, self.up_proj), x)
        out: Tensor = self.down_proj(F.silu(gate) * up)
        return out


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis (Zhang and Sennrich, arXiv 1910.07467).

    It is computed in float32. Under autocast the residual stream is float32 anyway, like the embedding; with bfloat16
    weights it is bfloat16, and so is the result.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        x32 = x.float()
        return (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + self.eps) * self.weight).to(x.dtype)
