"""The commands as functions, for notebooks and other programs: the implementation of `import gpts_data`.

Import them from `gpts_data`, where they load on first use. Everywhere here:

- A recipe is the name of a preset, the path of a TOML file, or a `Recipe`.
- A quantity is a number, or a string such as "3M" or "25B".
- A folder is a path, or the URL of an object store such as s3://bucket/mix.
- `progress` is None for a bar in a terminal or a notebook and nothing elsewhere, True to see it everywhere, False for
  nothing, or a callback (`gpts_data.pipelines.progress.Progress`).
- Every error is one of `gpts_data.pipelines.errors`; its text says what to do next.
- With more than one worker a script needs `if __name__ == "__main__":`, as for multiprocessing.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from gpts_data.mixer.build import Built, build
from gpts_data.mixer.export.export import Exported
from gpts_data.mixer.export.export import export as write_export
from gpts_data.mixer.format.find_document import DocumentLocation, find_documents
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.mix import open_mix as open_folder
from gpts_data.mixer.format.trace import Origin
from gpts_data.mixer.format.trace import trace as trace_token
from gpts_data.mixer.planning.estimate import Estimate, estimate
from gpts_data.mixer.planning.source_estimate import SourceEstimate
from gpts_data.mixer.quantities import parse_quantity
from gpts_data.mixer.recipe import Recipe, check
from gpts_data.mixer.recipe import load_recipe as read_recipe
from gpts_data.pipelines.errors import RecipeError, UsageError
from gpts_data.pipelines.execute import open_engine
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.storage.paths import as_path
from gpts_data.validation.explain.document import DocumentOutcome
from gpts_data.validation.explain.document import explain_document as explain
from gpts_data.validation.inspect import inspect as describe
from gpts_data.validation.mix_summary import MixSummary, SourceSummary
from gpts_data.validation.progress_bar import show_progress
from gpts_data.validation.verify import Problem, warm_up
from gpts_data.validation.verify import verify as find_problems

__all__ = [
    "Built",
    "DocumentLocation",
    "DocumentOutcome",
    "Estimate",
    "Exported",
    "Mix",
    "MixSummary",
    "Origin",
    "Problem",
    "Recipe",
    "SourceEstimate",
    "SourceSummary",
    "build_mix",
    "explain_document",
    "export",
    "inspect",
    "load_recipe",
    "locate_document",
    "open_mix",
    "plan",
    "trace",
    "verify",
]

PRESETS = Path(str(files("gpts_data.cli"))) / "presets"


def load_recipe(recipe: str | Path, tokens: int | str | None = None) -> Recipe:
    """Read a recipe, to look at it or to change it with `dataclasses.replace`.

    Args:
        recipe: Name of a preset, or path of a TOML file.
        tokens: Training tokens, such as "3M", instead of the recipe's own.

    A `Recipe` does not know its folder: pass `recipe_folder` to `plan` and `build_mix` when its sources are local files
    with relative paths. Raises `RecipeError`, naming the key, what was found and what was expected.
    """
    return find_recipe(recipe, tokens)[0]


def plan(
    recipe: str | Path | Recipe,
    *,
    tokens: int | str | None = None,
    workers: int = 1,
    tokenizer: str | Path | None = None,
    recipe_folder: str | Path | None = None,
    progress: Progress | bool | None = None,
) -> Estimate:
    """Estimate tokens, disk, memory and time of a build by running the filters on a sample. Writes nothing.

    Args:
        recipe: Name of a preset, path of a TOML file, or a `Recipe`.
        tokens: Training tokens, such as "3M", instead of the recipe's own.
        workers: Processes that the build would use on this machine, 0 to choose by the size of the job.
        tokenizer: Folder of the tokenizer; without one, a small one is trained on the sample.
        recipe_folder: What relative paths in a `Recipe` start from; the current folder by default.
        progress: Whether to show progress; see the module's docstring.

    Raises `ShortSourceError` when a source cannot fill its share, and the errors of reading sources.
    """
    found, folder = find_recipe(recipe, tokens, recipe_folder)
    with show_progress(progress) as show:
        tokenizer_folder = as_path(tokenizer) if tokenizer else None
        return estimate(found, folder, workers=workers, tokenizer=tokenizer_folder, progress=show)


def build_mix(
    recipe: str | Path | Recipe,
    out: str | Path,
    *,
    tokens: int | str | None = None,
    tokenizer: str | Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    keep_units: str | Path | None = None,
    keep_dropped: int | None = None,
    recipe_folder: str | Path | None = None,
    progress: Progress | bool | None = None,
) -> Built:
    """Build a mix, or continue an interrupted build; a finished mix is left as it is.

    Args:
        recipe: Name of a preset, path of a TOML file, or a `Recipe`.
        out: Folder of the mix.
        tokens: Training tokens, such as "3M", instead of the recipe's own.
        tokenizer: Folder of the tokenizer; without one, it is trained first, as the recipe says.
        workers: Processes on this machine, 0 to choose by the size of the job. The bytes do not depend on it.
        scheduler: Address of a dask scheduler, tcp://host:port, whose workers are used instead.
        keep_units: Folder for the tokenized text, so that another weight, seed or budget reads no text again.
        keep_dropped: Dropped documents to keep as examples, per source and reason, instead of the recipe's number.
        recipe_folder: What relative paths in a `Recipe` start from; the current folder by default.
        progress: Whether to show progress; see the module's docstring.

    Returns `Built`: `manifest` is manifest.json, `created` is False when the folder already held this mix.
    """
    found, folder = find_recipe(recipe, tokens, recipe_folder)
    found = found if keep_dropped is None else replace(found, keep_dropped=keep_dropped)
    with show_progress(progress) as show:
        return build(
            found,
            folder,
            as_path(out),
            tokenizer=as_path(tokenizer) if tokenizer else None,
            workers=workers,
            scheduler=scheduler,
            keep_units=as_path(keep_units) if keep_units else None,
            progress=show,
        )


def open_mix(mix: str | Path | Mix) -> Mix:
    """Open a finished mix for reading: `open_mix("mix").shard(0)[k]` is a window, 512 ids, uint16.

    Args:
        mix: Folder of the mix. A `Mix` is returned as it is.

    Raises `UsageError` when there is no finished mix, `VerificationError` when its manifest is damaged.
    """
    return mix if isinstance(mix, Mix) else open_folder(as_path(mix))


def verify(
    mix: str | Path | Mix,
    *,
    quick: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress | bool | None = None,
) -> list[Problem]:
    """Compare a mix with its manifest, byte by byte. Returns the problems; [] means that the mix is whole.

    Args:
        mix: Folder of the mix, or an open `Mix`.
        quick: Compare names and sizes only.
        workers: Processes that read the files, 0 to choose by the size of the mix.
        scheduler: Address of a dask scheduler, tcp://host:port, whose workers are used instead.
        progress: Whether to show progress; see the module's docstring.
    """
    folder = mix.path if isinstance(mix, Mix) else as_path(mix)
    with show_progress(progress) as show, open_engine(workers, scheduler, warm_up=warm_up) as engine:
        return find_problems(folder, quick=quick, engine=engine, progress=show)


def inspect(mix: str | Path | Mix) -> MixSummary:
    """Read from the manifest what is in a mix: sources, shares, dropped documents, digests.

    Args:
        mix: Folder of the mix, or an open `Mix`.
    """
    return MixSummary.from_json(describe(open_mix(mix)))


def trace(mix: str | Path | Mix, token: int | str) -> Origin:
    """Find the document that a token came from.

    Args:
        mix: Folder of the mix, or an open `Mix`.
        token: Position in the training order, from 0; window k has tokens k * window to (k + 1) * window - 1.

    Raises `UsageError` when there is no such token.
    """
    return trace_token(open_mix(mix), read_quantity(token, "token") if isinstance(token, str) else token)


def locate_document(mix: str | Path | Mix, document_id: str) -> list[DocumentLocation]:
    """Find where a document went: its windows in the training order, in each source that has the id.

    Args:
        mix: Folder of the mix, or an open `Mix`.
        document_id: The id that the source gives it.

    Raises `UsageError` when the mix does not have it, saying why where that is known.
    """
    return find_documents(open_mix(mix), document_id)


def explain_document(mix: str | Path | Mix, document_id: str, sources: str | Path = ".") -> list[DocumentOutcome]:
    """Find out what became of a document: where it is in the mix, or why it was dropped.

    Args:
        mix: Folder of the mix, or an open `Mix`.
        document_id: The id that the source gives it.
        sources: Folder of the recipe, where a dropped document is read again to measure it.

    Raises `UsageError` when no document with this id was read.
    """
    return explain(open_mix(mix), document_id, Path(sources))


def export(mix: str | Path | Mix, format: str, out: str | Path, *, progress: Progress | bool | None = None) -> Exported:
    """Write a mix in the files of another trainer, or continue an interrupted export.

    Args:
        mix: Folder of the mix, or an open `Mix`.
        format: "nanogpt", "llmc", "datatrove", "megatron", "parquet" or "mds".
        out: Folder of the export. Files with the same bytes as the mix's are hard links to them.
        progress: Whether to show progress; see the module's docstring.
    """
    with show_progress(progress) as show:
        return write_export(open_mix(mix), format, Path(out), show)


def find_recipe(
    recipe: str | Path | Recipe, tokens: int | str | None = None, recipe_folder: str | Path | None = None
) -> tuple[Recipe, Path]:
    """The recipe, and the folder that its relative paths start from.

    Raises `RecipeError` for what is neither a file nor a preset, `UsageError` for tokens that are no quantity.
    """
    tokens = None if tokens is None else read_quantity(tokens, "tokens")
    if isinstance(recipe, Recipe):
        recipe = recipe if tokens is None else replace(recipe, tokens=tokens)
        check(recipe)
        return recipe, Path(recipe_folder or ".")
    path = Path(recipe)
    if not path.is_file() and path.name == str(recipe) and not path.suffix:
        path = PRESETS / f"{recipe}.toml"
        if not path.exists():
            names = ", ".join(sorted(preset.stem for preset in PRESETS.glob("*.toml")))
            raise RecipeError(f"no preset is called {str(recipe)!r}; expected one of {names}, or a TOML file")
    return read_recipe(path, tokens), Path(recipe_folder or path.parent)


def read_quantity(value: int | str, name: str) -> int:
    """The number that a string such as "3M" stands for. Raises `UsageError` for anything else."""
    try:
        return parse_quantity(value)
    except ValueError:
        raise UsageError(f"{name} = {value!r}, expected a quantity such as 3M, 25B or 12_000") from None
