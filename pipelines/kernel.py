"""Compiled functions: one decorator for every loop that runs over Arrow buffers and numpy arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` with numba when it is first called; its machine code is cached beside its source file.

    It releases the GIL. Numba infers types from the arguments of a call and ignores annotations, which are for readers
    and mypy. It takes a uint64 combined with a signed number for a float: give every constant its type.
    """
    return numba.njit(cache=True, nogil=True)(function)
