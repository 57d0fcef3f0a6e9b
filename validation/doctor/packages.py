"""Compares the installed Python and libraries with the requirements in this package's metadata."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

PACKAGE = "gpts-data"


@dataclass(frozen=True)
class Unmet:
    """A requirement that is not met."""

    requirement: Requirement
    found: str
    """Installed version; "" when the library is missing."""


def unmet_requirements(package: str = PACKAGE) -> tuple[int, list[Unmet]]:
    """Return how many libraries `package` requires without its extras, and the requirements that are not met.

    Raises `importlib.metadata.PackageNotFoundError` when the package itself is not installed.
    """
    declared = [Requirement(line) for line in metadata.requires(package) or ()]
    required = [
        requirement for requirement in declared if not requirement.marker or requirement.marker.evaluate({"extra": ""})
    ]
    versions = [(requirement, _version(requirement.name)) for requirement in required]
    return len(required), [
        Unmet(requirement, version)
        for requirement, version in versions
        if not version or not requirement.specifier.contains(version, prereleases=True)
    ]


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""


def required_python(package: str = PACKAGE) -> SpecifierSet:
    """Return the versions of Python that `package` supports.

    Raises `importlib.metadata.PackageNotFoundError` when the package itself is not installed.
    """
    return SpecifierSet(metadata.metadata(package)["Requires-Python"] or "")


def python_version() -> str:
    """Return the version of this Python as three numbers: `packaging` rejects "3.13.0+", a build from source."""
    return ".".join(map(str, sys.version_info[:3]))
