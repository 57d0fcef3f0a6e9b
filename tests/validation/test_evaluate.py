"""Scores equal those computed by hand from log-likelihoods, on a few questions of each benchmark, offline."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lm_eval", reason="needs the extra eval")

from click.testing import CliRunner  # noqa: E402
from lm_eval.api.instance import Instance  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from gpts_data.cli.main import cli  # noqa: E402
from gpts_data.mixer.format.mix import Mix  # noqa: E402
from gpts_data.pipelines.errors import DataError, SourceUnavailableError, UsageError  # noqa: E402
from gpts_data.pipelines.hub.reachability import SILENT, DatasetStatus, HubStatus  # noqa: E402
from gpts_data.validation import benchmarks  # noqa: E402
from gpts_data.validation import evaluate as module  # noqa: E402
from gpts_data.validation.evaluate import evaluate, open_model  # noqa: E402
from gpts_data.validation.model.export import export_model  # noqa: E402
from gpts_data.validation.model.model import GPTS, GPTSConfig  # noqa: E402
from gpts_data.validation.published_scores import CARD_TASKS, TASKS, int_index  # noqa: E402
from gpts_data.validation.training.lr_schedule import LearningRateSchedule  # noqa: E402
from gpts_data.validation.training.smoke import smoke_train  # noqa: E402
from tests.conftest import SYLLABLES  # noqa: E402

N = 20  # questions of each benchmark, of each of two paradigms
TINY = GPTSConfig(width=32, layers=2, heads=4, kv_heads=2, head_dim=8, ffn=64)
Rows = list[dict[str, Any]]


def words(number: int, count: int) -> str:
    return " ".join(SYLLABLES[(number * 7 + 5 * i * i + i) % len(SYLLABLES)] for i in range(count))


HELLASWAG: Rows = [
    {
        "activity_label": "Cooking [step]",
        "ctx_a": f"A {words(i, 6)}.",
        "ctx_b": f"then {words(i + 1, 3)}",
        "endings": [words(i + 2 + k, 3 + (i + k) % 5) for k in range(4)],
        "label": i % 4,
    }
    for i in range(N)
]
ARC: Rows = [
    {
        "question": f"Which {words(i, 5)}?",
        "answerKey": "ABCD"[i % 4],
        "choices": {"text": [words(i + k, 2 + (i + k) % 4) for k in range(4)], "label": list("ABCD")},
    }
    for i in range(N)
]
PIQA: Rows = [{"goal": words(i, 7), "sol1": words(i + 3, 6), "sol2": words(i + 4, 8), "label": i % 2} for i in range(N)]
ARITHMARK: Rows = [  # whole numbers beside fractions, as in the original
    {"expression": f"{i} + -{i + 3} =", "options": [2 * i, -i, 2.75 + i, -5.5 * i], "answer_index": i % 4}
    for i in range(N)
]
ARITHMARK_2: Rows = [  # endings bring their space; their lengths differ, so that some questions have one shortest
    {
        "ctx": f"{i} + {i + 3} =",
        "endings": [f" {10**k * (i + 2)}" for k in range(4)],
        "label": str(i % 4),
        "metadata": {},
    }
    for i in range(N)
]
ARITHMARK_3: Rows = [
    {
        "ctx": f"({i} * 3) - 2 =",
        "endings": [f" {i + k}" for k in (0, 9, 31, 95)],
        "label": str((i + 1) % 4),
        "metadata": {},
    }
    for i in range(N)
]
BLIMP: Rows = [
    {"sentence_good": f"The {words(i, 5)}.", "sentence_bad": f"The {words(i + 1, 5)}.", "UID": uid}
    for i in range(N)
    for uid in ("adjunct_island", "passive_1")
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evals")
    for name, rows in (
        ("hellaswag_validation_20", HELLASWAG),
        ("arc_easy_test", ARC),
        ("arc_challenge_test", ARC[:7]),
        ("piqa_validation", PIQA),
        ("arithmark_standin", ARITHMARK),
        ("arithmark_2.0", ARITHMARK_2),
        ("arithmark-3", ARITHMARK_3),
        ("blimp", BLIMP),
    ):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    return folder


@pytest.fixture(scope="module")
def run(mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    smoke_train(mix, out, LearningRateSchedule(steps=30, batch=4), device="cpu", config=TINY)
    return out


@pytest.fixture(scope="module")
def likelihood(run: Path) -> Callable[[str, str], float]:
    """Computes the log-likelihood of `ending` after `context` in nats; without context, at the start of a document."""
    from safetensors.torch import load_file

    model = GPTS(GPTSConfig(**json.loads((run / "config.json").read_text(encoding="utf-8"))))
    model.load_state_dict(load_file(run / "model.safetensors"))
    tokenizer = Tokenizer.from_file(str(run / "tokenizer/tokenizer.json"))
    eos = tokenizer.token_to_id("<|endoftext|>")

    @torch.no_grad()
    def nats(context: str, ending: str) -> float:
        before = tokenizer.encode(context).ids or [eos]
        ids = tokenizer.encode(context + ending).ids if context else [eos, *tokenizer.encode(ending).ids]
        shares = model(torch.tensor([ids])).double().log_softmax(-1)[0]
        return sum(shares[t - 1, ids[t]].item() for t in range(len(before), len(ids)))

    return nats


def best(values: list[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def by_hand(likelihood: Callable[[str, str], float]) -> dict[str, float]:
    """Compute the accuracy of each task in percent, from the rows above."""

    def right(context: str, endings: list[str], answer: int, norm: bool) -> bool:
        """The length of an ending does not include the space before it."""
        nats = [likelihood(context, f" {ending}") / (len(ending) if norm else 1) for ending in endings]
        return best(nats) == answer

    tasks = {
        "hellaswag": [
            right(f"Cooking : {row['ctx_a']} {row['ctx_b'].capitalize()}", row["endings"], row["label"], True)
            for row in HELLASWAG
        ],
        "arc_easy": [
            right(f"Question: {row['question']}\nAnswer:", row["choices"]["text"], "ABCD".index(row["answerKey"]), True)
            for row in ARC
        ],
        "piqa": [
            right(f"Question: {row['goal']}\nAnswer:", [row["sol1"], row["sol2"]], row["label"], True) for row in PIQA
        ],
        "arithmark": [
            right(
                row["expression"],
                [str(option).removesuffix(".0") for option in row["options"]],
                row["answer_index"],
                False,
            )
            for row in ARITHMARK
        ],
        **{
            name: [
                best([likelihood(row["ctx"], ending) for ending in row["endings"]]) == int(row["label"]) for row in rows
            ]
            for name, rows in (("arithmark_2", ARITHMARK_2), ("arithmark_3", ARITHMARK_3))
        },
        "blimp": [likelihood("", row["sentence_good"]) > likelihood("", row["sentence_bad"]) for row in BLIMP],
    }
    tasks["arc_challenge"] = tasks["arc_easy"][:7]
    return {name: 100 * sum(rights) / len(rights) for name, rights in tasks.items()}


def test_scores_are_those_by_hand(run: Path, data: Path, likelihood: Callable[[str, str], float]) -> None:
    found = evaluate(run, data=data, device="cpu")
    assert {name: score.score for name, score in found.scores.items()} == pytest.approx(by_hand(likelihood))
    questions = {name: score.questions for name, score in found.scores.items()}
    assert questions == {**dict.fromkeys(TASKS, N), "arc_challenge": 7, "blimp": 2 * N}
    percent = {name: score.score for name, score in found.scores.items()}
    assert found.average == pytest.approx(sum(percent[name] for name in CARD_TASKS) / 5)
    assert found.int_index == pytest.approx(int_index(percent))
    assert found.scores["arithmark_2"].shortest_option == pytest.approx(100 * sum(i % 4 == 0 for i in range(N)) / N)
    by_hand_3 = [
        (len(row["endings"][int(row["label"])]) == min(map(len, row["endings"])))
        / sum(len(ending) == min(map(len, row["endings"])) for ending in row["endings"])
        for row in ARITHMARK_3
    ]
    assert found.scores["arithmark_3"].shortest_option == pytest.approx(100 * sum(by_hand_3) / N)
    assert found.mix_root_digest == json.loads((run / "mix.json").read_text(encoding="utf-8"))["root_digest"]
    assert (found.dtype, found.device) == ("float32", "cpu")


def test_log_likelihoods_are_those_by_hand(run: Path, likelihood: Callable[[str, str], float]) -> None:
    pairs = [(f"Question: {row['question']}\nAnswer:", f" {text}") for row in ARC for text in row["choices"]["text"]]
    pairs += [("", row["sentence_good"]) for row in BLIMP[:N]]
    asked = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    found = [nats for nats, _ in open_model(run, "cpu").loglikelihood(asked, disable_tqdm=True)]
    assert found == pytest.approx([likelihood(*pair) for pair in pairs], rel=1e-4)


def test_an_export_scores_as_its_run_and_the_command_shows_it(run: Path, data: Path, tmp_path: Path) -> None:
    export_model(run, tmp_path / "gpt-s")
    expected = evaluate(run, ("piqa",), data=data, limit=7).scores["piqa"]
    arguments = ["evaluate", str(tmp_path / "gpt-s"), "--tasks", "piqa", "--data", str(data), "--limit", "7"]
    done = CliRunner().invoke(cli, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert shown["scores"]["piqa"]["score"] == expected.score
    assert (shown["scores"]["piqa"]["questions"], shown["average"]) == (7, None)
    done = CliRunner().invoke(cli, [*arguments, "-q"])
    assert f"{expected.score:.2f}" in done.stdout and f"{expected.shortest_option:.2f}" in done.stdout
    assert all(label in done.stdout for label in ("GPT-S-5M", "chance", "shortest option", "SmolLM2-135M"))
    assert done.stderr == ""


def test_invalid_tasks_and_files_are_refused(run: Path, data: Path, tmp_path: Path) -> None:
    for tasks in (("mmlu",), ()):
        with pytest.raises(UsageError, match="expected some of hellaswag"):
            evaluate(run, tasks, data=data)
    with pytest.raises(UsageError, match=r"no file piqa_validation\*.jsonl.gz in this folder"):
        evaluate(run, ("piqa",), data=tmp_path)
    with pytest.raises(UsageError, match="no file of a benchmark in this folder"):
        evaluate(run, data=tmp_path)
    long = {"goal": "Which?", "sol1": words(1, 300), "sol2": words(2, 3), "label": 0}  # the context has 64 tokens
    (tmp_path / "piqa_validation.jsonl.gz").write_bytes(gzip.compress(json.dumps(long).encode()))
    with pytest.raises(UsageError, match="more tokens than the model's context of 64"):
        evaluate(run, ("piqa",), data=tmp_path)
    (tmp_path / "blimp.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match="cannot be read as a question of blimp"):
        evaluate(run, ("blimp",), data=tmp_path)
    with pytest.raises(UsageError, match=r"no result.json in this folder"):
        evaluate(tmp_path, ("piqa",), data=data)


def test_without_the_hub_it_stops_before_it_loads_anything(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def silent(datasets: list[tuple[str, None]]) -> HubStatus:
        asked.extend(name for name, _ in datasets)
        return HubStatus(tuple(DatasetStatus(name, SILENT, "within 10 s") for name, _ in datasets), "")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(benchmarks, "check_reachable", silent)
    monkeypatch.setattr(module, "_load_tasks", pytest.fail)
    with pytest.raises(SourceUnavailableError, match=r"allenai/ai2_arc: no answer \(within 10 s\); .* --data"):
        evaluate(run, ("arc_easy", "arc_challenge", "arithmark_3"))
    assert asked == ["allenai/ai2_arc", "AxiomicLabs/Arithmark-3.0"]


def test_offline_questions_that_are_not_in_the_cache(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        raise ConnectionError("Couldn't reach the Hub\nand more")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(benchmarks, "check_reachable", pytest.fail)
    monkeypatch.setattr(module.TaskManager, "load", load)
    with pytest.raises(SourceUnavailableError, match="cannot be loaded: Couldn't reach the Hub; unset HF_HUB_OFFLINE"):
        evaluate(run, ("piqa",))
