"""EVALUATE: scores a model on the zero-shot benchmarks of GPT-S-5M's model card and of the Open SLM Leaderboard.

    hellaswag, arc_easy, arc_challenge, piqa   the chosen answer has the highest log-likelihood per character (acc_norm)
    blimp                                      the grammatical sentence of a pair is the likelier one; mean over 67
                                               paradigms (acc)
    arithmark, arithmark_2, arithmark_3        the chosen option has the highest log-likelihood after the expression
                                               (acc); lm-eval has no such tasks, so they are defined here

lm-eval computes the scores. The questions come from the hub, or from files in a folder, which works offline.
"""

from __future__ import annotations

import io
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lm_eval
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import PreTrainedTokenizerFast

from gpts_data.pipelines.errors import DataError, SourceUnavailableError, UsageError
from gpts_data.tokenizer.untrusted import check_untrusted
from gpts_data.validation.benchmark_rows import read_rows
from gpts_data.validation.benchmarks import DATASETS, FILES, METRICS, OVERRIDES, SPLITS, check_hub, check_names
from gpts_data.validation.model.export import export_model
from gpts_data.validation.model.model_card import CODE
from gpts_data.validation.model.modeling_gpts import GPTSForCausalLM
from gpts_data.validation.published_scores import BOARD_TASKS, CARD_TASKS, int_index


@dataclass(frozen=True)
class Score:
    """Score of one benchmark."""

    score: float
    """Accuracy in percent."""
    stderr: float | None
    """Standard error in percent; None with a single question."""
    questions: int
    metric: str
    """Name of the metric in lm-eval: acc or acc_norm."""
    shortest_option: float
    """Accuracy in percent of always choosing a shortest option. A benchmark of numbers may have more than chance."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model, and what they were computed with."""

    scores: dict[str, Score]
    average: float | None
    """Mean over the five benchmarks of the model card; None unless all of them were run."""
    int_index: float | None
    """Int Index of the Open SLM Leaderboard; None unless all of its benchmarks were run."""
    parameters: int
    mix_root_digest: str | None
    dtype: str
    device: str
    lm_eval: str


def evaluate(
    run: Path,
    tasks: Sequence[str] | None = None,
    *,
    data: Path | None = None,
    limit: int | None = None,
    device: str | None = None,
    batch_size: int = 32,
    quiet: bool = False,
) -> Evaluation:
    """Score a training run or an exported model on benchmarks, zero-shot.

    It computes in bfloat16 on a GPU, as for the model card, and in float32 on a CPU.

    Args:
        run: folder that smoke-train or export-model wrote.
        tasks: names of benchmarks, keys of METRICS; by default all, with `data` those that have a file there.
        data: folder with the questions as files (see FILES); by default they are downloaded from the hub.
        limit: use only the first questions of each task; of BLiMP, of each paradigm.
        quiet: print no progress bars, messages or warnings of the libraries.

    Raises:
        UsageError: a task is unknown or its file is missing.
        SourceUnavailableError: the hub cannot be reached, or has no such dataset.
        DataError: a file of questions is damaged.
    """
    names = check_names(tasks, data)
    with TemporaryDirectory() as scratch, _silenced(quiet):
        specs = [spec for name in names for spec in _task_specs(name, data, Path(scratch))]
        lm = open_model(run, device, batch_size)
        if data is None:
            check_hub(names)
        results = _run(lm, _load_tasks(_group_local_tasks(specs), offline=data is not None), limit)
    scores = {name: _score(name, results) for name in names}
    percent = {name: score.score for name, score in scores.items()}
    return Evaluation(
        scores=scores,
        average=sum(percent[name] for name in CARD_TASKS) / len(CARD_TASKS)
        if percent.keys() >= {*CARD_TASKS}
        else None,
        int_index=int_index(percent) if percent.keys() >= {*BOARD_TASKS} else None,
        parameters=sum(weight.numel() for weight in lm.model.parameters()),
        mix_root_digest=getattr(lm.model.config, "mix_root_digest", None),
        dtype=str(lm.model.dtype).removeprefix("torch."),
        device=str(lm.device),
        lm_eval=lm_eval.__version__,
    )


def _load_tasks(specs: list[Any], offline: bool) -> list[Any]:
    """Load the questions. Raises `SourceUnavailableError` when they cannot be downloaded."""
    try:
        return list(_task_manager().load(specs)["tasks"].values())
    except Exception as error:  # `datasets` has many: ConnectionError, ValueError, FileNotFoundError, ...
        if offline:
            raise
        raise SourceUnavailableError(
            f"the questions cannot be loaded: {str(error).strip().splitlines()[0]}; unset HF_HUB_OFFLINE, or read them "
            "from files with --data"
        ) from error


def _run(lm: Any, tasks: list[Any], limit: int | None) -> dict[str, Any]:
    """Ask the questions. Raises `UsageError` when an answer has more tokens than the model's context."""
    try:
        results: dict[str, Any] = lm_eval.simple_evaluate(
            lm,
            tasks=tasks,
            num_fewshot=0,
            limit=limit,
            log_samples=True,  # the options, for the baseline
            task_manager=_task_manager(),
        )
    except AssertionError as error:  # lm-eval says no more
        raise UsageError(
            f"lm-eval refuses a question: an answer has more tokens than the model's context of {lm.max_length}; leave "
            "out benchmarks with long answers by --tasks, or train on a mix with a longer window"
        ) from error
    return results


