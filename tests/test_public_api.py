"""`import gpts_data`: every public name, documented, and nothing loaded before its use."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.metadata import version

import pytest

import gpts_data
from gpts_data.validation import api

FUNCTIONS = [name for name in gpts_data.__all__ if inspect.isfunction(getattr(gpts_data, name))]


def test_the_list_of_names() -> None:
    assert gpts_data.__all__ == sorted(gpts_data.__all__)
    assert {*api.__all__, "__version__"} == set(gpts_data.__all__) and api.__all__ == sorted(api.__all__)
    assert set(gpts_data.__all__) <= set(dir(gpts_data))
    assert gpts_data.__version__ == version("gpts-data")
    assert all(getattr(gpts_data, name) is getattr(api, name) for name in api.__all__)
    with pytest.raises(AttributeError, match="module 'gpts_data' has no attribute 'bild_mix'"):
        gpts_data.bild_mix  # noqa: B018


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_is_documented(name: str) -> None:
    function = getattr(gpts_data, name)
    for argument in inspect.signature(function).parameters:
        assert f"        {argument}: " in function.__doc__, f"{name} does not document {argument}"


def test_importing_it_loads_nothing() -> None:
    code = "import sys; before = set(sys.modules); import gpts_data; dir(gpts_data); print(*set(sys.modules) - before)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8"
    ).stdout.split()
    assert {name.partition(".")[0] for name in loaded} <= {"gpts_data"} | sys.stdlib_module_names
    assert not [name for name in loaded if name.startswith("gpts_data.")]
