"""Python and libraries against what this package's metadata asks for."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

PACKAGE = "gpts-data"


@dataclass(frozen=True)
class Unmet:
    """A requirement and the version found, "" for none."""

    requirement: Requirement
    found: str


def unmet_requirements(package: str = PACKAGE) -> tuple[int, list[Unmet]]:
    """How many libraries `package` needs (extras left out), and those that are missing or of another version.

    Raises `importlib.metadata.PackageNotFoundError` when the package itself is not installed.
    """
    wanted = [Requirement(line) for line in metadata.requires(package) or ()]
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    found = [Unmet(one, _version(one.name)) for one in wanted]
    return len(wanted), [
        one for one in found if not one.found or not one.requirement.specifier.contains(one.found, prereleases=True)
    ]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def python_wanted(package: str = PACKAGE) -> SpecifierSet:
    """Raises `importlib.metadata.PackageNotFoundError` when the package itself is not installed."""
    return SpecifierSet(metadata.metadata(package)["Requires-Python"] or "")


def python_found() -> str:
    """Without what follows the three numbers: "3.13.0+" of a build from source is no version to `packaging`."""
    return ".".join(map(str, sys.version_info[:3]))
