"""Commands where the machine has no memory or no thread left."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli


class PanicException(BaseException):
    """As pyo3's, for a panic in the Rust of tokenizers: no `Exception`."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        PanicException("The global thread pool has not been initialized.: ThreadPoolBuildError { code: 11 }"),
    ],
)
def test_one_line_says_what_to_do(error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("gpts_data.validation.verify.verify", exhausted)
    result = CliRunner().invoke(cli, ["verify", str(tmp_path)])
    assert result.exit_code == 1, result.output
    assert "not enough memory or threads" in result.output and "use fewer --workers" in result.output
