"""Small datasets for the hub of tests, and fresh processes that read them."""

from __future__ import annotations

import inspect
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpts_data.pipelines.hub.range_fetcher import range_fetcher
from tests.conftest import prose
from tests.support.hub import Hub
from tests.support.prose import documents

SHARES = {"edu": 0.55, "cosmopedia": 0.30, "quality": 0.15}  # of gpt-s-5m
QUESTION = "A woman in a red coat is seen walking up a hill. She stops, looks at the sky and"
WIDTH = 768  # floats of an embedding: about as many bytes as a document's text


def card(folder: Path, configs: dict[str, str]) -> None:
    """README.md with the configs as the hub's own datasets declare them."""
    listed = [
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {path}" for name, path in configs.items()
    ]
    (folder / "README.md").write_text(
        "\n".join(["---", "license: odc-by", "configs:", *listed, "---", "# A dataset"]), encoding="utf-8"
    )


def rows(seed: str, n: int, words: int = 60) -> dict[str, list[str]]:
    """FineWeb's columns, and one between those that are read."""
    rng = random.Random(seed)
    texts = [prose(rng, rng.randint(words // 2, 2 * words)) for _ in range(n)]
    ids = [f"<urn:uuid:{seed}-{i}>" for i in range(n)]
    return {"text": texts, "id": ids, "dump": ["CC"] * n, "url": [f"https://example.org/{seed}/{i}" for i in range(n)]}


def write(path: Path, columns: dict[str, Any], width: int = 0, group: int = 50) -> None:
    """A parquet file of row groups of `group`, with `embeddings` of `width` floats as FineWeb-HQ has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if width:
        floats = np.random.default_rng(0).random(len(table) * width, dtype=np.float32)
        table = table.append_column("embeddings", pa.FixedSizeListArray.from_arrays(pa.array(floats), width))
    pq.write_table(table, path, row_group_size=group)


def preset(hub: Hub, text_bytes: int, parts: int = 2, group: int = 1000) -> None:
    """The datasets of gpt-s-5m with their own layouts and columns, and configs beside those that it reads. The second
    document of the first source holds QUESTION, of HellaSwag.

    `text_bytes` of prose that its filters keep, divided as its weights are, each source in `parts` files. Its own
    tokenizer makes one token of 4.0 bytes: 12 MB, made in two seconds, are enough for a build of 2M tokens.
    """
    texts = {
        name: [documents(f"{name}-{part}", round(text_bytes * share / parts)) for part in range(parts)]
        for name, share in SHARES.items()
    }
    texts["edu"][0][1] += f"\n\n{QUESTION}\n"
    benchmarks(hub)
    edu = hub.folder("HuggingFaceFW/fineweb-edu")
    card(edu, {"default": "data/*/*", "sample-10BT": "sample/10BT/*", "sample-100BT": "sample/100BT/*"})
    write(edu / "data/CC-MAIN-2024-10/000_00000.parquet", edu_columns("data", documents("data", 5000)))
    write(edu / "sample/10BT/000_00000.parquet", edu_columns("10BT", documents("10BT", 5000)))
    smol = hub.folder("HuggingFaceTB/smollm-corpus")
    card(smol, {"cosmopedia-v2": "cosmopedia-v2/*", "python-edu": "python-edu/*"})
    write(smol / "python-edu/train-00000-of-00001.parquet", {"blob_id": ["0"] * 5, "length_bytes": [0] * 5})
    quality = hub.folder("epfml/FineWeb-HQ")
    card(quality, {"default": "data/*/*", "CC-MAIN-2013-20": "data/CC-MAIN-2013-20/*"})
    for i in range(parts):
        columns = edu_columns(f"edu-{i}", texts["edu"][i])
        write(edu / f"sample/100BT/{i:03}_00000.parquet", columns, group=group)
        columns = cosmopedia_columns(texts["cosmopedia"][i])
        write(smol / f"cosmopedia-v2/train-{i:05}-of-{parts:05}.parquet", columns, group=group)
        columns = quality_columns(f"quality-{i}", texts["quality"][i])
        write(quality / f"data/CC-MAIN-{2013 + i}-20/000_00000.parquet", columns, group=group)


def benchmarks(hub: Hub) -> None:
    """Two items of each benchmark of gpt-s-5m, in the layouts and columns of its dataset."""
    rng = random.Random(4)
    endings = [[prose(rng, 10) for _ in range(4)] for _ in range(2)]
    hellaswag = hub.folder("Rowan/hellaswag")
    splits = "\n".join(f"  - split: {name}\n    path: data/{name}-*" for name in ("train", "test", "validation"))
    (hellaswag / "README.md").write_text(
        f"---\nconfigs:\n- config_name: default\n  data_files:\n{splits}\n---\n", encoding="utf-8"
    )
    write(hellaswag / "data/train-00000-of-00001.parquet", {"ctx": ["not read"]})
    write(hellaswag / "data/test-00000-of-00001.parquet", {"ctx": ["not read"]})
    columns = {"ind": [24, 53], "ctx": [QUESTION, prose(rng, 30)], "endings": endings, "label": ["3", "0"]}
    write(hellaswag / "data/validation-00000-of-00001.parquet", columns)
    arc = hub.folder("allenai/ai2_arc")
    split = "  data_files:\n  - split: test\n    path: {}/test-*"
    configs = [f"- config_name: {name}\n{split.format(name)}" for name in ("ARC-Challenge", "ARC-Easy")]
    (arc / "README.md").write_text("\n".join(["---", "configs:", *configs, "---"]), encoding="utf-8")
    write(arc / "ARC-Challenge/test-00000-of-00001.parquet", {"question": ["not read"]})
    choices = [{"text": texts, "label": list("ABCD")} for texts in endings]
    columns = {"id": ["Mercury_1", "Mercury_2"], "question": [prose(rng, 9), prose(rng, 20)], "choices": choices}
    write(arc / "ARC-Easy/test-00000-of-00001.parquet", {**columns, "answerKey": ["A", "B"]})
    piqa = {name: [prose(rng, 9), prose(rng, 20)] for name in ("goal", "sol1", "sol2")}
    write(hub.folder("ybisk/piqa") / "plain_text/validation/0000.parquet", {**piqa, "label": [0, 1]})
    write(hub.folder("ybisk/piqa") / "plain_text/test/0000.parquet", {**piqa, "label": [-1, -1]})
    for name in ("adjunct_island", "wh_island"):
        pairs = {kind: [prose(rng, 5), prose(rng, 9)] for kind in ("sentence_good", "sentence_bad")}
        write(hub.folder("nyu-mll/blimp") / name / "train-00000-of-00001.parquet", {**pairs, "UID": [name] * 2})


def edu_columns(seed: str, texts: list[str]) -> dict[str, Any]:
    """FineWeb-Edu's columns; of what is not read, only the types are true."""
    n = len(texts)
    scores = {"score": [3.25] * n, "int_score": [3] * n}
    return {**web_columns(seed, texts), **facts(seed, texts), **scores}


def quality_columns(seed: str, texts: list[str]) -> dict[str, Any]:
    """FineWeb-HQ's columns. An embedding is a list of one vector a chunk, one chunk here."""
    n = len(texts)
    floats = np.random.default_rng(n).standard_normal(n * WIDTH, dtype=np.float32)
    vectors = pa.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32) * WIDTH, pa.array(floats))
    embeddings = pa.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32), vectors)
    between = {"date": ["2013-05-18T05:14:49Z"] * n}
    after = {"quality_score": [0.5] * n, "embeddings": embeddings}
    return {**web_columns(seed, texts), **between, **facts(seed, texts), **after}


