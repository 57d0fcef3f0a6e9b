"""Checks whether the hub's datasets can be reached now, in a worker process that is killed when its time is over.

In this process, a name server or proxy that drops packets could block for minutes: the client's time-outs apply to one
attempt and do not cover name resolution. The worker answers in lines of JSON with reasons of our own, since the
client's messages hold addresses, which may be signed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

SECONDS = 10.0  # for all requests together
THREADS = 16

GATED, MISSING, NO_REVISION, REFUSED, FORBIDDEN, BAD_NAME, SILENT = (
    "gated",
    "not found",
    "no such revision",
    "token refused",
    "forbidden",
    "no dataset id",
    "no answer",
)

Dataset = tuple[str, str | None]
"""Id of a dataset and its revision; None is the newest."""


@dataclass(frozen=True)
class DatasetStatus:
    """Whether a dataset can be read: `reason` is "" if so, else one of the constants above; `detail` adds a status."""

    dataset: str
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class HubStatus:
    """The status of each dataset, and where the client's token comes from: "" for no token, None for not known."""

    seen: tuple[DatasetStatus, ...]
    token_from: str | None


def check_reachable(datasets: Sequence[Dataset], seconds: float = SECONDS) -> HubStatus:
    """Ask the hub once for each dataset, all within `seconds`. Network errors become a status; none is raised."""
    text, exit_status = _run_worker(datasets, seconds)
    answers = dict(_parse_lines(text))
    silence = f"within {seconds:g} s" if exit_status is None else f"its client ended with status {exit_status}"
    seen = tuple(DatasetStatus(name, *answers.get(str(i), (SILENT, silence))) for i, (name, _) in enumerate(datasets))
    token = answers.get("token")
    return HubStatus(seen, token[1] if token and not token[0] else None)


def _run_worker(datasets: Sequence[Dataset], seconds: float) -> tuple[str, int | None]:
    """The output of the worker process and its exit status, which is None when it was killed.

    The output goes to a file instead of a pipe, so that what it wrote before the kill can be read without waiting.
    """
    command = [sys.executable, "-P", "-m", __name__, json.dumps(datasets)]
    with tempfile.TemporaryFile() as out:
        worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL)
        status = None
        try:
            with suppress(subprocess.TimeoutExpired):
                status = worker.wait(seconds)
        finally:
            worker.kill()
            with suppress(subprocess.TimeoutExpired):
                worker.wait(1)  # reaps it; if it hangs in the kernel, it is left behind
        out.seek(0)
        return out.read().decode(errors="replace"), status


def _parse_lines(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """The answers in the output. Lines that libraries printed are skipped, and so is a last line that is incomplete."""
    for line in text.splitlines():
        with suppress(ValueError, TypeError):
            name, reason, detail = json.loads(line)
            yield name, (reason, detail)


def _answer(datasets: Sequence[Dataset]) -> None:
    """In the worker: print a line for the token and each dataset as soon as it is known; none waits for another."""
    from huggingface_hub import HfApi, constants, errors, get_token  # noqa: F401 - imported once, not by 16 threads

    with ThreadPoolExecutor(THREADS) as pool:
        pool.submit(_print_answer, "token", lambda: ("", _token_from()))
        for i, (name, revision) in enumerate(datasets):
            pool.submit(_print_answer, str(i), partial(_check_dataset, name, revision))


def _print_answer(name: str, check: Callable[[], tuple[str, str]]) -> None:
    try:
        reason, detail = check()
    except Exception as error:  # its class name says enough; its message may hold an address
        reason, detail = SILENT, type(error).__name__
    os.write(
        1, (json.dumps([name, reason, detail]) + "\n").encode()
    )  # one write per line, so that threads do not mix theirs


def _check_dataset(name: str, revision: str | None) -> tuple[str, str]:
    """Reason and detail of a dataset: one request, and a second for a gated one, whose own page is open to all."""
    from huggingface_hub import HfApi, errors

    api = HfApi()
    try:
        if api.dataset_info(name, revision=revision, expand=["gated"], timeout=SECONDS).gated:
            api.auth_check(name, repo_type="dataset")
    except errors.GatedRepoError as error:
        return GATED, _status(error)
    except errors.RevisionNotFoundError:
        return NO_REVISION, str(revision)
    except errors.RepositoryNotFoundError as error:
        return MISSING, _status(error)
    except errors.HfHubHTTPError as error:
        return {401: REFUSED, 403: FORBIDDEN}.get(error.response.status_code, SILENT), _status(error)
    except errors.HFValidationError:
        return BAD_NAME, ""
    return "", ""


def _status(error: Any) -> str:
    return f"HTTP {error.response.status_code}"


def _token_from() -> str:
    """Where the client finds its token, in the client's own order. Never the token itself."""
    from huggingface_hub import constants, get_token

    if not get_token():
        return ""
    for name in ("HF_OIDC_RESOURCE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name, "").strip():
            return name
    return "the client's token file" if os.path.exists(constants.HF_TOKEN_PATH) else "the client"


if __name__ == "__main__":
    _answer(json.loads(sys.argv[1]))
