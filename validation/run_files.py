"""The JSON files of a training run, as types that are checked when the files are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypedDict, TypeVar

from msgspec import Meta

from gpts_data.mixer.format.manifest_types import SourceName
from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.typed_json import Count, JsonError, Sha256, convert, read_json_file

Content = TypeVar("Content")
Size = Annotated[int, Meta(ge=1, le=1 << 24)]


class RunResult(TypedDict):
    """What is read again of result.json. Losses and entropy are in nats per token."""

    parameters: Count
    steps: Annotated[int, Meta(ge=1, le=10**9)]
    first_loss: float
    last_loss: float
    unigram_entropy: float
    validation_bits_per_byte: dict[str, float | None]
    """By source; None for a source without held-out documents."""
    tokens: Count
    epochs: float
    mix_root_digest: Sha256


class ModelSizes(TypedDict):
    """config.json: the sizes of a model, as in GPTSConfig."""

    vocab_size: Size
    width: Size
    layers: Size
    heads: Size
    kv_heads: Size
    head_dim: Size
    ffn: Size
    context: Size
    rope_theta: Annotated[float, Meta(gt=0)]
    norm_eps: Annotated[float, Meta(gt=0)]


class SourceOfRun(TypedDict):
    """A source of the recipe in mix.json."""

    name: SourceName
    weight: float
    dataset: str | None


class RecipeOfRun(TypedDict):
    """The recipe in mix.json."""

    name: str
    source: list[SourceOfRun]


class CountsOfRun(TypedDict):
    """A source in mix.json."""

    tokens: Count
    revision: str | None


class MixOfRun(TypedDict):
    """What is read again of mix.json, the manifest of the mix that the run was trained on."""

    recipe: RecipeOfRun
    sources: dict[str, CountsOfRun]
    tokens: Count
    root_digest: Sha256


def read_run_file(path: Path, kind: type[Content]) -> Content:
    """Read a JSON file of a run. Raises `UsageError` when it is missing, or has other content than a run writes."""
    try:
        return read_json_file(path, kind)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{path.parent}: no {path.name}; expected the folder of a finished smoke-train run") from error
    except (JsonError, OSError) as error:
        raise _damaged(path, error) from error


def read_as(path: Path, kind: type[Content]) -> Content:
    """Read a JSON file of a run as an object of a dataclass. Raises as `read_run_file` does."""
    values = read_run_file(path, dict[str, Any])
    try:
        return convert(values, kind)
    except JsonError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UsageError:
    return UsageError(f"{path}: {error}; the run is damaged: delete {path.parent}, or train in another folder")


def read_mix(run: Path) -> MixOfRun:
    """Read mix.json of a run. Raises `UsageError`."""
    path = run / "mix.json"
    mix = read_run_file(path, MixOfRun)
    for source in mix["recipe"]["source"]:
        if source["name"] not in mix["sources"]:
            raise UsageError(f"{path}: no counts of source {source['name']!r}; the run is damaged: train again")
    return mix


def read_result(run: Path) -> RunResult:
    """Read the result of a run. Raises `UsageError`."""
    return read_run_file(run / "result.json", RunResult)
