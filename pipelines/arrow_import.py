"""Arrow arrays without pandas, which pyarrow imports when it makes the first array from Python or numpy values."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    """Finds no pandas, wherever it is."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def leave_pandas_out() -> None:
    """Have pyarrow look for pandas now and find none: its import takes 0.25 s of processor time, and we never use it.

    For processes that run our code only: here `pa.array` no longer knows a pandas Series. `to_pandas` still works.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)
