"""Do the tests notice single faults in the modules that carry the guarantees?

    python -m benchmarks.mutations [MODULE ...] [--sample 15] [--seed 1]

The tree is copied. In the copy one expression of a module at a time is changed, and the test files that answer for the
module are run until one fails. `timeout` ends them from outside, because a compiled loop that does not end holds the
thread that pytest-timeout needs; such a fault counts as noticed. Compiled kernels of the module and of all modules that
import it are removed first: numba compares only a kernel's own file. mutmut wraps each function, which numba cannot
compile, and cosmic-ray changes the tree that it is started in.
"""

from __future__ import annotations

import ast
import copy
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
BUILDS = ("mixer/format/test_trace.py", "validation/test_verify.py", "mixer/format/test_find_document.py")
VERIFY = ("validation/test_verify_contents.py", "validation/test_verify.py")
TESTS = {  # below tests/, the quickest first; every other module has the mirrored file alone
    "mixer/stages/cut.py": ("mixer/stages/test_cut.py", *BUILDS, "mixer/test_epochs.py"),
    "mixer/stages/assemble.py": ("mixer/stages/test_assemble.py", *BUILDS),
    "mixer/stages/dedup.py": ("mixer/stages/test_dedup.py", *BUILDS),
    "mixer/stages/finalize.py": ("mixer/stages/test_finalize.py", "mixer/format/test_manifest.py", *BUILDS),
    "validation/verify.py": VERIFY,
    "pipelines/storage/atomic_files.py": ("pipelines/storage/test_atomic_files.py", "pipelines/storage/test_lock.py"),
    "mixer/format/trace.py": ("mixer/format/test_trace.py", "mixer/format/test_find_document.py"),
    "mixer/format/document_index.py": ("mixer/format/test_find_document.py",),
}
MODULES = (
    "mixer/schedule/budget.py",
    "mixer/schedule/permutation.py",
    "mixer/schedule/source_order.py",
    "pipelines/storage/atomic_files.py",
    "pipelines/storage/receipts.py",
    "pipelines/readers/draw_order.py",
    "pipelines/dedup/greedy.py",
    "mixer/format/content_digest.py",
    "mixer/format/document_index.py",
    "mixer/format/manifest.py",
    "mixer/format/trace.py",
    "validation/verify.py",
    "mixer/stages/cut.py",
    "mixer/stages/assemble.py",
    "mixer/stages/dedup.py",
    "mixer/stages/finalize.py",
)
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


def faults(node: ast.AST, where: str = "") -> Iterator[tuple[int, str, ast.Module]]:
    """Line, description and changed tree of every fault of a module."""
    for child in places(node):
        for before in [copy.deepcopy(child.__dict__)]:
            for text in changes(child):
                yield getattr(child, "lineno", 0), text, copy.deepcopy(node)  # type: ignore[misc]
                child.__dict__.clear()
                child.__dict__.update(copy.deepcopy(before))


def places(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but annotations, docstrings, imports, decorators, the texts of errors and zip's `strict`."""
    if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr | ast.arg):
        return
    if isinstance(node, ast.keyword) and node.arg == "strict":
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list", "bases"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from places(child)


def changes(node: ast.AST) -> Iterator[str]:
    """Change the node in place, in one way after the other."""
    before = ast.unparse(node)
    if isinstance(node, ast.Compare):
        node.ops[0] = SWAPS[type(node.ops[0])]()  # type: ignore[assignment]
    elif isinstance(node, ast.BoolOp | ast.BinOp | ast.AugAssign) and type(node.op) in SWAPS:
        node.op = SWAPS[type(node.op)]()  # type: ignore[assignment]
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif is_call_or_result(node):
        node.value = ast.Constant(None)  # type: ignore[attr-defined]
    elif isinstance(node, ast.Slice) and node.upper:
        node.upper = ast.BinOp(node.upper, ast.Sub(), ast.Constant(1))
    elif isinstance(node, ast.Call) and is_name(node.func, ("max", "min", "sorted", "reversed")) and node.args:
        node.args, node.keywords = [node.args[0]], []
        node.func = ast.Name("list" if is_name(node.func, ("sorted", "reversed")) else "max")
    else:
        return
    after = ast.unparse(ast.fix_missing_locations(node))
    if after != before:
        yield f"{' '.join(before.split())[:70]}  ->  {' '.join(after.split())[:70]}"


