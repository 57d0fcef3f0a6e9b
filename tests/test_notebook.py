"""The notebook from top to bottom on the CPU, without network: a small mix, two steps, four questions."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lm_eval", reason="needs the extra eval")

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "first-mix.ipynb"
QUESTIONS = [{"goal": f"To boil {n} eggs,", "sol1": "use water.", "sol2": "use ice.", "label": 0} for n in range(4)]


def test_it_runs_from_top_to_bottom(tmp_path: Path) -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    questions = "".join(json.dumps(question) + "\n" for question in QUESTIONS)
    (tmp_path / "piqa_validation.jsonl.gz").write_bytes(gzip.compress(questions.encode()))
    small = {"PRESET": "sample", "TOKENS": "60k", "STEPS": "2", "TASKS": "piqa", "DATA": str(tmp_path), "REPO": ""}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **small, "PATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in ("mix: ok", "report.html: open it", "piqa", "The water cycle begins", "not pushed"):
        assert shown in done.stdout, shown


def test_it_is_stored_without_output() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], len({cell["id"] for cell in notebook["cells"]})) == (4, len(notebook["cells"]))
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"])
