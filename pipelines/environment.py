"""What the bytes of a build may depend on besides its inputs: libraries, interpreter, machine word, our own code.

Workers that differ from the process that sends them tasks are refused: the same task would give other bytes.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gpts_data.pipelines.errors import UsageError

LIBRARIES = ("gpts-data", "datatrove", "tokenizers", "spacy", "pyarrow", "numpy", "numba", "xxhash", "zstandard")
MORE = ("datasets", "fastokens", "huggingface-hub", "regex", "distributed", "dask")
"""That read or speak, or whose work is checked: not in a manifest, yet the same on every worker."""
PACKAGES = ("pipelines", "tokenizer", "mixer", "validation", "cli")


def libraries() -> dict[str, str]:
    """Versions of the libraries that decide bytes."""
    return {name: version(name) for name in LIBRARIES}


@dataclass(frozen=True)
class Expected:
    """What every worker must have: the environment of the process that sends it tasks, and a file that it must see."""

    environment: dict[str, str]
    shared: Path | None = None

    def check(self, address: str) -> None:
        """Raise `UsageError` unless this process, the worker at `address`, has it."""
        if different := differences(environment(), self.environment):
            raise UsageError(
                f"the dask worker at {address} may make other bytes: {different}. Start it in the environment of this "
                "command (the same lock file or image), then run the command again"
            )
        if self.shared and not self.shared.exists():
            raise UsageError(
                f"the dask worker at {address} does not see {self.shared}; all workers must have that folder under "
                "that name, or use --out with an object store (s3://bucket/mix)"
            )


@lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """By name what must be the same on all workers."""
    return {
        "python": ".".join(map(str, sys.version_info[:2])),
        "byte order": sys.byteorder,
        **libraries(),
        **{name: _version(name) for name in MORE},
        "gpts-data's code": code_digest(),
    }


def code_digest() -> str:
    """sha256, hex, over the source files of this package: two checkouts of one version differ."""
    digest, root = hashlib.sha256(), Path(__file__).parent.parent
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def differences(found: dict[str, str], wanted: dict[str, str]) -> str:
    """`numpy 2.3.0 there, 2.4.1 here; ...`, of all that differ; "" when none does."""
    names = [name for name in sorted(found.keys() | wanted.keys()) if found.get(name) != wanted.get(name)]
    return "; ".join(f"{name} {_short(found.get(name))} there, {_short(wanted.get(name))} here" for name in names)


def _short(value: str | None) -> str:
    return "absent" if value is None else value[:16]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
