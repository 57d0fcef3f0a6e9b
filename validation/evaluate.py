"""EVALUATE: the zero-shot benchmarks of GPT-S-5M's card, by lm-eval's own tasks.

hellaswag, arc_easy, piqa    accuracy of the answer with the most log-likelihood per character (acc_norm)
blimp                        the better sentence of two is the likelier one; mean over 67 paradigms (acc)
arithmark                    the option with the most log-likelihood behind the expression (acc); a task of ours

Questions come from the hub as lm-eval lists them, or from a folder of files: offline, the same questions again.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lm_eval
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import PreTrainedTokenizerFast

from gpts_data.pipelines.errors import DataError, UsageError
from gpts_data.validation.model.export import export_model
from gpts_data.validation.model.model_card import CODE
from gpts_data.validation.model.modeling_gpts import GPTSForCausalLM
from gpts_data.validation.published_scores import TASKS

METRICS = {"hellaswag": "acc_norm", "arc_easy": "acc_norm", "piqa": "acc_norm", "arithmark": "acc", "blimp": "acc"}
FILES = {  # in a folder of data, the first match
    "hellaswag": "hellaswag_validation*.jsonl.gz",
    "arc_easy": "arc_easy_test*.jsonl.gz",
    "piqa": "piqa_validation*.jsonl.gz",
    "arithmark": "arithmark*.jsonl.gz",
    "blimp": "blimp*.jsonl.gz",
}
SPLITS = {"hellaswag": "validation", "arc_easy": "test", "piqa": "validation", "blimp": "train"}  # that lm-eval scores
ONLY = {  # of a task's splits; files of data have one
    "hellaswag": {"training_split": None},
    "arc_easy": {"training_split": None, "validation_split": None},
    "piqa": {"training_split": None},
}


@dataclass(frozen=True)
class Score:
    """Percent right, its standard error in percent (None with one question), and of how many questions."""

    score: float
    stderr: float | None
    questions: int
    metric: str


@dataclass(frozen=True)
class Evaluation:
    """`average` is over the five tasks of the card, None unless all were asked for."""

    scores: dict[str, Score]
    average: float | None
    parameters: int
    mix_root_digest: str | None
    dtype: str
    device: str
    lm_eval: str


def evaluate(
    run: Path,
    tasks: Sequence[str] = TASKS,
    *,
    data: Path | None = None,
    limit: int | None = None,
    device: str | None = None,
    batch_size: int = 32,
) -> Evaluation:
    """Score a run or an exported model, zero-shot. `limit`: only the first questions of each task (BLiMP: paradigm).

    bfloat16 on a GPU, as on the card, float32 on a CPU. Raises `UsageError` for unknown tasks and missing files.
    """
    unknown = [name for name in tasks if name not in METRICS]
    if unknown or not tasks:
        raise UsageError(f"tasks {', '.join(unknown) or 'none'}: expected some of {', '.join(METRICS)}")
    with TemporaryDirectory() as scratch:
        asked = [spec for name in dict.fromkeys(tasks) for spec in _specs(name, data, Path(scratch))]
        lm = open_model(run, device, batch_size)
        found = lm_eval.simple_evaluate(
            lm, tasks=_grouped(asked), num_fewshot=0, limit=limit, log_samples=False, task_manager=TaskManager()
        )
    scores = {name: _score(name, found) for name in dict.fromkeys(tasks)}
    whole = set(TASKS) <= set(scores)
    return Evaluation(
        scores=scores,
        average=sum(scores[name].score for name in TASKS) / len(TASKS) if whole else None,
        parameters=sum(weight.numel() for weight in lm.model.parameters()),
        mix_root_digest=getattr(lm.model.config, "mix_root_digest", None),
        dtype=str(lm.model.dtype).removeprefix("torch."),
        device=str(lm.device),
        lm_eval=lm_eval.__version__,
    )


def open_model(run: Path, device: str | None = None, batch_size: int = 32) -> Any:
    """A run or an exported folder as lm-eval wants it. The code is this package's, never the folder's."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with TemporaryDirectory() as scratch:
        folder = run
        if not (run / CODE[0]).exists():
            folder = Path(scratch)
            export_model(run, folder)
        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        model = GPTSForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)  # AutoTokenizer asks whether to run the code
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, device=device)


