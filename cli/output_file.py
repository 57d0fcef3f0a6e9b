"""Files that commands write beside a mix."""

from __future__ import annotations

from pathlib import Path

from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.paths import AnyPath


def output_file(path: Path, option: str, *mixes: AnyPath) -> Path:
    """The file that `option` names, with symbolic links resolved, so that its target is written and the link stays.

    Raises `UsageError` for stdout, for what is no file, and for a file inside of one of the mixes.
    """
    from gpts_data.pipelines.storage.paths import is_inside

    if str(path) == "-":
        raise UsageError(f"{option} -: it cannot be written to stdout; choose a file name")
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise UsageError(f"{option} {path}: exists and is not a file; choose a file name")
    if any(is_inside(target, mix) for mix in mixes):
        raise UsageError(f"{option} {path}: verify would report an extra file in the mix; choose a path outside of it")
    return target
