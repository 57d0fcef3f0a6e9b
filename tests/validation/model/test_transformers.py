"""An exported model equals the formulas in every way that transformers runs it, and can be fine-tuned."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from gpts_data.validation.model.model import GPTSConfig  # noqa: E402
from tests.support.naive_gpts import naive_logits  # noqa: E402
from tests.validation.model.conftest import load  # noqa: E402

GREEDY = {"max_new_tokens": 12, "do_sample": False, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0}
PROMPTS = ["Ka lo mi ren.", "Ka", "Sha vel dor an pi quo zen bra il est"]
LENGTH = 12


@dataclass
class Case:
    """Ids (2, LENGTH) and what they must give: logits by the formulas in float64, (2, LENGTH, V)."""

    ids: Any
    logits: Any

    @property
    def row(self) -> Any:
        """Both documents in one row, (1, 2 x LENGTH)."""
        return self.ids.view(1, -1)


@pytest.fixture(scope="module")
def case(exported: Path) -> Case:
    theirs = load(exported)
    weights = {name.removeprefix("model."): value.double().numpy() for name, value in theirs.state_dict().items()}
    sizes = {"vocab_size": 400, "width": 32, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 8, "ffn": 64}
    ids = torch.randint(1, 400, (2, LENGTH), generator=torch.Generator().manual_seed(1))
    logits = np.stack([naive_logits(row, weights, GPTSConfig(**sizes)) for row in ids.tolist()])
    return Case(ids, torch.from_numpy(logits))


@pytest.fixture
def tokenizer(exported: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(exported, trust_remote_code=True)


def in_pieces(model: Any, case: Case, cache: Any = None) -> Any:
    logits = []
    for piece in case.ids.split([5, 1, 1, 3, 2], dim=1):
        out = model(piece, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        logits.append(out.logits)
    return torch.cat(logits, 1)


def in_static_cache(model: Any, case: Case) -> Any:
    return in_pieces(model, case, transformers.StaticCache(config=model.config, max_cache_len=20))


def padded_left(model: Any, case: Case) -> Any:
    mask = torch.nn.functional.pad(torch.ones_like(case.ids), (4, 0))
    logits = model(torch.nn.functional.pad(case.ids, (4, 0)), attention_mask=mask).logits
    assert logits.isfinite().all()  # also where there is only padding to attend to
    return logits[:, 4:]


def packed(model: Any, case: Case) -> Any:
    positions = torch.arange(LENGTH).repeat(2)[None]
    return model(case.row, position_ids=positions).logits.view(2, LENGTH, -1)


def packed_by_mask(model: Any, case: Case) -> Any:
    document = torch.arange(2).repeat_interleave(LENGTH)
    mask = (document[:, None] == document).tril()[None, None]
    positions = torch.arange(LENGTH).repeat(2)[None]
    return model(case.row, attention_mask=mask, position_ids=positions).logits.view(2, LENGTH, -1)


def with_eager_attention(model: Any, case: Case) -> Any:
    model.set_attn_implementation("eager")
    torch.testing.assert_close(packed_by_mask(model, case).double(), case.logits, rtol=0, atol=1e-4)
    return padded_left(model, case)


def from_embeddings(model: Any, case: Case) -> Any:
    return model(inputs_embeds=model.get_input_embeddings()(case.ids)).logits


def two_parts(model: Any, case: Case) -> Any:
    """logits_to_keep as a number, as positions, as positions for each row, and as a mask."""
    each = torch.arange(5, 7).expand(2, 2)
    first = torch.zeros(2, LENGTH, dtype=torch.bool)
    first[:, :4] = True
    masked = model(case.ids, logits_to_keep=first).logits.view(2, 4, -1)
    parts = [masked, *(model(case.ids, logits_to_keep=keep).logits for keep in (torch.tensor([4]), each, 5))]
    return torch.cat(parts, 1)


def through_the_base_model(model: Any, case: Case) -> Any:
    base = transformers.AutoModel.from_pretrained(model.name_or_path, trust_remote_code=True)
    out = base(case.ids, output_hidden_states=True)
    assert len(out.hidden_states) == 3 and out.hidden_states[-1] is out.last_hidden_state
    return out.last_hidden_state @ model.get_output_embeddings().weight.T


def compiled(model: Any, case: Case) -> Any:
    """One graph without breaks; the backend that only runs it is enough, since the other does not come from us."""
    model.forward = torch.compile(model.forward, backend="eager", fullgraph=True)
    mask = torch.ones_like(case.ids)
    return model(case.ids, attention_mask=mask, use_cache=False).logits


@torch.no_grad()
@pytest.mark.parametrize(
    "ways",
    [
        lambda model, case: model(case.ids).logits,
        in_pieces,
        in_static_cache,
        padded_left,
        packed,
        packed_by_mask,
        with_eager_attention,
        from_embeddings,
        two_parts,
        through_the_base_model,
        compiled,
    ],
)
def test_logits_are_those_of_the_formulas(model: Any, case: Case, ways: Callable[..., Any]) -> None:
    torch.testing.assert_close(ways(model, case).double(), case.logits, rtol=0, atol=1e-4)


def test_a_batch_generates_what_each_prompt_generates_alone(model: Any, tokenizer: Any) -> None:
    alone = []
    for prompt in PROMPTS:
        inputs = tokenizer(prompt, return_tensors="pt")
        alone.append(model.generate(**inputs, **GREEDY)[0, inputs["input_ids"].shape[1] :].tolist())
    inputs = tokenizer(PROMPTS, return_tensors="pt", padding=True)
    assert inputs["input_ids"][1, 0] == model.config.pad_token_id  # on the left
    for cache in ("dynamic", "static"):
        batch = model.generate(**inputs, **GREEDY, cache_implementation=cache)
        assert batch[:, inputs["input_ids"].shape[1] :].tolist() == alone


def test_a_pipeline_generates_in_batches(model: Any, tokenizer: Any) -> None:
    pipeline = transformers.pipeline("text-generation", model=model, tokenizer=tokenizer)
    options = {"return_full_text": False, **GREEDY}
    single, batches = (pipeline(PROMPTS, batch_size=size, **options) for size in (1, 3))
    assert single == batches and all(row[0]["generated_text"] for row in single)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_gradients_with_checkpointing_are_those_without(exported: Path, case: Case, attention: str) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = load(exported, attn_implementation=attention).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model(case.ids, labels=case.ids).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(*gradients)


def test_the_trainer_teaches_the_model_to_stop(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    """With end-of-text as the padding token, the standard collator would take away the target that ends a text."""
    texts = ["Ka lo mi ren.", "Sha vel.", "Dor an pi quo zen bra."]
    rows = [tokenizer(text + tokenizer.eos_token) for text in texts] * 8
    collator = transformers.DataCollatorForLanguageModeling(tokenizer, mlm=False)
    labels = collator(rows[:3])["labels"]
    assert labels[:, -1].eq(tokenizer.eos_token_id).all() and labels[1, 0] == -100
    options = {"per_device_train_batch_size": 6, "max_steps": 60, "learning_rate": 1e-2, "report_to": "none"}
    arguments = transformers.TrainingArguments(
        str(tmp_path), gradient_checkpointing=True, use_cpu=True, save_strategy="no", disable_tqdm=True, **options
    )
    torch.manual_seed(0)
    transformers.Trainer(model, arguments, train_dataset=rows, data_collator=collator).train()
    answer = model.eval().generate(**tokenizer("Ka lo mi", return_tensors="pt"), **GREEDY)[0]
    assert tokenizer.decode(answer) == texts[0] + tokenizer.eos_token


def test_the_configuration_names_the_special_ids(exported: Path, tokenizer: Any) -> None:
    config = transformers.AutoConfig.from_pretrained(exported, trust_remote_code=True)
    generation = transformers.GenerationConfig.from_pretrained(exported)
    for each in (config, generation, tokenizer):
        assert each.eos_token_id == each.bos_token_id == 0 != each.pad_token_id < 400
        assert each.pad_token_id == tokenizer.convert_tokens_to_ids("<|pad|>")
    assert (
        json.loads((exported / "config.json").read_text(encoding="utf-8"))["auto_map"]["AutoModel"]
        == "modeling_gpts.GPTSModel"
    )
