"""The decorator of compiled functions."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.caching import FunctionCache

from gpts_data.pipelines.kernel import Int64Array, inner_kernel, kernel
from gpts_data.pipelines.text.hashing import mix64


@inner_kernel
def add(a: int, b: int) -> int:
    return a + b


@kernel
def add_constants(n: int) -> int:
    total = 0
    for i in range(n):
        total = add(add(total, 1), add(i, 2))
    return total


@kernel
def sum_row(rows: Int64Array, row: int) -> int:
    return add_constants(3) + total_of(rows[row])


@inner_kernel
def total_of(values: Int64Array) -> int:
    total = 0
    for value in values:
        total = add(total, value)
    return total


def test_an_inner_kernel_is_compiled_once_for_all_constants() -> None:
    uncached = numba.njit(add_constants.py_func)
    assert uncached(3) == 12
    assert len(add.signatures) == 1


def test_kernels_call_inner_kernels_and_kernels_through_each_other() -> None:
    assert sum_row(np.array([[1, 2], [3, 4]]), 1) == 12 + 7


def test_functions_that_are_no_kernels_still_count_negative_indices_from_the_end() -> None:
    def last(values: Int64Array) -> Any:
        return values[-1]

    add_constants(1)
    assert numba.njit(last)(np.arange(5)) == 4


def test_an_inner_kernel_cannot_be_called_from_python() -> None:
    add_constants(1)
    with pytest.raises(TypeError, match="add is an inner kernel: only kernels can call it"):
        add(1, 2)


def test_arrays_live_as_long_as_they_did_before_a_kernel_had_them() -> None:
    rows = np.arange(6).reshape(3, 2)
    references = sys.getrefcount(rows)
    for row in range(3):
        sum_row(rows, row)
    assert sys.getrefcount(rows) == references


def test_another_numba_compiles_the_same_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpts_data.pipelines.kernel._OWN_COMPILER", False)

    @inner_kernel
    def half(a: int) -> int:
        return a // 2

    @kernel
    def quarter(a: int) -> int:
        return half(half(a))

    assert quarter(12) == 3
    assert half(12) == 6


def test_kernels_work_where_no_folder_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    njit = numba.njit

    def without_cache(**options: Any) -> Any:
        if options.get("cache"):

            def refuse(function: Any) -> Any:
                raise RuntimeError("cannot cache function: no locator available")

            return refuse
        return njit(**options)

    monkeypatch.setattr(numba, "njit", without_cache)

    @kernel
    def double(a: int) -> int:
        return 2 * a

    assert double(4) == 8
    assert double.stats.cache_path is None


def test_a_cached_kernel_is_loaded_without_what_only_compilation_needs() -> None:
    """Numba's own cache would import scipy and declare all functions of numpy: half a second in each process."""
    hashed = mix64(np.uint64(5))
    code = (
        "import sys, numpy as np; from gpts_data.pipelines.text.hashing import mix64;"
        "print(mix64(np.uint64(5)), 'numba.np.arraymath' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    assert said.split() == [str(hashed), "False"]


def test_a_change_of_another_file_that_a_kernel_is_made_of_is_noticed(tmp_path: Path) -> None:
    """Numba compares the date of the kernel's own file only, and would go on with the old machine code."""
    header = "from gpts_data.pipelines.kernel import inner_kernel, kernel\n"
    entry = f"{header}from factor import FACTOR, times\n@kernel\ndef product(a):\n    return times(a) + FACTOR\n"
    (tmp_path / "product.py").write_text(entry, encoding="utf-8")
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    sums = []
    for inner, constant in ((2, 0), (3, 0), (3, 100), (3, 100)):
        source = f"{header}FACTOR = {constant}\n@inner_kernel\ndef times(a):\n    return a * {inner}\n"
        (tmp_path / "factor.py").write_text(source, encoding="utf-8")
        code = "from product import product; print(product(5), sum(product.stats.cache_hits.values()))"
        command = [sys.executable, "-B", "-c", f"import sys; sys.path[:] = {[str(tmp_path), *sys.path]}; {code}"]
        said = subprocess.run(command, capture_output=True, text=True, env=environment, encoding="utf-8")
        sums.append(said.stdout.strip() or said.stderr)
    assert sums == ["10 0", "15 0", "115 0", "115 1"]


def test_a_kernel_works_where_the_disk_of_the_cache_is_full(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    @kernel
    def triple(a: int) -> int:
        return 3 * a

    monkeypatch.setattr(FunctionCache, "save_overload", refuse)
    assert (triple(4), triple(5.0)) == (12, 15)
    assert caplog.text.count("compiled kernels cannot be kept: No space left on device") == 1
