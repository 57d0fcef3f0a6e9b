"""A small share of the campaign of kills and failing disks; the whole of it is `python -m benchmarks.crashes`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_kills_and_failing_disks_change_no_byte() -> None:
    command = [sys.executable, "-m", "benchmarks.crashes", "--kills", "12", "--rots", "3", "--faults", "2"]
    command += ["--pairs", "3", "--disks", "0", "--seed", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    kills = [int(n) for n in re.findall(r"(\d+) kills, \d+ builds whole in the end", done.stdout)]
    assert kills[-1] >= 12
    assert "3 pairs of builds begun at once: each time one built all, the other exited 11" in done.stdout
    if shutil.which("strace"):
        assert len(re.findall(r"failed with E.*mended, all bytes equal", done.stdout)) == 3
