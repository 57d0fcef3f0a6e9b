"""Hub datasets: the files of a config at one pinned commit, opened as ranged streams.

`datasets` resolves configs and splits, as it does for its own streaming; the bytes come through the hub client's file
system, which is what `datasets` streams from too. HF_ENDPOINT, HF_HOME and HF_TOKEN act as everywhere else.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

from gpts_data.pipelines.errors import RecipeError, SourceUnavailableError


@dataclass(frozen=True)
class HubFile:
    path: str
    url: str
    size: int
    sha256: str | None


def list_files(dataset: str, config: str | None, split: str, revision: str | None) -> tuple[str, tuple[HubFile, ...]]:
    """The commit that `revision` (default: the newest) names now, and the split's files at it, in the hub's order.

    Raises `RecipeError` for a dataset, config or split that does not exist, `SourceUnavailableError` when the hub does
    not answer.
    """
    import datasets
    from huggingface_hub import HfApi

    with _hub_errors(dataset):
        commit = HfApi().dataset_info(dataset, revision=revision).sha
        builder = datasets.load_dataset_builder(dataset, config, revision=commit)
        found = builder.config.data_files
        if split not in found:
            raise RecipeError(f"dataset {dataset!r} has no split {split!r}; found {', '.join(found)}")
        root = f"hf://datasets/{dataset}@{commit}/"
        paths = [str(url).removeprefix(root) for url in found[split]]
        sizes = _sizes(HfApi(), dataset, str(commit), paths)
    return str(commit), tuple(HubFile(path, root + path, *sizes[path]) for path in paths)


def open_file(url: str) -> IO[bytes]:
    """A seekable stream of `hf://datasets/<id>@<commit>/<path>`."""
    from huggingface_hub import HfFileSystem

    with _hub_errors(url):
        return cast(IO[bytes], HfFileSystem().open(url, "rb"))


def _sizes(api: Any, dataset: str, commit: str, paths: list[str]) -> dict[str, tuple[int, str | None]]:
    """Size and sha256 (large files only) by path, from one listing of the folder that holds all of them."""
    folder = posixpath.commonpath([posixpath.dirname(path) for path in paths]) if paths else ""
    tree = api.list_repo_tree(dataset, folder or None, recursive=True, revision=commit, repo_type="dataset")
    files = (entry for entry in tree if hasattr(entry, "size"))
    return {entry.path: (entry.size, entry.lfs.sha256 if entry.lfs else None) for entry in files}


@contextmanager
def _hub_errors(what: str) -> Iterator[None]:
    """The hub client's errors as ours: a thing that does not exist is the recipe's fault, the rest is the network's."""
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        yield
    except (RepositoryNotFoundError, RevisionNotFoundError, DatasetNotFoundError) as error:
        raise RecipeError(
            f"{what}: not found on the hub; check the dataset id and revision (is it private?)"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise SourceUnavailableError(
            f"{what}: the hub did not answer ({type(error).__name__}); run the same command again when it does"
        ) from error
