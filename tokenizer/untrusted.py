"""Check a tokenizer from an untrusted source in a separate process with limited memory and time.

    check_untrusted(folder) ── file sizes ── worker process: set limits, load, encode a line ── Artifact or UsageError

A file can be made so that loading it takes all memory, never ends, or crashes the process: a billion merges, a slow
regular expression, deep nesting. That then happens to the worker process, and the command ends with an error message.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

from gpts_data.pipelines.errors import GptsDataError, UsageError
from gpts_data.pipelines.storage.paths import AnyPath, as_path
from gpts_data.tokenizer.artifact import ADVICE, FILES, MAX_BYTES, Artifact

MEMORY_BYTES = 2 << 30  # for the worker's data; 65,536 entries take 0.25 GB. Only Linux enforces the limit
SECONDS = 60.0  # 65,536 entries take 2
_WORKER_CODE = "from gpts_data.tokenizer.untrusted import load_in_worker; load_in_worker()"


def check_untrusted(folder: AnyPath, *, memory: int = MEMORY_BYTES, seconds: float = SECONDS) -> Artifact:
    """Load the tokenizer in `folder` in a worker process with so many bytes of memory and seconds.

    Returns the checked artifact. Raises `UsageError` when a file is too large, a limit is exceeded, the worker crashes
    or the tokenizer is invalid.
    """
    _check_sizes(folder)
    result = _run_worker(folder, memory, seconds)
    if "error" in result:
        raise UsageError(result["error"])
    return Artifact(folder, result["digest"], result["vocab_size"], result["eos_id"])


def _check_sizes(folder: AnyPath) -> None:
    for path in (folder / name for name in FILES):
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise UsageError(
                f"{path}: {path.stat().st_size:,} bytes, expected at most {MAX_BYTES:,}; a tokenizer of "
                f"262,144 entries is smaller; {ADVICE}"
            )


def _run_worker(folder: AnyPath, memory: int, seconds: float) -> dict[str, Any]:
    """The JSON object that the worker process prints."""
    command = [sys.executable, "-P", "-c", _WORKER_CODE, str(folder), str(memory)]
    # Every thread's stack would count as memory.
    one_thread = dict.fromkeys(("RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    environment = {**os.environ, **one_thread}
    try:
        for _ in range(2):  # once more when it was killed from outside, by hand or for lack of memory
            worker = subprocess.run(command, capture_output=True, timeout=seconds, check=False, env=environment)
            if worker.returncode != -signal.SIGKILL:
                break
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{folder}: the tokenizer was not loaded in {seconds:g} seconds; {ADVICE}") from error
    if worker.returncode:
        killed = worker.returncode < 0
        status = f"killed by signal {-worker.returncode}" if killed else f"exit {worker.returncode}"
        last_line = (worker.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
        raise UsageError(
            f"{folder}: loading the tokenizer ended the process that tried, with {memory / 1e9:.1f} GB of memory "
            f"({': '.join(filter(None, (status, last_line[:200])))}); {ADVICE}"
        )
    result: dict[str, Any] = json.loads(worker.stdout)
    return result


def load_in_worker() -> None:
    """Run in the worker process: load the tokenizer named in argv and print its artifact, or the error, as JSON."""
    folder = as_path(sys.argv[1])
    _limit_memory(int(sys.argv[2]))
    from gpts_data.tokenizer.artifact import load
    from gpts_data.tokenizer.encode import Encoder

    try:
        artifact = load(folder)
        Encoder(folder).encode(["A line of text to encode.\n"])
    except GptsDataError as error:
        print(json.dumps({"error": str(error)}))
        return
    print(json.dumps({"digest": artifact.digest, "vocab_size": artifact.vocab_size, "eos_id": artifact.eos_id}))


def _limit_memory(memory: int) -> None:
    with suppress(ImportError, ValueError, OSError):  # Windows has no such limit; a lower one may be set already
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