def _specs(name: str, data: Path | None, scratch: Path) -> list[Any]:
    """What lm-eval is asked for: a name of its own, or its task over our files."""
    if data is None:
        return [_arithmark("AxiomicLabs/ArithMark", {})] if name == "arithmark" else [name]
    path = next(iter(sorted(data.glob(FILES[name]))), None)
    if path is None:
        raise UsageError(f"{data}: no {FILES[name]} there; name the folder of the files, or leave out --data")
    if name == "blimp":
        return [_local(f"blimp_{uid}", "train", part, scratch) for uid, part in _paradigms(path, scratch)]
    if name == "arithmark":
        return [_arithmark("json", _files(path, "train", scratch))]
    return [{**_local(name, SPLITS[name], path, scratch), **ONLY[name]}]


def _grouped(asked: list[Any]) -> list[Any]:
    """lm-eval 0.4.13 lays keywords over a task of its own only inside a group; alone, they would be the whole task."""
    ours = [spec for spec in asked if isinstance(spec, str) or spec["task"] == "arithmark"]
    local = [spec for spec in asked if spec not in ours]
    return [*ours, {"group": "local", "task": local}] if local else ours


def _local(task: str, split: str, path: Path, scratch: Path) -> dict[str, Any]:
    return {
        "task": task,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": _files(path, split, scratch),
    }


def _files(path: Path, split: str, scratch: Path) -> dict[str, Any]:
    """`datasets`' keywords; its copies go where they are deleted afterwards."""
    return {"data_files": {split: str(path)}, "cache_dir": str(scratch / "cache")}


def _arithmark(dataset: str, keywords: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": "arithmark",
        "dataset_path": dataset,
        "dataset_kwargs": keywords,
        "output_type": "multiple_choice",
        "test_split": "train",
        "doc_to_text": "{{expression}}",
        "doc_to_choice": lambda row: [_number(option) for option in row["options"]],
        "doc_to_target": "{{answer_index}}",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }


def _number(option: Any) -> str:
    """As it was written: a column of 2 and -8.5 comes back as 2.0 and -8.5, and nobody writes 1 + 1 = 2.0."""
    return str(int(option)) if isinstance(option, float) and option.is_integer() else str(option)


def _paradigms(path: Path, scratch: Path) -> list[tuple[str, Path]]:
    """BLiMP's one file as a file a paradigm, by UID: its own tasks read one each."""
    lines: dict[str, list[bytes]] = defaultdict(list)
    try:
        for line in gzip.decompress(path.read_bytes()).splitlines(keepends=True):
            lines[json.loads(line)["UID"]].append(line)
    except (ValueError, KeyError, EOFError, OSError) as error:
        raise DataError(f"{path}: not BLiMP's lines: {error!r}; get the file again") from error
    for uid, rows in lines.items():
        (scratch / f"{uid}.jsonl").write_bytes(b"".join(rows))
    return [(uid, scratch / f"{uid}.jsonl") for uid in sorted(lines)]


def _score(name: str, found: dict[str, Any]) -> Score:
    """Of one task; of BLiMP the mean of its paradigms, whose errors are independent."""
    metric = METRICS[name]
    parts = [task for task in found["n-samples"] if task == name or (name == "blimp" and task.startswith("blimp_"))]
    scores = [100 * found["results"][part][f"{metric},none"] for part in parts]
    errors = [found["results"][part][f"{metric}_stderr,none"] for part in parts]
    known = [100 * error for error in errors if not isinstance(error, str)]
    stderr = sum(error**2 for error in known) ** 0.5 / len(parts) if len(known) == len(parts) else None
    questions = sum(found["n-samples"][part]["effective"] for part in parts)
    return Score(sum(scores) / len(parts), stderr, questions, metric)
