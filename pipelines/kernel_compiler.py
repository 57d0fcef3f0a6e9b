"""How kernels are compiled: as numba does it, without the parts of its work that they do not need.

Numba compiles every function into a library of its own: it optimizes it, makes machine code of it, writes that to the
cache, and optimizes it again inside each function that calls it. Most of our kernels are small and are called by other
kernels only. These *inner* kernels are kept as unoptimized LLVM modules here, and each kernel that Python calls, an
*entry*, is linked with those that it needs and optimized once. This, the passes that are left out and the lookups that
are not repeated take more than a third off the time to compile the kernels of a build; their machine code is as fast.

It uses parts of numba that may change. For versions of numba other than KNOWN_VERSIONS kernel.py does without it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any, NoReturn

import numpy as np
from numba.core import compiler, funcdesc, typed_passes, types, untyped_passes
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.runtime import rtsys

log = logging.getLogger("gpts_data")

KNOWN_VERSIONS = range(61, 69)  # of numba 0.x
_LEFT_OUT = {  # passes for what kernels do not have: with blocks, generators, literal arguments, array expressions
    untyped_passes.WithLifting,
    untyped_passes.InlineClosureLikes,
    untyped_passes.RewriteSemanticConstants,
    untyped_passes.DeadBranchPrune,
    untyped_passes.InlineInlinables,
    untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.FindLiterallyCalls,
    untyped_passes.LiteralUnroll,
    untyped_passes.LiteralPropagationSubPipelinePass,
    typed_passes.InlineOverloads,
    typed_passes.NopythonRewrites,
    typed_passes.DumpParforDiagnostics,
}


class _Library(JITCodeLibrary):  # type: ignore[misc]
    """A module whose functions are not optimized one by one, before all of them are together."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout


class _InnerLibrary(_Library):
    """The unoptimized module of one inner kernel, never turned into machine code by itself."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        self._finalized = True


class _EntryLibrary(_Library):
    """The library of a kernel that Python calls, with all inner kernels that it calls, directly or not."""

    def add_linking_library(self, library: Any) -> None:
        if library in self._linking_libraries:
            return
        super().add_linking_library(library)
        if isinstance(library, _InnerLibrary):
            for called in library._linking_libraries:
                self.add_linking_library(called)


@contextmanager
def _no_negative_indices() -> Iterator[None]:
    """Have numba compile `array[i]` without a test whether `i` is below 0 and counts from the end of the array.

    No kernel has such an index. Without the test LLVM reads eight bytes at once and uses vectors: filters take a third
    less time, some of them two thirds, and compilation a tenth less.
    """
    from numba.np import arrayobj  # 0.2 s that a process which only loads machine code does not need

    wrapping = arrayobj.fix_integer_index

    def as_it_is(context: Any, builder: Any, kind: Any, index: Any, _: Any) -> Any:
        return context.cast(builder, index, kind, types.intp if kind.signed else types.uintp)

    arrayobj.fix_integer_index = as_it_is
    try:
        yield
    finally:
        arrayobj.fix_integer_index = wrapping


_signatures: dict[tuple[Any, ...], Any] = {}


@contextmanager
def _lookups_kept() -> Iterator[None]:
    """Have numba look the declaration of each kind of call up once, as that of `int64 + int64`.

    It would try up to 30 declarations of an operator for each place where it is used, in every round of type inference
    and again to compile it: a sixth of the time to compile the kernels of a build.
    """
    function_type: Any = types.Function
    if "get_call_type" in vars(function_type):  # while a kernel that calls this one is compiled
        yield
        return
    get_call_type = function_type.get_call_type

    def get_kept_call_type(function: Any, context: Any, args: Any, kws: Any) -> Any:
        key = function, context, tuple(args), tuple(kws.items())
        if key not in _signatures:
            _signatures[key] = get_call_type(function, context, args, kws)
        return _signatures[key]

    function_type.get_call_type = get_kept_call_type
    try:
        yield
    finally:
        del function_type.get_call_type


@register_pass(mutates_CFG=True, analysis_only=False)
class _EntryLowering(typed_passes.NativeLowering):  # type: ignore[misc]
    _name = "gpts_data_entry_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _EntryLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        with _no_negative_indices():
            return bool(super().run_pass(state))


@register_pass(mutates_CFG=True, analysis_only=False)
class _InnerLowering(typed_passes.NativeLowering):  # type: ignore[misc]
    """The pass of its base class, but the function gets neither machine code nor anything that Python could call."""

    _name = "gpts_data_inner_lowering"

    def run_pass(self, state: Any) -> bool:
        context, name = state.targetctx, state.func_id.func_qualname
        library = state.library = _InnerLibrary(context.codegen(), name)
        description = funcdesc.PythonFunctionDescriptor.from_specialized_function(
            state.func_ir,
            state.typemap,
            state.return_type,
            state.calltypes,
            mangler=context.mangler,
            inline=state.flags.forceinline,
            noalias=state.flags.noalias,
            abi_tags=[state.flags.get_mangle_string()],
        )
        with context.push_code_library(library), _no_negative_indices():
            lower = self.lowering_class(context, library, description, state.func_ir, metadata=state.metadata)
            lower.lower()

        def refuse(*_: object) -> NoReturn:
            raise TypeError(f"{name} is an inner kernel: only kernels can call it")

        context.insert_user_function(refuse, description, [library])
        state.cr = compiler._LowerResult(description, lower.call_helper, cfunc=refuse, env=lower.env)
        return True


class CompleteCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, which knows everything that the machine code was made of.

    Numba compares the date of the function's own source file. The machine code also holds the kernels that it calls
    and the constants that they use, from any file: after a change of these, numba would run the old code.
    """

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        digest = hashlib.sha256(b"".join(_ingredients(self._py_func, set())))
        return (*super()._index_key(sig, codegen), digest.hexdigest())

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:  # a full disk: the kernel works, but the next process compiles it again
            _report_unsaved(str(self.cache_path), error.strerror)