def cosmopedia_columns(texts: list[str]) -> dict[str, Any]:
    n = len(texts)
    first = {"prompt": [f"Write about {text[:60]!r}." for text in texts], "text": texts}
    lengths = {"token_length": [len(text) // 4 for text in texts]}
    return {**first, **lengths, "audience": ["general"] * n, "format": ["textbook"] * n, "seed_data": ["web"] * n}


def web_columns(seed: str, texts: list[str]) -> dict[str, Any]:
    numbers = range(len(texts))
    ids, urls = [f"<urn:uuid:{seed}-{i}>" for i in numbers], [f"https://example.org/{seed}/{i}" for i in numbers]
    return {"text": texts, "id": ids, "dump": ["CC-MAIN-2013-20"] * len(texts), "url": urls}


def facts(seed: str, texts: list[str]) -> dict[str, Any]:
    n = len(texts)
    paths = [f"s3://commoncrawl/crawl-data/{seed}.warc.gz"] * n
    scores = {"language": ["en"] * n, "language_score": [0.95] * n}
    return {"file_path": paths, **scores, "token_count": [len(text) // 4 for text in texts]}


@contextmanager
def used_here(hub: Hub, home: Path, **more: str) -> Iterator[Hub]:
    """The hub of this process's range fetcher, whose worker process reads the environment when it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**hub.env(home), **more}.items():
            patch.setenv(name, value)
        range_fetcher().close()  # the worker process of an earlier test uses another hub
        yield hub
        range_fetcher().close()


def alone(hub: Hub, home: Path, function: Callable[..., Any], *arguments: Any, needs: Sequence[Any] = ()) -> Any:
    """What a function that imports all it uses, but `needs`, returns in a fresh process whose hub is ours.

    The clients read HF_ENDPOINT when they are imported, and cache listings as long as they live.
    """
    call = f"print(json.dumps({function.__name__}(*json.loads(sys.argv[1]))))"
    code = "\n".join(
        ["from __future__ import annotations", *map(inspect.getsource, (*needs, function)), "import json, sys", call]
    )
    return json.loads(run(hub, home, "-c", code, json.dumps(arguments)).splitlines()[-1])


def run(hub: Hub, home: Path, *arguments: str) -> str:
    """The stdout of a python process; `home` is where it runs and has its caches."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=home,
        env=hub.env(home / "hf"),
        capture_output=True,
        text=True,
        timeout=120,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
