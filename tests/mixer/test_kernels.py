"""Kernels are compiled once per machine, with a word to the user, and once for all kinds of input."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numba
import pyarrow as pa
import pytest

from gpts_data.cli.options import open_recipe
from gpts_data.mixer import kernels
from gpts_data.mixer.kernels import TEXTS, call_kernels, compile_kernels
from gpts_data.mixer.recipe import Recipe
from gpts_data.pipelines.dedup.signatures import signer
from gpts_data.pipelines.filters.cleaner import CleanConfig, get_cleaner
from gpts_data.pipelines.filters.quality_rules import judge_fineweb, judge_gopher
from gpts_data.pipelines.filters.repetition_rules import judge_repetition
from gpts_data.pipelines.kernel import KERNELS


def recipe() -> Recipe:
    return open_recipe("sample", None)[0]


def ignore(stage: str, name: str, done: int, total: int, note: str = "", /) -> None:
    pass


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """The recipes whose kernels were called, in place of calling them; the cache is an empty folder."""
    called: list[Recipe] = []
    monkeypatch.setattr(kernels, "call_kernels", called.append)
    monkeypatch.setattr(kernels, "_call_serial_kernels", lambda *_: None)
    monkeypatch.setattr(kernels, "cache_folder", lambda: tmp_path)
    return called


def test_the_second_build_calls_no_kernel(calls: list[Recipe]) -> None:
    compile_kernels(recipe(), ignore)
    compile_kernels(recipe(), ignore)
    assert len(calls) == 1


def test_other_filters_are_compiled_when_a_recipe_has_them(calls: list[Recipe]) -> None:
    compile_kernels(replace(recipe(), clean=CleanConfig()), ignore)
    compile_kernels(replace(recipe(), clean=CleanConfig(("gopher_quality",))), ignore)
    compile_kernels(replace(recipe(), clean=CleanConfig(("gopher_quality",), min_characters=9)), ignore)
    assert len(calls) == 2


def test_training_a_tokenizer_is_compiled_when_a_build_trains_one(calls: list[Recipe]) -> None:
    compile_kernels(recipe(), ignore)
    compile_kernels(recipe(), ignore, trains=True)
    compile_kernels(recipe(), ignore, trains=True)
    assert len(calls) == 2


def test_a_build_that_waited_for_another_one_calls_no_kernel(
    calls: list[Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    one_process = kernels._one_process

    @contextmanager
    def after_another(folder: Path) -> Iterator[None]:
        monkeypatch.setattr(kernels, "_one_process", one_process)
        compile_kernels(recipe(), ignore)
        yield

    monkeypatch.setattr(kernels, "_one_process", after_another)
    compile_kernels(recipe(), ignore)
    assert len(calls) == 1


def test_a_cache_that_cannot_be_written_is_told_once(
    calls: list[Recipe], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kernels, "cache_folder", lambda: None)
    compile_kernels(recipe(), ignore)
    assert caplog.messages == [kernels.UNCACHED]
    assert not calls


def test_compiling_is_reported_and_loading_is_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gpts_data")
    reports: list[tuple[str, str, int, int, str]] = []

    def record(stage: str, name: str, done: int, total: int, note: str = "", /) -> None:
        reports.append((stage, name, done, total, note))

    with kernels._reported(record):
        pass
    assert not reports
    assert not caplog.messages
    with kernels._reported(record):
        numba.njit(lambda x: x + 1)(1)
    assert caplog.messages == ["compiling kernels, on the first run only"]
    assert reports[0][4] == "compiling, first run only"
    assert reports[-1][2:4] == (len(KERNELS), len(KERNELS))


def test_documents_of_every_reader_use_the_kernels_that_were_compiled() -> None:
    call_kernels(recipe())
    assert judge_repetition.signatures
    assert judge_gopher.signatures
    assert judge_fineweb.signatures
    compiled = {kernel: list(kernel.signatures) for kernel in KERNELS}
    for kind in (pa.string(), pa.large_string()):
        batch = read_only(pa.array(TEXTS, kind))
        get_cleaner(recipe().clean).clean(batch)
        signer(recipe().dedup).sign(batch, "web")
    assert {kernel: list(kernel.signatures) for kernel in KERNELS} == compiled


def read_only(texts: pa.Array) -> pa.RecordBatch:
    """Documents as a memory-mapped Arrow file gives them: their buffers cannot be written to."""
    batch = pa.RecordBatch.from_arrays([texts, texts, texts], names=["text", "id", "url"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return pa.ipc.open_stream(pa.py_buffer(sink.getvalue().to_pybytes())).read_next_batch()
