"""Are two mixes the same, but for the way in which a library encodes parquet? For mixes of different versions.

usage: compare_mixes.py EXPECTED FOUND
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq

from gpts_data import open_mix

ENCODED = ("manifest.json", "croissant.json")  # these hold the sha256 of the parquet files


def differences(expected: Path, found: Path) -> list[str]:
    """Names of the files that only one of them has, or whose contents differ."""
    names = {
        path.relative_to(folder).as_posix()
        for folder in (expected, found)
        for path in folder.rglob("*")
        if path.is_file()
    }
    return sorted(name for name in names - set(ENCODED) if not _same(expected / name, found / name))


def _same(expected: Path, found: Path) -> bool:
    if not (expected.exists() and found.exists()):
        return False
    if expected.suffix == ".parquet":
        return bool(pq.read_table(expected).equals(pq.read_table(found)))
    return expected.read_bytes() == found.read_bytes()


if __name__ == "__main__":
    folders = Path(sys.argv[1]), Path(sys.argv[2])
    digests = [open_mix(folder).manifest["root_digest"] for folder in folders]
    for folder, digest in zip(folders, digests, strict=True):
        print(f"{folder}: root digest {digest}")
    if different := differences(*folders):
        sys.exit(f"these files differ: {', '.join(different)}")
    if digests[0] != digests[1]:
        sys.exit("the files have the same contents, but the root digests differ")
    print("the contents and the root digests are the same")
