"""A tokenizer that somebody else made, looked at for the first time: in a process with little memory and little time.

    check_foreign(folder) ── sizes ── child: limits, load, encode the traps ── the artifact, or a UsageError

What libraries do with a file made to hurt them (a billion merges, a regular expression that never ends, a crash) they
do to the child.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from gpts_data.pipelines.errors import GptsDataError, UsageError
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.tokenizer.artifact import FILES, Artifact

MAX_BYTES = 64 << 20  # of each file; 65,536 entries with their merges take some 4 MB
MEMORY_BYTES = 2 << 30  # for data of the child; 65,536 entries take 0.25 GB. Linux only: others do not count it
SECONDS = 60.0  # 65,536 entries take 2
_CHILD = "from gpts_data.tokenizer.untrusted import child; child()"


def check_untrusted(folder: AnyPath, *, memory: int = MEMORY_BYTES, seconds: float = SECONDS) -> Artifact:
    """The checked artifact of a folder somebody gave. Raises `UsageError`."""
    for path in (folder / name for name in FILES):
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise UsageError(
                f"{path}: {path.stat().st_size:,} bytes, expected at most {MAX_BYTES:,}; this is no tokenizer of at "
                "most 65,536 entries"
            )
    command = [sys.executable, "-P", "-c", _CHILD, str(folder), str(memory)]
    one = dict.fromkeys(("RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")  # a stack each is memory
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False, env={**os.environ, **one})
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{folder}: the tokenizer was not loaded in {seconds:g} seconds; {_ADVICE}") from error
    if done.returncode:
        how = f"killed by signal {-done.returncode}" if done.returncode < 0 else f"exit {done.returncode}"
        last = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
        raise UsageError(
            f"{folder}: loading the tokenizer ended the process that tried, with {memory / 1e9:.1f} GB of memory "
            f"({how}: {last[:200]}); {_ADVICE}"
        )
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise UsageError(answer["error"])
    return Artifact(folder, answer["digest"], answer["vocab_size"], answer["eos_id"])


_ADVICE = "use another tokenizer, or train one with `gpts-data train-tokenizer`"


def child() -> None:
    """In the child: one JSON object on stdout."""
    folder = Path(sys.argv[1])
    _limit(int(sys.argv[2]))
    from gpts_data.tokenizer.artifact import load
    from gpts_data.tokenizer.encode import Encoder

    try:
        artifact = load(folder)
        Encoder(folder).encode(["It loads, and it encodes.\n"])
    except GptsDataError as error:
        print(json.dumps({"error": str(error)}))
        return
    facts = {"digest": artifact.digest, "vocab_size": artifact.vocab_size, "eos_id": artifact.eos_id}
    print(json.dumps(facts))


def _limit(memory: int) -> None:
    with suppress(ImportError, ValueError, OSError):  # Windows; or a limit that is lower already
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
