"""Arrow arrays without pandas."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from gpts_data.pipelines.arrow_import import leave_pandas_out
leave_pandas_out()
import numpy, pyarrow
pyarrow.array(["a"]), pyarrow.array(numpy.arange(3))
print("pandas" in sys.modules, end=" ")
print(len(pyarrow.table({"a": [1, 2]}).to_pandas()), end=" ")
import pandas
print(pyarrow.array(pandas.Series([1.0, None])).null_count)
"""


def test_arrays_are_made_without_pandas_which_loads_when_it_is_asked_for() -> None:
    command = [sys.executable, "-c", CODE]
    said = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    assert said.split() == ["False", "2", "1"]
