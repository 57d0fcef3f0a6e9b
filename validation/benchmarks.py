"""The benchmarks of `evaluate`: their metrics in lm-eval, datasets on the hub, and files of questions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpts_data.pipelines.errors import SourceUnavailableError, UsageError
from gpts_data.pipelines.hub.reachability import check_reachable
from gpts_data.validation.published_scores import TASKS

METRICS = {
    "hellaswag": "acc_norm",
    "arc_easy": "acc_norm",
    "arc_challenge": "acc_norm",
    "piqa": "acc_norm",
    "arithmark": "acc",
    "arithmark_2": "acc",
    "arithmark_3": "acc",
    "blimp": "acc",
}
DATASETS = {  # on the hub, as lm-eval names them
    "hellaswag": "Rowan/hellaswag",
    "arc_easy": "allenai/ai2_arc",
    "arc_challenge": "allenai/ai2_arc",
    "piqa": "baber/piqa",
    "arithmark": "AxiomicLabs/ArithMark",
    "arithmark_2": "AxiomicLabs/ArithMark-2.0",
    "arithmark_3": "AxiomicLabs/Arithmark-3.0",
    "blimp": "nyu-mll/blimp",
}
FILES = {  # glob in the data folder; the first match is used
    "hellaswag": "hellaswag_validation*.jsonl.gz",
    "arc_easy": "arc_easy_test*.jsonl.gz",
    "arc_challenge": "arc_challenge_test*.jsonl.gz",
    "piqa": "piqa_validation*.jsonl.gz",
    "arithmark": "arithmark_[!23]*.jsonl.gz",
    "arithmark_2": "arithmark[-_]2*.jsonl.gz",
    "arithmark_3": "arithmark[-_]3*.jsonl.gz",
    "blimp": "blimp*.jsonl.gz",
}
SPLITS = {
    "hellaswag": "validation",
    "arc_easy": "test",
    "arc_challenge": "test",
    "piqa": "validation",
    "blimp": "train",
}  # the split that lm-eval scores
OVERRIDES: dict[str, dict[str, Any]] = {  # for local files, which hold only one split of a task
    "hellaswag": {"training_split": None},
    "arc_easy": {"training_split": None, "validation_split": None},
    "arc_challenge": {"training_split": None, "validation_split": None},
    "piqa": {"training_split": None},
}


def check_names(tasks: Sequence[str] | None, data: Path | None) -> list[str]:
    """Return the names of the benchmarks to run, each once. Raises `UsageError`."""
    if tasks is None:
        names = [name for name in TASKS if data is None or any(data.glob(FILES[name]))]
        if not names:
            raise UsageError(
                f"{data}: no file of a benchmark in this folder, expected some of {', '.join(FILES.values())}"
            )
        return names
    unknown = [name for name in tasks if name not in METRICS]
    if unknown or not tasks:
        raise UsageError(f"found tasks {', '.join(unknown) or '(none)'}, expected some of {', '.join(METRICS)}")
    return list(dict.fromkeys(tasks))


def check_hub(names: Sequence[str]) -> None:
    """Ask the hub for the datasets first, since its client retries for a minute. Raises `SourceUnavailableError`.

    With HF_HUB_OFFLINE nothing is asked: the datasets may be in the client's cache.
    """
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        return
    datasets = dict.fromkeys(DATASETS[name] for name in names)
    for status in check_reachable([(dataset, None) for dataset in datasets]).seen:
        if status.reason:
            raise SourceUnavailableError(
                f"{status.dataset}: {status.reason} ({status.detail}); check the network and HF_ENDPOINT, read the "
                "questions from files with --data, or set HF_HUB_OFFLINE=1 if they were downloaded before"
            )
