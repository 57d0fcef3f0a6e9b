"""P4: a unit is processed in batches, so memory does not depend on its size."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from gpts_data.mixer.format.mix import Mix
from tests.conftest import prose

PREPARE = """
import sys
from pathlib import Path
from gpts_data.mixer.stages.prepare import Prepare, prepare
from gpts_data.pipelines.filters.cleaner import CleanConfig
from gpts_data.pipelines.dedup.signatures import Dedup
from gpts_data.pipelines.readers.reader import list_files, split_units
from gpts_data.pipelines.readers.source import Source
from gpts_data.tokenizer.artifact import load

folder, tokenizer = Path(sys.argv[1]), load(Path(sys.argv[2]))
source = Source("web", 1, files=("*.jsonl",))
(unit,) = split_units(source, list_files(source, folder).files[0], 10**9)
dedup = Dedup(minhash=None)
prepare(Prepare(source, unit, CleanConfig(), dedup, tokenizer.folder, tokenizer.digest, "k", folder / "u.arrow"))
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])  # ru_maxrss would count the parent's
"""


def peak_bytes(folder: Path, n_documents: int, tokenizer: Path) -> int:
    folder.mkdir()
    line = json.dumps({"text": prose(random.Random(1), 500)}) + "\n"  # some 3 kB
    (folder / "big.jsonl").write_text(line * n_documents, encoding="utf-8")
    command = [sys.executable, "-c", PREPARE, str(folder), str(tokenizer)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_preparing_a_unit_is_flat(mix: Mix, tmp_path: Path) -> None:
    """72 MB more text, less than a third of that more memory."""
    small = peak_bytes(tmp_path / "small", 24_000, mix.tokenizer)  # 24 batches: caches and the allocator's are filled
    large = peak_bytes(tmp_path / "large", 48_000, mix.tokenizer)
    assert large - small < 22_000_000, f"{small:,} and {large:,} bytes"
