"""Imports go one way, between the packages and between the folders of a package, and never in a circle.

pipelines <- tokenizer <- mixer <- validation <- cli; each heavy library only where ROOMS says.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("pipelines", "tokenizer", "mixer", "validation", "cli")
ORDER = {  # of the files and folders inside a package: a row may import the rows above it
    "pipelines": """
        errors arrow_import progress figures kernel_compiler machine stall_warning suggestion
        kernel local_worker
        text worker_server
        words dedup storage
        environment worker_pool
        adaptive_engine dask_client dask_worker filters hub
        execute
        readers
        decontaminate""",
    "mixer": """
        schedule quantities recipe_buckets recipe_exclude recipe_file
        recipe_parser recipe_stages
        recipe format
        plan_file
        plan tokenizer_fit export
        workspace stages starter
        planning kernels
        train_tokenizer build_status kept_units
        build""",
    "validation": """
        run_files benchmark_rows published_scores document_streams
        verify inspect diff explain benchmarks model doctor loader progress_bar mix_summary
        training evaluate api personal_data
        report
        search""",
}
ROOMS = {
    "click": ("cli/",),
    "rich": ("cli/", "validation/progress_bar.py"),  # the Python API draws the same bars as the commands
    "torch": ("validation/",),
    "transformers": (
        "validation/model/modeling_gpts.py",
        "validation/model/layers_gpts.py",
        "validation/model/configuration_gpts.py",
        "validation/evaluate.py",
    ),
    "lm_eval": ("validation/evaluate.py",),
    "scipy": ("validation/search/",),
    "dask": ("pipelines/execute.py", "pipelines/dask_client.py", "pipelines/dask_worker.py"),
    "distributed": ("pipelines/execute.py", "pipelines/dask_client.py", "pipelines/dask_worker.py"),
    "datatrove": ("pipelines/",),
    "datasets": ("pipelines/",),
    "huggingface_hub": ("pipelines/",),
    "tokenizers": ("tokenizer/",),
    "fastokens": ("tokenizer/fastokens_encoder.py",),
    "numba": ("pipelines/kernel.py", "pipelines/kernel_compiler.py", "tokenizer/bpe_merges.py", "mixer/kernels.py"),
    "psutil": ("pipelines/machine.py",),
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
    "scipy",
    "s3fs",
    "upath",
}
MODULES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
NAMES = {path.relative_to(ROOT).as_posix().removesuffix(".py").removesuffix("/__init__"): path for path in MODULES}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, also inside functions and `if TYPE_CHECKING`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, (relative_base(path, node.level), node.module)))
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def relative_base(path: Path, level: int) -> str:
    """The package that `level` leading dots name in the file `path`; "" for none."""
    return ".".join(("gpts_data", *path.relative_to(ROOT).parts[:-level])) if level else ""


def own_imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, file) of the imports from this package: `from gpts_data.mixer import build` is of mixer/build."""
    for line, module in imports(path):
        package, _, name = module.partition(".")
        if package == "gpts_data":
            name = name.replace(".", "/")
            yield line, name if name in NAMES else name.rpartition("/")[0]


def test_the_order_names_every_file_and_folder() -> None:
    for package, order in ORDER.items():
        inside = {name.split("/")[1] for name in NAMES if name.startswith(f"{package}/")}
        assert sorted(order.split()) == sorted(inside)


@pytest.mark.parametrize("name", NAMES)
def test_imports_go_one_way(name: str) -> None:
    package, *inside = name.split("/")
    allowed = LAYERS[: LAYERS.index(package) + 1]
    ranks = {part: rank for rank, row in enumerate(ORDER.get(package, "").splitlines()) for part in row.split()}
    for line, target in own_imports(NAMES[name]):
        where = f"{name}:{line} imports {target}"
        other_package, *other = target.split("/")
        assert other_package in allowed, f"{where}: {other_package} is to the right of {package}"
        if other_package == package and ranks and inside and other and other[0] != inside[0]:
            assert ranks[other[0]] < ranks[inside[0]], f"{where}: expected only rows above {inside[0]!r} in ORDER"


@pytest.mark.parametrize("name", NAMES)
def test_heavy_libraries_have_their_places(name: str) -> None:
    path = NAMES[name]
    for line, module in imports(path):
        rooms = ROOMS.get(module.partition(".")[0])
        place = path.relative_to(ROOT).as_posix()
        assert rooms is None or place.startswith(rooms), f"{place}:{line} imports {module}; it belongs in {rooms}"


def test_no_two_files_import_each_other() -> None:
    graph = {name: {target for _, target in own_imports(path)} - {name} for name, path in NAMES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("name", NAMES)
def test_files_and_functions_are_short(name: str) -> None:
    text = NAMES[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            docstring = node.body[0] if ast.get_docstring(node) else None
            counted = (node.end_lineno or 0) - node.lineno
            counted -= (docstring.end_lineno or 0) - docstring.lineno if docstring else 0
            assert counted < 40, f"{name}: {node.name} is over 40 lines, docstring not counted"


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from gpts_data.cli.main import cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)
