"""The decorator of compiled functions."""

from __future__ import annotations

from typing import Any

import numba
import pytest

from gpts_data.pipelines.kernel import kernel


@kernel
def add(a: int, b: int) -> int:
    return a + b


@kernel
def add_constants(n: int) -> int:
    total = 0
    for i in range(n):
        total = add(add(total, 1), add(i, 2))
    return total


def test_a_kernel_is_compiled_once_for_all_constants() -> None:
    assert add_constants(3) == 12
    assert len(add.signatures) == 1


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
