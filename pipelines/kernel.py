"""Compiled functions: one decorator for every loop that runs over Arrow buffers and numpy arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
UInt64Array = NDArray[np.uint64]
Int64Array = NDArray[np.int64]
Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile `function` with numba when it is first called; its machine code is cached beside its source file.

    It releases the GIL. Numba infers types from the arguments of a call and ignores annotations, which are for readers
    and mypy. It computes a uint64 combined with a signed integer as a float: give every constant its type.
    """
    return numba.njit(cache=True, nogil=True)(function)  # type: ignore[no-any-return]