@contextmanager
def _silenced(quiet: bool) -> Iterator[None]:
    """Discard what the libraries print on stderr and log, errors excepted: lm-eval has no switch for its bars."""
    if not quiet:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def open_model(run: Path, device: str | None = None, batch_size: int = 32) -> Any:
    """Load a run or an exported model for lm-eval. It runs this package's code, never the code in the folder."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with TemporaryDirectory() as scratch:
        folder = run
        if (run / CODE[0]).exists():
            check_untrusted(run)  # the tokenizer of a run is checked by export_model
        else:
            folder = Path(scratch)
            export_model(run, folder)
        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        model = GPTSForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)  # AutoTokenizer would ask for trust_remote_code
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, device=device)


@cache
def _task_manager() -> TaskManager:
    """Return lm-eval's index of its tasks, which takes a second to make."""
    return TaskManager()


def _task_specs(name: str, data: Path | None, scratch: Path) -> list[Any]:
    """Return the tasks for lm-eval: the name of one that it has, or a definition that reads local files."""
    if data is None:
        return [_arithmark(name, DATASETS[name], {})] if name.startswith("arithmark") else [name]
    path = next(iter(sorted(data.glob(FILES[name]))), None)
    if path is None:
        raise UsageError(
            f"{data}: no file {FILES[name]} in this folder; name the folder of the files, or leave out --data"
        )
    rows = read_rows(path, name)
    if name == "blimp":
        paradigms = _split_paradigms(rows, scratch)
        if unknown := [uid for uid, _ in paradigms if f"blimp_{uid}" not in _task_manager().all_tasks]:
            raise DataError(f"{path}: lm-eval has no paradigm {unknown[0]} of BLiMP; download the file again")
        return [_local_task(f"blimp_{uid}", "train", file, scratch) for uid, file in paradigms]
    path = scratch / f"{name}.jsonl"
    path.write_bytes(b"".join(line for line, _ in rows))
    if name.startswith("arithmark"):
        return [_arithmark(name, "json", _dataset_keywords(path, "train", scratch))]
    return [{**_local_task(name, SPLITS[name], path, scratch), **OVERRIDES[name]}]


def _group_local_tasks(specs: list[Any]) -> list[Any]:
    """Put the tasks with local files in one group.

    lm-eval 0.4.13 merges a definition with its own task of that name only inside a group; outside of one, the
    definition replaces the whole task.
    """
    single = [spec for spec in specs if isinstance(spec, str) or spec["task"].startswith("arithmark")]
    local = [spec for spec in specs if spec not in single]
    return [*single, {"group": "local", "task": local}] if local else single


def _local_task(task: str, split: str, path: Path, scratch: Path) -> dict[str, Any]:
    return {
        "task": task,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": _dataset_keywords(path, split, scratch),
    }


def _dataset_keywords(path: Path, split: str, scratch: Path) -> dict[str, Any]:
    """Return keywords for `datasets.load_dataset`. Its cache goes into `scratch`, which is deleted afterwards."""
    return {"data_files": {split: str(path)}, "cache_dir": str(scratch / "cache")}


def _arithmark(name: str, dataset: str, keywords: dict[str, Any]) -> dict[str, Any]:
    """Return the task of an ArithMark. From the second on, endings begin with their space and labels are strings."""
    first = {
        "doc_to_text": "{{expression}}",
        "doc_to_choice": lambda row: [_option_text(option) for option in row["options"]],
        "doc_to_target": "{{answer_index}}",
    }
    later = {
        "doc_to_text": "{{ctx}}",
        "doc_to_choice": lambda row: row["endings"],
        "doc_to_target": lambda row: int(row["label"]),
        "target_delimiter": "",
    }
    return {
        "task": name,
        "dataset_path": dataset,
        "dataset_kwargs": keywords,
        "output_type": "multiple_choice",
        "test_split": "train",
        **(first if name == "arithmark" else later),
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }


def _option_text(option: Any) -> str:
    """Return an option as it was written: JSON readers turn a column of 2 and -8.5 into 2.0 and -8.5."""
    return str(int(option)) if isinstance(option, float) and option.is_integer() else str(option)


def _split_paradigms(rows: list[tuple[bytes, dict[str, Any]]], scratch: Path) -> list[tuple[str, Path]]:
    """Write BLiMP's one file as one file per paradigm (UID), as lm-eval's tasks read them. Returns UIDs and files.

    The files are numbered: what the data say never names a file.
    """
    lines: dict[str, list[bytes]] = defaultdict(list)
    for line, row in rows:
        lines[row["UID"]].append(line)
    files = {uid: scratch / f"blimp-{number:03}.jsonl" for number, uid in enumerate(sorted(lines))}
    for uid, path in files.items():
        path.write_bytes(b"".join(lines[uid]))
    return list(files.items())


def _score(name: str, results: dict[str, Any]) -> Score:
    """Return the score of a benchmark. BLiMP's is the mean of its paradigms, whose errors are independent."""
    metric = METRICS[name]
    parts = [task for task in results["n-samples"] if task == name or (name == "blimp" and task.startswith("blimp_"))]
    scores = [100 * results["results"][part][f"{metric},none"] for part in parts]
    errors = [results["results"][part][f"{metric}_stderr,none"] for part in parts]
    known = [100 * error for error in errors if not isinstance(error, str)]
    stderr = sum(error**2 for error in known) ** 0.5 / len(parts) if len(known) == len(parts) else None
    questions = sum(results["n-samples"][part]["effective"] for part in parts)
    shortest = [_shortest_option(results["samples"][part]) for part in parts]
    return Score(sum(scores) / len(parts), stderr, questions, metric, sum(shortest) / len(parts))


def _shortest_option(samples: list[dict[str, Any]]) -> float:
    """Return the percentage of questions right when a shortest option, in characters, is chosen at random."""
    right = 0.0
    for sample in samples:
        lengths = [len(option) for _, option in sample["arguments"]]
        shortest = [number for number, length in enumerate(lengths) if length == min(lengths)]
        right += (sample["target"] in shortest) / len(shortest)
    return 100 * right / len(samples)
