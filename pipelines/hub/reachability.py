"""Can the hub's datasets be seen from here, now? Asked by a child process, which is killed when the time is over.

In this process a name server or a proxy that swallows packets could hold us for minutes: the client's time limits are
per attempt and do not cover looking up a name. The child answers in lines of JSON, and in words of ours only: the
client's messages hold addresses, and might hold more.
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
from typing import Any

SECONDS = 10.0
AT_ONCE = 16

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
"""Id and revision (None: the newest)."""


@dataclass(frozen=True)
class DatasetStatus:
    """Whether a dataset can be seen: `reason` is "" or one of the constants above, `detail` says a word more."""

    dataset: str
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class HubStatus:
    """`token_from` names where the client has its token: "" for nowhere, None when that was not found out in time."""

    seen: tuple[DatasetStatus, ...]
    token_from: str | None


def check_reachable(datasets: Sequence[Dataset], seconds: float = SECONDS) -> HubStatus:
    """Ask the hub once for each dataset, all within `seconds`. Never raises for what the hub does."""
    text, status = _ask(datasets, seconds)
    answers = dict(_lines(text))
    why = f"within {seconds:g} s" if status is None else f"its client ended with status {status}"
    seen = tuple(DatasetStatus(name, *answers.get(str(i), (SILENT, why))) for i, (name, _) in enumerate(datasets))
    token = answers.get("token")
    return HubStatus(seen, token[1] if token and not token[0] else None)


def _ask(datasets: Sequence[Dataset], seconds: float) -> tuple[str, int | None]:
    """What the child wrote, and its exit status, None when it was killed.

    Into a file, not a pipe: after the kill there is nothing to wait for.
    """
    command = [sys.executable, "-P", "-m", __name__, json.dumps(datasets)]
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL)
        status = None
        try:
            with suppress(subprocess.TimeoutExpired):
                status = child.wait(seconds)
        finally:
            child.kill()
            with suppress(subprocess.TimeoutExpired):
                child.wait(1)  # so that it leaves no zombie; one that hangs in the kernel is left
        out.seek(0)
        return out.read().decode(errors="replace"), status


def _lines(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """The answers: whole lines of ours; whatever else a library printed is none, and the last may be half of one."""
    for line in text.splitlines():
        with suppress(ValueError, TypeError):
            name, reason, detail = json.loads(line)
            yield name, (reason, detail)


def _answer(datasets: Sequence[Dataset]) -> None:
    """In the child: one line for the token and for each dataset, as they come; one that hangs holds up no other."""
    from huggingface_hub import HfApi, constants, errors, get_token  # noqa: F401 - here, not in 16 threads at once

    with ThreadPoolExecutor(AT_ONCE) as pool:
        pool.submit(_say, "token", lambda: ("", _token_from()))
        for i, (name, revision) in enumerate(datasets):
            pool.submit(_say, str(i), _looking(name, revision))


def _looking(name: str, revision: str | None) -> Callable[[], tuple[str, str]]:
    return lambda: _look(name, revision)


def _say(name: str, find: Callable[[], tuple[str, str]]) -> None:
    try:
        reason, detail = find()
    except Exception as error:  # whatever it is, its name says it; its message is the client's
        reason, detail = SILENT, type(error).__name__
    os.write(1, (json.dumps([name, reason, detail]) + "\n").encode())  # one write a line: threads do not mix


def _look(name: str, revision: str | None) -> tuple[str, str]:
    """One request, and a second where access is gated: a gated dataset's own page is open to all."""
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
    """Where the client finds its token, by its own order; never the token."""
    from huggingface_hub import constants, get_token

    if not get_token():
        return ""
    for name in ("HF_OIDC_RESOURCE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name, "").strip():
            return name
    return "the client's token file" if os.path.exists(constants.HF_TOKEN_PATH) else "the client"


if __name__ == "__main__":
    _answer(json.loads(sys.argv[1]))
