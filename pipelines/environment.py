"""What the bytes of a build depend on besides its inputs: Python, the libraries, the byte order and our own code.

Dask workers whose environment differs from that of the process that sends the tasks are refused: the same task could
give other bytes there.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.paths import AnyPath

LIBRARIES = ("gpts-data", "datatrove", "tokenizers", "spacy", "pyarrow", "numpy", "numba", "xxhash", "backports.zstd")
"""Libraries that decide the bytes of a mix; the manifest lists their versions."""
OTHER_LIBRARIES = ("datasets", "fastokens", "huggingface-hub", "regex", "distributed", "dask")
"""Libraries that read or transport data, or whose results are checked: equal on all workers, but not in a manifest."""
PACKAGES = ("pipelines", "tokenizer", "mixer", "validation", "cli")
ABSENT = "absent"


def libraries() -> dict[str, str]:
    """Versions of the libraries that decide bytes, by name; "absent" for one that is not installed."""
    return {name: _version(name) for name in LIBRARIES}


@dataclass(frozen=True)
class Expected:
    """What every worker must have: the environment of the process that sends it tasks, and a file that it must see."""

    environment: dict[str, str]
    shared: AnyPath | None = None

    def check(self, address: str) -> None:
        """Raise `UsageError` unless this process, the worker at `address`, has the environment and sees the file."""
        refuse_other_environment(address, environment(), self.environment)
        try:
            _check_visible(self.shared)
        except FileNotFoundError as error:
            raise UsageError(
                f"the dask worker at {address} does not see {self.shared}; all workers must have that folder under "
                "that name, or use --out with an object store (s3://bucket/mix)"
            ) from error


@lru_cache(maxsize=4)  # the check precedes each task, and in a store it is a request; an error is not cached
def _check_visible(shared: AnyPath | None) -> None:
    if shared and not shared.exists():
        raise FileNotFoundError(str(shared))


@lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """All that must be equal on all workers, by name."""
    return {
        "python": ".".join(map(str, sys.version_info[:2])),
        "byte order": sys.byteorder,
        **libraries(),
        **{name: _version(name) for name in OTHER_LIBRARIES},
        "gpts-data's code": code_digest(),
    }


def source_files() -> list[Path]:
    """All Python files of the five packages, sorted by path."""
    root = Path(__file__).parent.parent
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))


def code_digest() -> str:
    """sha256, in hex, over the names and contents of our source files: it tells apart two checkouts of one version."""
    digest, root = hashlib.sha256(), Path(__file__).parent.parent
    for path in source_files():
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def refuse_other_environment(address: str, worker: dict[str, str], expected: dict[str, str]) -> None:
    """Raise `UsageError` when the environment of the worker at `address` is not the expected one."""
    if different := differences(worker, expected):
        raise UsageError(
            f"the dask worker at {address} may make other bytes: {different}. Start it in the environment of this "
            "command (the same lock file or image), then run the command again"
        )


def differences(worker: dict[str, str], expected: dict[str, str]) -> str:
    """`numpy 2.3.0 there, 2.4.1 here; ...` for each name whose values differ; "" when none does."""
    names = [name for name in sorted(worker.keys() | expected.keys()) if worker.get(name) != expected.get(name)]
    return "; ".join(f"{name} {_short(worker.get(name))} there, {_short(expected.get(name))} here" for name in names)


def _short(value: str | None) -> str:
    return ABSENT if value is None else value[:16]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ABSENT