@lru_cache
def _report_unsaved(folder: str, reason: str) -> None:
    """Say once for a folder that compiled kernels cannot be kept there."""
    log.warning("%s: compiled kernels cannot be kept: %s; set NUMBA_CACHE_DIR to another folder", folder, reason)


def _ingredients(function: FunctionType, known: set[FunctionType]) -> Iterator[bytes]:
    """Yield the code and the constants that a function is compiled from, and those of all kernels that it calls."""
    known.add(function)
    yield from _code_bytes(function.__code__)
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        called = getattr(value, "py_func", None)
        if isinstance(value, np.ndarray):
            yield value.tobytes()
        elif isinstance(value, (bool, int, float, str, tuple, np.generic)):
            yield repr(value).encode()
        elif called and called not in known:
            yield from _ingredients(called, known)


def _code_bytes(code: CodeType) -> Iterator[bytes]:
    """Yield the instructions and constants. `marshal` would also write which strings are interned in this process."""
    yield code.co_code
    yield repr(code.co_names).encode()
    for constant in code.co_consts:
        yield from _code_bytes(constant) if isinstance(constant, CodeType) else [repr(constant).encode()]


class KernelCache(CompleteCache):
    """A `CompleteCache` that loads machine code without what only a compilation needs.

    Numba would first declare all functions of Python and numpy that it can compile. That takes 0.5 s of each process,
    0.25 s of it to import scipy. The compiler declares them itself when it has something to compile.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)  # all that machine code needs: the addresses of numba's functions in C
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


class EntryCompiler(compiler.CompilerBase):  # type: ignore[misc]
    """Numba's pipeline without the passes that kernels do not need."""

    lowering: type = _EntryLowering

    def compile_extra(self, func: Any) -> Any:
        with _lookups_kept():
            return super().compile_extra(func)

    def define_pipelines(self) -> list[Any]:
        passes = PassManager("kernel")
        for pass_, description in compiler.DefaultPassBuilder.define_nopython_pipeline(self.state).passes:
            if pass_ is typed_passes.NativeLowering:
                passes.add_pass(self.lowering, description)
            elif pass_ not in _LEFT_OUT:
                passes.add_pass(pass_, description)
        passes.finalize()
        return [passes]


class InnerCompiler(EntryCompiler):
    lowering = _InnerLowering


def keep_from_python(compiled: Any) -> None:
    """Have a call of an inner kernel from Python raise `TypeError`: there is no machine code to call."""

    def add_overload(result: Any) -> None:  # as `Dispatcher.add_overload`, but unknown to its table in C
        compiled.overloads[tuple(result.signature.args)] = result

    compiled.add_overload = add_overload
