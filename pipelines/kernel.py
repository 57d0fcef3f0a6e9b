"""Compiled functions: one decorator for every loop that runs over Arrow buffers and numpy arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
UInt64Array = NDArray[np.uint64]
Int64Array = NDArray[np.int64]
Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

KERNELS: list[Any] = []
"""Numba's dispatchers of all kernels in the modules that are imported."""

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile `function` with numba when it is first called; its machine code is cached beside its source file.

    It releases the GIL. Numba infers types from the arguments of a call and ignores annotations, which are for readers
    and mypy. It computes a uint64 combined with a signed integer as a float: give every constant its type.
    """
    try:
        compiled = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba finds no folder that can be written: each process compiles for itself
        compiled = numba.njit(nogil=True)(function)
    if not numba.config.DISABLE_JIT:  # else numba returns the function itself
        _ignore_literals(compiled)
        KERNELS.append(compiled)
    return compiled  # type: ignore[no-any-return]


def cache_folder() -> Path | None:
    """The folder where numba keeps the machine code of a kernel; None when it finds none that it can write to."""
    path = next((kernel.stats.cache_path for kernel in KERNELS), None)
    return Path(path) if path else None


def _ignore_literals(compiled: Any) -> None:
    """Have kernels that call this one with constants share its machine code.

    Numba compiles a function again for each constant integer that it is called with: 32 of the 240 functions of a
    build, 7 of 46 s of processor time.
    """
    get_call_template = compiled.get_call_template

    def without_literals(args: Any, kws: dict[str, Any]) -> Any:
        return get_call_template(
            tuple(types.unliteral(arg) for arg in args), {key: types.unliteral(arg) for key, arg in kws.items()}
        )

    compiled.get_call_template = without_literals
