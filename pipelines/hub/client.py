"""Hub datasets: the files of a config at one pinned commit, and ranges of their bytes.

`datasets` resolves configs and splits, as it does for its own streaming; the bytes come through the hub client's own
session. HF_ENDPOINT, HF_HOME, HF_TOKEN and proxies act as everywhere else. All of it runs in a child process
(range_fetcher.py). Nothing is tried again here: retry.py does that, around everything.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gpts_data.pipelines.errors import GptsDataError, RecipeError, SourceUnavailableError, StorageError

CARD = "README.md"
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}
_ADDRESS = re.compile(r"hf://datasets/(.+?)@([^/]+)/(.+)")


@dataclass(frozen=True)
class HubFile:
    path: str
    url: str
    size: int
    sha256: str | None


def list_files(
    dataset: str, config: str | None, split: str, revision: str | None, patterns: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[HubFile, ...]]]:
    """Yields one pair: the commit that `revision` (default: the newest) names now, and the split's files at it, in the
    hub's order.

    With `patterns`, which match paths inside the dataset (`*` matches `/` too), config and split are not asked for:
    the only way to a dataset of 67 configs, or to the branch where the hub puts parquet for a dataset of scripts.

    Raises `RecipeError` for a dataset, revision, config or split that does not exist, `SourceUnavailableError` when the
    hub does not answer.
    """
    from huggingface_hub import HfApi

    what = f"dataset {dataset!r}" + (f" at revision {revision!r}" if revision else "")
    with _hub_errors(what):
        api = HfApi()
        commit = str(api.dataset_info(dataset, revision=revision).sha)
        root = f"hf://datasets/{dataset}@{commit}/"
        if patterns:
            paths = _matching(api, dataset, commit, patterns)
        else:
            _fetch_card(api, dataset, commit)
            paths = [url.removeprefix(root) for url in _data_files(dataset, config, split, commit)]
        sizes = _sizes(api, dataset, commit, paths)
    yield commit, tuple(HubFile(path, root + path, *sizes[path]) for path in paths)


def stream(url: str, start: int, stop: int, size: int) -> Iterator[bytes]:
    """Bytes `start..stop` of `hf://datasets/<id>@<commit>/<path>`, a file of `size` bytes, as they arrive.

    Raises `SourceUnavailableError` for anything but exactly those bytes: a proxy that ignores ranges, or answers with
    a page of its own, says 200.
    """
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    dataset, commit, path = _parts(url)
    what = name_of(url)
    address = hf_hub_url(dataset, path, repo_type="dataset", revision=commit)
    headers = {**build_hf_headers(), "Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
    with (
        _hub_errors(what),
        get_session().stream("GET", address, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response,
    ):
        elsewhere = bool(response.history) and response.url.host != response.history[0].url.host  # a CDN
        if elsewhere and response.status_code in (401, 403, 404, 410):  # a signed address that has expired
            raise SourceUnavailableError(f"{what}: {response.url.host} refused (HTTP {response.status_code})")
        hf_raise_for_status(response)
        got, expected = response.headers.get("Content-Range"), f"bytes {start}-{stop - 1}/{size}"
        if response.status_code != 206 or got != expected:
            kind = response.headers.get("Content-Type", "unknown")
            raise SourceUnavailableError(
                f"{what}: asked for {expected}, got HTTP {response.status_code}, {got or 'no range'} ({kind}); "
                "check the proxy if it stays"
            )
        n = 0
        for chunk in response.iter_raw():
            n += len(chunk)
            if n > stop - start:
                break
            yield chunk
    if n != stop - start:
        raise SourceUnavailableError(f"{what}: asked for {stop - start:,} bytes from {start:,}, got {n:,}")


def name_of(url: str) -> str:
    """A hub file for people: which dataset, which path."""
    dataset, _, path = _parts(url)
    return f"{dataset}/{path}"


def _parts(url: str) -> tuple[str, str, str]:
    """Dataset, commit and path of `hf://datasets/<id>@<commit>/<path>`."""
    match = _ADDRESS.fullmatch(url)
    if match is None:
        raise ValueError(url)
    return match[1], match[2], match[3]


def _fetch_card(api: Any, dataset: str, commit: str) -> None:
    """Put README.md, which declares the configs, into the client's cache, whole: `datasets` looks there first, and
    what else it gets, such as some proxy's page, it takes for a dataset without configs."""
    tree = api.list_repo_tree(dataset, revision=commit, repo_type="dataset")
    blob = next((entry.blob_id for entry in tree if entry.path == CARD), None)
    if blob is None:
        return
    path = Path(api.hf_hub_download(dataset, CARD, revision=commit, repo_type="dataset"))
    content = path.read_bytes()
    if hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() != blob:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise SourceUnavailableError(f"dataset {dataset!r}: {CARD} came damaged")


