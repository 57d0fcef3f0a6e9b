"""Lists the files of a hub dataset at one pinned commit, and streams ranges of their bytes.

`datasets` resolves configs and splits, as for its own streaming; bytes come through the session of `huggingface_hub`.
HF_ENDPOINT, HF_HOME, HF_TOKEN and proxies therefore work as usual. All of it runs in a worker process
(range_fetcher.py), and nothing is retried here; retry.py does that.
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
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}
_ADDRESS = re.compile(r"hf://datasets/(.+?)@([^/]+)/(.+)")


@dataclass(frozen=True)
class HubFile:
    """A file of a dataset: its path there, its `hf://` address, its size in bytes, and its sha256 if known."""

    path: str
    url: str
    size: int
    sha256: str | None


def list_files(
    dataset: str, config: str | None, split: str, revision: str | None, patterns: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[HubFile, ...]]]:
    """Yield one pair: the commit that `revision` names now, and the files of the split at that commit in hub order.

    revision: a branch, tag or commit; None is the newest commit. patterns: when given, the files whose path inside the
    dataset matches one of them (`*` also matches `/`), instead of those of `config` and `split`. Patterns reach what a
    config cannot: all of a dataset with 67 configs, or the parquet branch of a dataset that is a script.

    Raises `RecipeError` when the dataset, revision, config or split does not exist, `SourceUnavailableError` when the
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
    """Yield bytes `start..stop` of `hf://datasets/<id>@<commit>/<path>`, a file of `size` bytes, as they arrive.

    Raises `SourceUnavailableError` when the answer is anything but exactly those bytes. The status alone does not tell:
    a proxy that ignores ranges, or that answers with a page of its own, sends 200.
    """
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    dataset, commit, path = _parts(url)
    name = name_of(url)
    address = hf_hub_url(dataset, path, repo_type="dataset", revision=commit)
    headers = {**build_hf_headers(), "Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
    with (
        _hub_errors(name),
        get_session().stream("GET", address, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response,
    ):
        is_cdn = bool(response.history) and response.url.host != response.history[0].url.host
        if is_cdn and response.status_code in (401, 403, 404, 410):  # the signed address has expired
            raise SourceUnavailableError(f"{name}: {response.url.host} refused (HTTP {response.status_code})")
        hf_raise_for_status(response)
        content_range, expected = response.headers.get("Content-Range"), f"bytes {start}-{stop - 1}/{size}"
        if response.status_code != 206 or content_range != expected:
            content_type = response.headers.get("Content-Type", "unknown")
            raise SourceUnavailableError(
                f"{name}: asked for {expected}, got HTTP {response.status_code}, {content_range or 'no range'} "
                f"({content_type}); if this repeats, check the proxy"
            )
        received = 0
        for chunk in response.iter_raw():
            received += len(chunk)
            if received > stop - start:
                break
            yield chunk
    if received != stop - start:
        raise SourceUnavailableError(f"{name}: asked for {stop - start:,} bytes from {start:,}, got {received:,}")


def name_of(url: str) -> str:
    """A hub file's name in messages: the dataset's id and the path in it."""
    dataset, _, path = _parts(url)
    return f"{dataset}/{path}"


def _parts(url: str) -> tuple[str, str, str]:
    """Dataset, commit and path of `hf://datasets/<id>@<commit>/<path>`."""
    match = _ADDRESS.fullmatch(url)
    if match is None:
        raise ValueError(url)
    return match[1], match[2], match[3]


def _fetch_card(api: Any, dataset: str, commit: str) -> None:
    """Download README.md, which declares the configs, into the client's cache and check its digest.

    `datasets` looks there first. If it downloaded a damaged one, such as a proxy's page, it would see no configs.
    """
    tree = api.list_repo_tree(dataset, revision=commit, repo_type="dataset")
    blob = next((entry.blob_id for entry in tree if entry.path == CARD), None)
    if blob is None:
        return
    path = Path(api.hf_hub_download(dataset, CARD, revision=commit, repo_type="dataset"))
    content = path.read_bytes()
    if hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() != blob:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise SourceUnavailableError(f"dataset {dataset!r}: {CARD} arrived damaged")


def _data_files(dataset: str, config: str | None, split: str, commit: str) -> list[str]:
    """Addresses of the files of a split, without duplicates."""
    import datasets

    if os.path.isdir(dataset):
        raise RecipeError(
            f"dataset {dataset!r} is also a folder here, which the datasets library would read instead; "
            "run the command in another folder, or use files = to read this folder"
        )
    splits = datasets.load_dataset_builder(dataset, config, revision=commit).config.data_files
    if not splits:  # offline, it falls back on what an earlier load_dataset cached, of any revision
        raise SourceUnavailableError(f"dataset {dataset!r}: the hub did not answer")
    if split not in splits:
        raise RecipeError(f"dataset {dataset!r} has no split {split!r}; found {', '.join(map(str, splits))}")
    return [str(url) for url in dict.fromkeys(splits[split])]


def _matching(api: Any, dataset: str, commit: str, patterns: tuple[str, ...]) -> list[str]:
    """Paths that match a pattern, in the order of the patterns and then by name, without duplicates."""
    tree = api.list_repo_tree(dataset, recursive=True, revision=commit, repo_type="dataset")
    names = sorted(entry.path for entry in tree if hasattr(entry, "size"))
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            examples = ", ".join(names[:3]) or "no file"
            raise RecipeError(
                f"dataset {dataset!r}: files = {pattern!r} matches none of its {len(names)} files: {examples}, ..."
            )
    return list(dict.fromkeys(name for pattern in patterns for name in names if fnmatchcase(name, pattern)))


def _sizes(api: Any, dataset: str, commit: str, paths: list[str]) -> dict[str, tuple[int, str | None]]:
    """Size and sha256 (None for small files) by path, from one listing of the folder that holds all `paths`."""
    folder = posixpath.commonpath([posixpath.dirname(path) for path in paths])
    tree = api.list_repo_tree(dataset, folder or None, recursive=True, revision=commit, repo_type="dataset")
    files = (entry for entry in tree if hasattr(entry, "size"))
    return {entry.path: (entry.size, entry.lfs.sha256 if entry.lfs else None) for entry in files}


@contextmanager
def _hub_errors(what: str) -> Iterator[None]:
    """Turn errors of the hub client into ours: `RecipeError` when what the recipe names does not exist, `StorageError`
    when the cache cannot be written, `SourceUnavailableError` for all that may succeed later.

    The class of an error does not always tell: an answer that is no JSON, such as a proxy's page, is a `ValueError`
    like an unknown config, and `datasets` reports "not found" for what it could not ask for. So causes are checked too.
    """
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise RecipeError(f"{what}: HF_HUB_OFFLINE is set; unset it, or use files = to read local files") from error
    except (errors.LocalEntryNotFoundError, json.JSONDecodeError) as error:  # no answer, nothing cached
        raise _unavailable(what, error) from error
    except errors.GatedRepoError as error:
        raise RecipeError(
            f"{what}: gated; accept its terms on the hub and log in (hf auth login, or HF_TOKEN)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise RecipeError(
            f"{what}: the hub has no such revision. If it had one, the dataset's history was rewritten, and a build "
            "that began at that commit cannot continue: use a new --out"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RemoteEntryNotFoundError, FileNotFoundError) as error:
        if temporary := _temporary(error):
            raise _unavailable(what, temporary) from error
        raise RecipeError(
            f"{what}: not found on the hub, or no data in it; check the id and revision, and log in if it is private"
        ) from error
    except (errors.HTTPError, OSError) as error:
        raise _permanent(what, error) or _unavailable(what, error) from error
    except ValueError as error:  # an unknown or missing config, an impossible id: the client's message names it
        if temporary := _temporary(error):
            raise _unavailable(what, temporary) from error
        raise RecipeError(f"{what}: {' '.join(str(error).split())}") from error


def _permanent(what: str, error: Exception) -> GptsDataError | None:
    """Our error for a failed request that would fail again; None for one that may succeed later."""
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return StorageError(f"{what}: the hub client cannot use its cache: {error.strerror}; check HF_HOME")
    if getattr(getattr(error, "response", None), "status_code", None) == 401:
        return RecipeError(f"{what}: the hub refuses the token; log in again: hf auth login, or HF_TOKEN")
    if type(error).__name__ == "UnsupportedProtocol":
        return RecipeError(f"{what}: HF_ENDPOINT must begin with https:// or http://")
    return None


def _temporary(error: BaseException | None) -> Exception | None:
    """The network error among the causes of `error`: no answer, a temporary refusal, or a page instead of JSON."""
    from huggingface_hub import errors

    while error is not None:
        response = getattr(error, "response", None)
        permanent = response is not None and response.status_code in (401, 403, 404, 410)
        if isinstance(error, (errors.HTTPError, json.JSONDecodeError, ConnectionError)) and not permanent:
            return error
        error = error.__cause__ or error.__context__
    return None


def _unavailable(what: str, error: Exception) -> SourceUnavailableError:
    """Our error for a request that may succeed later, without the client's message: it may hold a signed address."""
    response = getattr(error, "response", None)
    if response is not None and response.status_code < 500:
        unavailable = SourceUnavailableError(f"{what}: the hub refused (HTTP {response.status_code})")
    else:
        reason = f"HTTP {response.status_code}" if response is not None else type(error).__name__
        unavailable = SourceUnavailableError(f"{what}: the hub did not answer ({reason})")
    unavailable.retry_after = None if response is None else _retry_after(response.headers)
    return unavailable


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: until the rate limit resets if it is used up, else Retry-After, in seconds or as a date."""
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None
