"""One way: pipelines <- tokenizer <- mixer <- validation <- cli; and each heavy library in its own room."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("pipelines", "tokenizer", "mixer", "validation", "cli")
ROOMS = {
    "click": ("cli/",),
    "rich": ("cli/",),
    "torch": ("validation/",),
    "transformers": ("validation/model/modeling_gpts.py", "validation/evaluate.py"),
    "lm_eval": ("validation/evaluate.py",),
    "dask": ("pipelines/execute.py",),
    "distributed": ("pipelines/execute.py",),
    "datatrove": ("pipelines/",),
    "datasets": ("pipelines/",),
    "huggingface_hub": ("pipelines/",),
    "tokenizers": ("tokenizer/",),
    "fastokens": ("tokenizer/fastokens_encoder.py",),
    "numba": ("pipelines/kernel.py", "tokenizer/bpe_merges.py"),
    "psutil": ("validation/doctor/machine.py",),
    "upath": ("pipelines/storage/paths.py",),
    "packaging": ("validation/doctor/packages.py",),
}
HEAVY = {
    "torch",
    "datasets",
    "dask",
    "distributed",
    "datatrove",
    "spacy",
    "transformers",
    "tokenizers",
    "fastokens",
    "lm_eval",
    "s3fs",
    "upath",
}
MODULES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    allowed = LAYERS[: LAYERS.index(name.partition("/")[0]) + 1]
    for line, module in imports(path):
        parts = module.split(".")
        if parts[0] == "gpts_data":
            assert parts[1] in allowed, f"{name}:{line} imports {module}: {parts[1]} is to its right"
        rooms = ROOMS.get(parts[0])
        assert rooms is None or name.startswith(rooms), f"{name}:{line} imports {module}; it belongs in {rooms}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_has_one_noun(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 300
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 40, f"{path.name}: {node.name} is over 40 lines"


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from gpts_data.cli.main import cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)
