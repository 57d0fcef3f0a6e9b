"""GPT-S written from the formulas: float64, one position, one head and one pair at a time."""

from __future__ import annotations

import math

import numpy as np

from gpts_data.validation.model.model import GPTSConfig

Weights = dict[str, np.ndarray]


def naive_logits(ids: list[int], weights: Weights, config: GPTSConfig) -> np.ndarray:
    """(T,) ids -> (T, V) logits."""
    embedding = weights["embed_tokens.weight"]
    stream = [embedding[i].copy() for i in ids]
    for number in range(config.layers):
        layer = {
            name.removeprefix(f"layers.{number}."): weight
            for name, weight in weights.items()
            if name.startswith(f"layers.{number}.")
        }
        normed = [naive_norm(x, layer["input_layernorm.weight"], config) for x in stream]
        for x, update in zip(stream, naive_attention(normed, layer, config), strict=True):
            x += update
        for x in stream:
            x += naive_swiglu(naive_norm(x, layer["post_attention_layernorm.weight"], config), layer)
    return np.array([embedding @ naive_norm(x, weights["norm.weight"], config) for x in stream])


def naive_norm(x: np.ndarray, weight: np.ndarray, config: GPTSConfig) -> np.ndarray:
    return x / math.sqrt(sum(a * a for a in x) / len(x) + config.norm_eps) * weight


def naive_swiglu(x: np.ndarray, layer: Weights) -> np.ndarray:
    gate, up = layer["mlp.gate_proj.weight"] @ x, layer["mlp.up_proj.weight"] @ x
    return layer["mlp.down_proj.weight"] @ np.array([g / (1 + math.exp(-g)) * u for g, u in zip(gate, up, strict=True)])


def naive_rope(x: np.ndarray, position: int, theta: float) -> np.ndarray:
    """Rotate each pair (x[i], x[i + D/2]) by position / theta^(2i/D)."""
    rotated, half = x.copy(), len(x) // 2
    for i in range(half):
        angle = position * theta ** (-2 * i / len(x))
        rotated[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
        rotated[i + half] = x[i] * math.sin(angle) + x[i + half] * math.cos(angle)
    return rotated


def naive_attention(normed: list[np.ndarray], layer: Weights, config: GPTSConfig) -> list[np.ndarray]:
    dim, group = config.head_dim, config.heads // config.kv_heads
    outputs = []
    for t in range(len(normed)):
        heads = []
        for head in range(config.heads):
            own, shared = slice(head * dim, (head + 1) * dim), slice(head // group * dim, (head // group + 1) * dim)
            query = naive_rope(layer["self_attn.q_proj.weight"][own] @ normed[t], t, config.rope_theta)
            keys = [
                naive_rope(layer["self_attn.k_proj.weight"][shared] @ normed[j], j, config.rope_theta)
                for j in range(t + 1)
            ]
            values = [layer["self_attn.v_proj.weight"][shared] @ normed[j] for j in range(t + 1)]
            scores = np.array([math.exp(query @ key / math.sqrt(dim)) for key in keys])
            y = sum(share * value for share, value in zip(scores / scores.sum(), values, strict=True))
            u = values[t] / max(math.sqrt(values[t] @ values[t]), 1e-6)
            heads.append(y - (y @ u) * u)
        outputs.append(layer["self_attn.o_proj.weight"] @ np.concatenate(heads))
    return outputs
