"""Fixtures for tests that train a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Use one thread: with such small matrices, two threads took 78 s instead of 0.8 s on a busy machine (load 4)."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def patterned(tmp_path: Path):  # type: ignore[no-untyped-def]
    from tests.support.runs import write_patterned

    return write_patterned(tmp_path / "mix")
