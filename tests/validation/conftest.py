"""Fixtures of tests that train."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """These matrices are too small to share; two threads on a busy machine (load 4) took 78 s for 0.8 s of work."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def patterned(tmp_path: Path):  # type: ignore[no-untyped-def]
    from tests.support.runs import write_patterned

    return write_patterned(tmp_path / "mix")
