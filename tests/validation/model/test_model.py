"""GPT-S equals a slow reference written from the formulas, and has the properties that must hold exactly."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gpts_data.validation.model import model as module  # noqa: E402
from gpts_data.validation.model.model import GPTS, GPTSConfig  # noqa: E402
from tests.support.naive_gpts import naive_logits  # noqa: E402

SMALL = GPTSConfig(vocab_size=50, width=24, layers=2, heads=6, kv_heads=2, head_dim=8, ffn=40, context=32)


def random_model(config: GPTSConfig) -> GPTS:
    """A model far from the initial weights, so that attention is not uniform and norms are not all ones."""
    torch.manual_seed(0)
    model = GPTS(config)
    with torch.no_grad():
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, mean=1.0 if parameter.dim() == 1 else 0.0, std=0.2)
    return model


@pytest.mark.parametrize(("config", "length"), [(SMALL, 12), (replace(SMALL, kv_heads=6), 5), (GPTSConfig(), 6)])
def test_equals_the_naive_reference(config: GPTSConfig, length: int) -> None:
    model = random_model(config)
    if (
        config == GPTSConfig()
    ):  # wider sums: with 0.2, logits reach the hundreds, where float32 is less precise than 1e-5
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.2 if parameter.dim() == 2 else 1.0)
    ids = torch.randint(config.vocab_size, (2, length))
    weights = {name: weight.double().numpy() for name, weight in model.state_dict().items()}
    with torch.no_grad():
        logits = model(ids).numpy()
    for row, expected in zip(logits, (naive_logits(line, weights, config) for line in ids.tolist()), strict=True):
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-5)
        assert expected.std() > 0.1  # otherwise the comparison would prove nothing


def test_without_exclusion_it_is_transformers_llama(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    monkeypatch.setattr(module, "exclude", lambda mixed, value: mixed)
    model = random_model(SMALL)
    config = transformers.LlamaConfig(
        vocab_size=50,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=40,
        max_position_embeddings=32,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 2500.0},
    )
    llama = transformers.LlamaForCausalLM(config).eval()
    llama.model.load_state_dict(model.state_dict())
    ids = torch.randint(50, (2, 32))
    with torch.no_grad():
        torch.testing.assert_close(model(ids), llama(ids).logits, rtol=1e-5, atol=1e-5)


def test_parameters() -> None:
    model = GPTS(GPTSConfig())
    assert model.parameter_count() == 5_158_464
    assert sum(weight.numel() for weight in model.state_dict().values()) == 5_158_464  # no buffer is saved
    assert not [name for name, _ in model.named_parameters() if "bias" in name]


def test_initial_weights() -> None:
    torch.manual_seed(0)
    layer = GPTS(GPTSConfig()).layers[0]
    assert layer.self_attn.q_proj.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert layer.self_attn.o_proj.weight.std().item() == pytest.approx(0.02 / 18**0.5, rel=0.02)
    assert layer.mlp.down_proj.weight.std().item() == pytest.approx(0.02 / 18**0.5, rel=0.02)


@pytest.mark.parametrize("length", [32, 17])
def test_logits_do_not_depend_on_later_tokens(length: int) -> None:
    model = random_model(SMALL)
    ids = torch.randint(50, (2, length))
    with torch.no_grad():
        before = model(ids)
        for t in (1, 5, length - 1):
            changed = ids.clone()
            changed[:, t] = (ids[:, t] + 1) % 50
            after = model(changed)
            assert torch.equal(before[:, :t], after[:, :t])
            assert not torch.equal(before[:, t:], after[:, t:])


@pytest.mark.parametrize("autocast", [False, True])
def test_attention_is_orthogonal_to_the_own_value_and_zero_at_position_0(autocast: bool) -> None:
    attention = random_model(GPTSConfig(layers=1)).layers[0].self_attn
    captured = {}
    attention.v_proj.register_forward_hook(lambda _module, _inputs, out: captured.update(value=out))
    attention.o_proj.register_forward_pre_hook(lambda _module, inputs: captured.update(heads=inputs[0]))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        cos, sin = module.rotation(torch.arange(512), 32, 2500.0)
        attention(torch.randn(2, 512, 192), cos, sin)
    assert captured["heads"].dtype == (torch.bfloat16 if autocast else torch.float32)
    heads = captured["heads"].float().view(2, 512, 6, 32)
    value = captured["value"].float().view(2, 512, 2, 32).repeat_interleave(3, dim=2)  # head h has KV head h // 3
    assert torch.equal(heads[:, 0], torch.zeros(2, 6, 32))
    along = (heads * torch.nn.functional.normalize(value, dim=-1)).sum(-1).abs().max()
    assert along < value.norm(dim=-1).max() * (1e-2 if autocast else 1e-6)  # bfloat16 keeps 8 bits of the result


def test_exclusion_of_a_zero_value_is_no_exclusion() -> None:
    mixed = torch.randn(1, 6, 3, 8)
    assert torch.equal(module.exclude(mixed, torch.zeros(1, 2, 3, 8)), mixed)


def test_initial_loss_is_that_of_random_guessing() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        loss = GPTS(GPTSConfig()).loss(torch.randint(4096, (4, 512)))
    assert loss.item() == pytest.approx(math.log(4096), abs=0.05)


def test_loss_is_the_mean_over_the_next_tokens() -> None:
    model = random_model(SMALL)
    ids = torch.randint(50, (3, 9))
    with torch.no_grad():
        shares = model(ids).double().log_softmax(-1)
        nats = [-shares[b, t, ids[b, t + 1]].item() for b in range(3) for t in range(8)]
        assert model.loss(ids).item() == pytest.approx(sum(nats) / len(nats), rel=1e-5)


def test_overfits_one_batch() -> None:
    torch.manual_seed(0)
    model = GPTS(replace(SMALL, width=48, ffn=96))
    ids = torch.randint(50, (4, 32))
    ids[:, 0] = torch.arange(4)  # rows with the same first id could not be told apart
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(300):
        loss = model.loss(ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.1:
            return
    pytest.fail(f"the loss is still {loss.item():.3f}")


def test_compiles_as_one_graph_with_joined_products() -> None:
    """q, k, v are one matrix product in the compiled graph, gate and up another; loss and gradients stay the same."""
    model = random_model(SMALL)
    ids = torch.randint(50, (2, 16))
    products: list[tuple[int, ...]] = []

    def count(graph: Any, _: object) -> Any:
        products.extend(
            tuple(node.meta["example_value"].shape) for node in graph.graph.nodes if node.target is torch._C._nn.linear
        )
        return graph

    compiled = torch.compile(model.loss, backend=count, fullgraph=True)
    results = []
    for loss in (model.loss, compiled):
        model.zero_grad()
        value = loss(ids)
        value.backward()
        results.append((value.item(), [parameter.grad.clone() for parameter in model.parameters()]))
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-6)
    for plain, joined in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(joined, plain, rtol=1e-4, atol=1e-6)
    assert [shape[-1] for shape in products] == [(6 + 2 + 2) * 8, 24, 2 * 40, 24] * 2 + [50]


def test_replaced_layers_are_called_in_a_compiled_graph() -> None:
    """As LoRA replaces them: their weights alone would leave out what they add."""

    class Doubled(torch.nn.Linear):  # type: ignore[name-defined]  # the module is a result of importorskip
        def forward(self, x: Any) -> Any:
            return 2 * super().forward(x)

    model = random_model(SMALL)
    with torch.no_grad():
        attention = model.layers[0].self_attn
        doubled = Doubled(24, 16, bias=False)
        doubled.weight.copy_(attention.v_proj.weight)
        attention.v_proj = doubled
        ids = torch.randint(50, (2, 16))
        compiled = torch.compile(model.loss, backend="eager")
        assert compiled(ids).item() == pytest.approx(model.loss(ids).item(), rel=1e-6)


def test_angles_computed_before_are_used() -> None:
    model = random_model(SMALL)
    ids = torch.randint(50, (2, 16))
    with torch.no_grad():
        assert torch.equal(model.loss(ids, model.angles(torch.arange(16))), model.loss(ids))
        assert not torch.equal(model.loss(ids, model.angles(torch.arange(16) * 2)), model.loss(ids))
