"""Compiled functions: one decorator for every loop that runs over Arrow buffers and numpy arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from gpts_data.pipelines.kernel_compiler import (
    KNOWN_VERSIONS,
    CompleteCache,
    EntryCompiler,
    InnerCompiler,
    KernelCache,
    keep_from_python,
)

UInt8Array = NDArray[np.uint8]
UInt64Array = NDArray[np.uint64]
Int64Array = NDArray[np.int64]
Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

KERNELS: list[Any] = []
"""Numba's dispatchers of all kernels in the modules that are imported."""

_OWN_COMPILER = numba.version_info[0] == 0 and numba.version_info[1] in KNOWN_VERSIONS

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile `function` with numba when it is first called; its machine code is cached beside its source file.

    It releases the GIL. Numba infers types from the arguments of a call and ignores annotations, which are for readers
    and mypy. It computes a uint64 combined with a signed integer as a float: give every constant its type. A division
    by zero is no error. An index must not be negative: `array[-1]` is not the last element. The function must not make
    arrays: its caller passes those that it needs, as counting references takes a tenth of the time to compile.
    """
    return _compiled(function, _options())


def inner_kernel(function: Function) -> Function:
    """Compile like `kernel`, for a function that only kernels call: its machine code is part of theirs."""
    return _inner_compiled(function, _options())


def inlined_kernel(function: Function) -> Function:
    """Compile like `inner_kernel`, but into the kernels that call it, without a call.

    For a function with many arrays and one caller: a call copies five numbers or more for each array.
    """
    return _inner_compiled(function, _options() | {"forceinline": True})


def cache_folder() -> Path | None:
    """The folder where numba keeps the machine code of a kernel; None when it finds none that it can write to."""
    path = next((kernel.stats.cache_path for kernel in KERNELS if kernel.stats.cache_path), None)
    return Path(path) if path else None


def _options() -> dict[str, Any]:
    options = {"nogil": True, "no_cfunc_wrapper": True, "error_model": "numpy", "_nrt": False}
    return options | {"pipeline_class": EntryCompiler} if _OWN_COMPILER else options


def _compiled(function: Function, options: dict[str, Any]) -> Function:
    try:
        compiled = numba.njit(cache=True, **options)(function)
        if not numba.config.DISABLE_JIT:  # as `njit` itself does it with a `FunctionCache`
            compiled._cache = KernelCache(function) if _OWN_COMPILER else CompleteCache(function)
    except RuntimeError:  # numba finds no folder that can be written: each process compiles for itself
        compiled = numba.njit(**options)(function)
    return _registered(compiled)  # type: ignore[no-any-return]


def _inner_compiled(function: Function, options: dict[str, Any]) -> Function:
    if not _OWN_COMPILER:
        return _compiled(function, options)
    compiled = numba.njit(**options | {"no_cpython_wrapper": True, "pipeline_class": InnerCompiler})(function)
    if not numba.config.DISABLE_JIT:
        keep_from_python(compiled)
    return _registered(compiled)  # type: ignore[no-any-return]


def _registered(compiled: Any) -> Any:
    if not numba.config.DISABLE_JIT:  # else numba returned the function itself
        _ignore_literals(compiled)
        KERNELS.append(compiled)
    return compiled


def _ignore_literals(compiled: Any) -> None:
    """Have kernels that call this one with constants share its machine code.

    Numba would compile a function again for each constant integer that it is called with.
    """
    get_call_template = compiled.get_call_template

    def without_literals(args: Any, kws: dict[str, Any]) -> Any:
        return get_call_template(
            tuple(types.unliteral(arg) for arg in args), {key: types.unliteral(arg) for key, arg in kws.items()}
        )

    compiled.get_call_template = without_literals
