"""TRL and PEFT fine-tune an exported model: its loss falls, and it learns to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
trl = pytest.importorskip("trl", reason="needs the extra finetune")
peft = pytest.importorskip("peft", reason="needs the extra finetune")

from datasets import Dataset  # noqa: E402

from tests.validation.model.conftest import load  # noqa: E402

QUESTIONS = {"Ka lo mi": " ren.", "Sha": " vel dor.", "Dor an pi": " quo zen bra."}


@pytest.fixture
def tokenizer(exported: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(exported, trust_remote_code=True)


def train(model: Any, tokenizer: Any, folder: Path, adapter: Any = None, **options: Any) -> Any:
    """Fine-tune on three questions, whose answers end with end-of-text, which TRL adds; returns the trainer."""
    rows = [{"prompt": prompt, "completion": answer} for prompt, answer in QUESTIONS.items()] * 16
    options = {"max_steps": 40, "learning_rate": 1e-2, "per_device_train_batch_size": 6, "max_length": 64, **options}
    config = trl.SFTConfig(
        str(folder), use_cpu=True, bf16=False, save_strategy="no", report_to="none", disable_tqdm=True, **options
    )
    torch.manual_seed(0)
    trainer = trl.SFTTrainer(
        model, config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer, peft_config=adapter
    )
    trainer.train()
    trainer.model.eval()
    return trainer


def answer(model: Any, tokenizer: Any, prompt: str) -> str:
    inputs = tokenizer(prompt, return_tensors="pt")
    options = {"max_new_tokens": 16, "do_sample": False, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0}
    return str(tokenizer.decode(model.generate(**inputs, **options)[0, inputs["input_ids"].shape[1] :]))


@pytest.mark.parametrize(
    "options", [{"gradient_checkpointing": False}, {"gradient_checkpointing": True}, {"packing": True}], ids=str
)
def test_sft_teaches_answers_and_where_they_end(
    model: Any, tokenizer: Any, tmp_path: Path, options: dict[str, Any]
) -> None:
    trainer = train(model, tokenizer, tmp_path, **options)
    for prompt, expected in QUESTIONS.items():
        assert answer(trainer.model, tokenizer, prompt) == expected + tokenizer.eos_token


def test_sft_with_lora(model: Any, tokenizer: Any, exported: Path, tmp_path: Path) -> None:
    adapter = peft.LoraConfig(task_type="CAUSAL_LM", r=16, target_modules="all-linear", lora_alpha=32)
    trainer = train(model, tokenizer, tmp_path, adapter, max_steps=80)
    trainer.save_model(str(tmp_path / "adapter"))
    again = peft.PeftModel.from_pretrained(load(exported), str(tmp_path / "adapter")).merge_and_unload()
    for prompt, expected in QUESTIONS.items():
        assert answer(trainer.model, tokenizer, prompt) == expected + tokenizer.eos_token
        assert answer(again, tokenizer, prompt) == expected + tokenizer.eos_token


def test_prompt_tuning(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    adapter = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=8)
    trainer = train(model, tokenizer, tmp_path, adapter, learning_rate=0.3, logging_steps=1)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.7 * losses[0]
    assert answer(trainer.model, tokenizer, "Sha")  # generates with the virtual tokens before the prompt
