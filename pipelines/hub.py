"""Hub datasets: the files of a config at one pinned commit, opened as ranged streams.

`datasets` resolves configs and splits, as it does for its own streaming; the bytes come through the hub client's file
system, which is what `datasets` streams from too. HF_ENDPOINT, HF_HOME and HF_TOKEN act as everywhere else.
"""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

from gpts_data.pipelines.errors import RecipeError, SourceUnavailableError

Fetch = Callable[[int, int], bytes]


@dataclass(frozen=True)
class HubFile:
    path: str
    url: str
    size: int
    sha256: str | None


def list_files(dataset: str, config: str | None, split: str, revision: str | None) -> tuple[str, tuple[HubFile, ...]]:
    """The commit that `revision` (default: the newest) names now, and the split's files at it, in the hub's order.

    Raises `RecipeError` for a dataset, revision, config or split that does not exist, `SourceUnavailableError` when the
    hub does not answer.
    """
    from huggingface_hub import HfApi

    what = f"dataset {dataset!r}" + (f" at revision {revision!r}" if revision else "")
    with _hub_errors(what):
        api = HfApi()
        commit = str(api.dataset_info(dataset, revision=revision).sha)
        urls = _data_files(dataset, config, split, commit)
        root = f"hf://datasets/{dataset}@{commit}/"
        paths = [url.removeprefix(root) for url in urls]
        sizes = _sizes(api, dataset, commit, paths)
    return commit, tuple(HubFile(path, root + path, *sizes[path]) for path in paths)


def open_file(url: str) -> IO[bytes]:
    """A seekable stream of `hf://datasets/<id>@<commit>/<path>`.

    Raises `SourceUnavailableError`, here or in a later read, when the hub does not answer.
    """
    from huggingface_hub import HfFileSystem

    # Arrow asks for the column chunks it needs, whole; reading ahead (5 MiB) would fetch the columns between them.
    cache = "none" if url.endswith(".parquet") else "readahead"
    with _hub_errors(url):
        file = HfFileSystem().open(url, "rb", cache_type=cache)
    file.cache.fetcher = _guarded(file.cache.fetcher, url, file.size)
    return cast(IO[bytes], file)


def _guarded(fetch: Fetch, url: str, size: int) -> Fetch:
    """`fetch` with its errors as ours; a wrong length is one, since a proxy that ignores ranges says nothing."""

    def guarded(start: int, end: int) -> bytes:
        with _hub_errors(url):
            content = fetch(start, end)
        expected = min(end, size) - start
        if len(content) != expected:
            raise SourceUnavailableError(
                f"{url}: asked for {expected:,} bytes from {start:,}, got {len(content):,}; "
                "run the same command again, and check the proxy if it stays"
            )
        return content

    return guarded


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
        raise SourceUnavailableError(f"dataset {dataset!r}: the hub did not answer; run the same command again")
    if split not in found:
        raise RecipeError(f"dataset {dataset!r} has no split {split!r}; found {', '.join(map(str, found))}")
    return [str(url) for url in dict.fromkeys(found[split])]


def _sizes(api: Any, dataset: str, commit: str, paths: list[str]) -> dict[str, tuple[int, str | None]]:
    """Size and sha256 (large files only) by path, from one listing of the folder that holds all of them."""
    folder = posixpath.commonpath([posixpath.dirname(path) for path in paths])
    tree = api.list_repo_tree(dataset, folder or None, recursive=True, revision=commit, repo_type="dataset")
    files = (entry for entry in tree if hasattr(entry, "size"))
    return {entry.path: (entry.size, entry.lfs.sha256 if entry.lfs else None) for entry in files}


@contextmanager
def _hub_errors(what: str) -> Iterator[None]:
    """The hub client's errors as ours: a thing that does not exist is the recipe's fault, the rest is the network's.

    The order matters: LocalEntryNotFoundError, no answer and nothing cached, is a FileNotFoundError too, and what is no
    JSON (some proxy's page) is a ValueError like an unknown config.
    """
    from huggingface_hub import errors

    try:
        yield
    except (errors.LocalEntryNotFoundError, json.JSONDecodeError) as error:
        raise _unavailable(what, error) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, FileNotFoundError) as error:
        raise RecipeError(
            f"{what}: not found on the hub, or no data in it; check the id and revision, and log in if it is private"
        ) from error
    except (errors.HTTPError, OSError) as error:
        raise _unavailable(what, error) from error
    except ValueError as error:  # an unknown or missing config, an impossible id: the client's message names it
        raise RecipeError(f"{what}: {' '.join(str(error).split())}") from error


def _unavailable(what: str, error: Exception) -> SourceUnavailableError:
    """Without the client's message: it holds the address, which may be signed."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    reason = f"HTTP {status}" if status else type(error).__name__
    return SourceUnavailableError(f"{what}: the hub did not answer ({reason}); run the same command again when it does")