def is_call_or_result(node: ast.AST) -> bool:
    """Whether the node is a statement that only calls, or returns anything but None."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call)
    return isinstance(node, ast.Return) and node.value is not None and not is_none(node.value)


def is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def is_name(node: ast.AST, names: tuple[str, ...]) -> bool:
    return isinstance(node, ast.Name) and node.id in names


class Copy:
    """A copy of the tree, as the package gpts_data, in which the tests run."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "gpts_data"
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        for name in subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0"):
            if name and (ROOT / name).is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.tree / name)
        self.modules = {
            path: path.read_text("utf-8")
            for part in ("pipelines", "tokenizer", "mixer", "validation")
            for path in (self.tree / part).rglob("*.py")
        }

    def test(self, tests: tuple[str, ...], limit: float) -> int:
        """Exit code of pytest; 124 when the limit of seconds ended it."""
        files = [f"tests/{name}" for name in tests if (self.tree / "tests" / name).exists()]
        command = [
            "timeout",
            "-k",
            "5",
            str(round(limit)),
            sys.executable,
            "-B",
            "-m",
            "pytest",
            "-xq",
            "-p",
            "no:cacheprovider",
            *files,
        ]
        environment = {"EXAMPLES": "30", **os.environ, "PYTHONPATH": str(self.tree.parent)}
        done = subprocess.run(command, cwd=self.tree, env=environment, capture_output=True, check=False)
        return done.returncode

    def importers(self, path: Path) -> set[Path]:
        """The module and all that import it, at first or second hand."""
        found, new = {path}, {path}
        while new:
            names = "|".join(".".join(p.relative_to(self.tree.parent).with_suffix("").parts) for p in new)
            pattern = re.compile(rf"^\s*(from|import) ({names.replace('.', chr(92) + '.')})\b", re.M)
            new = {other for other, text in self.modules.items() if other not in found and pattern.search(text)}
            found |= new
        return found

    def without_kernels(self, path: Path) -> dict[Path, bytes]:
        """Remove the compiled kernels that may hold code of a module; returns them."""
        kernels = [
            kernel
            for module in self.importers(path)
            for kernel in (module.parent / "__pycache__").glob(f"{module.stem}.*.nb[ic]")
        ]
        contents = {kernel: kernel.read_bytes() for kernel in kernels}
        for kernel in kernels:
            kernel.unlink()
        return contents


@click.command()
@click.argument("modules", nargs=-1)
@click.option("--sample", default=15, show_default=True, help="Faults of each module.")
@click.option("--seed", default=1, show_default=True)
@click.option("--lines", help="Only faults whose description matches this regular expression.")
def main(modules: tuple[str, ...], sample: int, seed: int, lines: str | None) -> None:
    """Print for each module how many faults its tests notice, and the others."""
    with tempfile.TemporaryDirectory() as folder:
        tree, survivors = Copy(Path(folder)), 0
        for name in modules or MODULES:
            survivors += check(tree, name, sample, seed, lines)
    sys.exit(1 if survivors else 0)


def check(tree: Copy, name: str, sample: int, seed: int, lines: str | None) -> int:
    """Try a sample of the faults of a module; returns how many no test noticed."""
    path = tree.tree / name
    parent, stem = name.rsplit("/", 1)
    tests = TESTS.get(name, (f"{parent}/test_{stem}",))
    began = time.monotonic()
    if tree.test(tests, 3600):
        raise SystemExit(f"{name}: its tests fail without a fault: {', '.join(tests)}")
    limit = 60 + 4 * (time.monotonic() - began)
    original, survivors = path.read_bytes(), []
    found = [(line, text, ast.unparse(tree)) for line, text, tree in faults(ast.parse(original))]
    chosen = [fault for fault in found if re.search(lines, f"{fault[0]}: {fault[1]}")] if lines else found
    chosen = sorted(random.Random(seed).sample(chosen, min(sample, len(chosen))))
    for line, text, source in chosen:
        kernels = tree.without_kernels(path)
        has_kernels = bool(kernels)
        path.write_text(source, "utf-8")
        code = tree.test(tests, limit)
        path.write_bytes(original)
        if has_kernels:
            tree.without_kernels(path)
        for kernel, content in kernels.items():
            kernel.write_bytes(content)
        if code == 0:
            survivors.append(f"  {name}:{line}: {text}")
        print(f"    {'survived' if code == 0 else 'noticed'} {code} {name}:{line}: {text}", file=sys.stderr, flush=True)
    print(f"{name}: {len(found)} faults, {len(chosen)} tried, {len(chosen) - len(survivors)} noticed", flush=True)
    print("\n".join(survivors), flush=True)
    return len(survivors)


if __name__ == "__main__":
    main()