def _data_files(dataset: str, config: str | None, split: str, commit: str) -> list[str]:
    """The addresses of a split's files, each once."""
    import datasets

    if os.path.isdir(dataset):
        raise RecipeError(
            f"dataset {dataset!r} is also a folder here, which the datasets library would take instead; "
            "run from another folder, or use files = to read that one"
        )
    found = datasets.load_dataset_builder(dataset, config, revision=commit).config.data_files
    if not found:  # it fell back on what an earlier load_dataset left in its cache, at whatever revision
        raise SourceUnavailableError(f"dataset {dataset!r}: the hub did not answer")
    if split not in found:
        raise RecipeError(f"dataset {dataset!r} has no split {split!r}; found {', '.join(map(str, found))}")
    return [str(url) for url in dict.fromkeys(found[split])]


def _matching(api: Any, dataset: str, commit: str, patterns: tuple[str, ...]) -> list[str]:
    """The paths that match, by pattern and then by name, each once."""
    tree = api.list_repo_tree(dataset, recursive=True, revision=commit, repo_type="dataset")
    names = sorted(entry.path for entry in tree if hasattr(entry, "size"))
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            some = ", ".join(names[:3]) or "no file"
            raise RecipeError(f"dataset {dataset!r}: files = {pattern!r} matches none of its {len(names)}: {some}, ...")
    return list(dict.fromkeys(name for pattern in patterns for name in names if fnmatchcase(name, pattern)))


def _sizes(api: Any, dataset: str, commit: str, paths: list[str]) -> dict[str, tuple[int, str | None]]:
    """Size and sha256 (large files only) by path, from one listing of the folder that holds all of them."""
    folder = posixpath.commonpath([posixpath.dirname(path) for path in paths])
    tree = api.list_repo_tree(dataset, folder or None, recursive=True, revision=commit, repo_type="dataset")
    files = (entry for entry in tree if hasattr(entry, "size"))
    return {entry.path: (entry.size, entry.lfs.sha256 if entry.lfs else None) for entry in files}


@contextmanager
def _hub_errors(what: str) -> Iterator[None]:
    """The hub client's errors as ours: a thing that does not exist is the recipe's fault, the rest is the network's.

    What is no JSON (some proxy's page) is a ValueError like an unknown config, and `datasets` says "not found" of what
    it could not ask for, so the cause decides.
    """
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise RecipeError(f"{what}: HF_HUB_OFFLINE is set; unset it, or use files = to read local files") from error
    except (errors.LocalEntryNotFoundError, json.JSONDecodeError) as error:  # no answer, and nothing cached
        raise _unavailable(what, error) from error
    except errors.GatedRepoError as error:
        raise RecipeError(
            f"{what}: gated; accept its terms on the hub and log in (hf auth login, or HF_TOKEN)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise RecipeError(
            f"{what}: the hub has no such revision; if it once had, the dataset's history was rewritten, and a build "
            "begun at that commit cannot go on: use a new --out"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RemoteEntryNotFoundError, FileNotFoundError) as error:
        if passing := _passing(error):
            raise _unavailable(what, passing) from error
        raise RecipeError(
            f"{what}: not found on the hub, or no data in it; check the id and revision, and log in if it is private"
        ) from error
    except (errors.HTTPError, OSError) as error:
        raise _final(what, error) or _unavailable(what, error) from error
    except ValueError as error:  # an unknown or missing config, an impossible id: the client's message names it
        if passing := _passing(error):
            raise _unavailable(what, passing) from error
        raise RecipeError(f"{what}: {' '.join(str(error).split())}") from error


def _final(what: str, error: Exception) -> GptsDataError | None:
    """What a failed request says that asking again does not change."""
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        return StorageError(f"{what}: the hub client cannot use its cache: {error.strerror}; check HF_HOME")
    if getattr(getattr(error, "response", None), "status_code", None) == 401:
        return RecipeError(f"{what}: the hub refuses the token; log in again: hf auth login, or HF_TOKEN")
    if type(error).__name__ == "UnsupportedProtocol":
        return RecipeError(f"{what}: HF_ENDPOINT must begin with https:// or http://")
    return None


def _passing(error: BaseException | None) -> Exception | None:
    """The network's error that `error` comes from, if it does: no answer, a refusal for now, or a page for data."""
    from huggingface_hub import errors

    while error is not None:
        response = getattr(error, "response", None)
        final = response is not None and response.status_code in (401, 403, 404, 410)
        if isinstance(error, (errors.HTTPError, json.JSONDecodeError, ConnectionError)) and not final:
            return error
        error = error.__cause__ or error.__context__
    return None


def _unavailable(what: str, error: Exception) -> SourceUnavailableError:
    """Without the client's message: it holds the address, which may be signed."""
    response = getattr(error, "response", None)
    if response is not None and response.status_code < 500:
        unavailable = SourceUnavailableError(f"{what}: the hub refused (HTTP {response.status_code})")
    else:
        reason = f"HTTP {response.status_code}" if response is not None else type(error).__name__
        unavailable = SourceUnavailableError(f"{what}: the hub did not answer ({reason})")
    unavailable.retry_after = None if response is None else _retry_after(response.headers)
    return unavailable


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds: the hub's rate limit window where it is spent, else Retry-After as seconds or as a date."""
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    told = headers.get("Retry-After", "").strip()
    if told.isascii() and told.isdigit():
        return float(told)
    try:
        return max((parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None
