"""How much text the files of a source have, without a look into each of them.

The footers of the first files that are drawn are read. Further files are taken to have as much text for each byte, in
units of the same size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpts_data.pipelines.readers.source import SourceFile, Unit


class FileSizes:
    """The units of a source's files; of files beyond the first `most` an estimate from their size."""

    def __init__(self, split: Callable[[SourceFile], Sequence[Unit]], most: int) -> None:
        self._split, self._most = split, most
        self._units: dict[str, list[Unit]] = {}
        self._file_bytes = self._text_bytes = self._n_units = 0

    def split(self, file: SourceFile) -> list[Unit]:
        """The units of a file, as `reader.split_units` gives them, or made up from its size; those cannot be read."""
        if file.name not in self._units and len(self._units) < self._most:
            units = list(self._split(file))
            self._units[file.name] = units
            self._file_bytes += file.size
            self._text_bytes += sum(unit.text_bytes for unit in units)
            self._n_units += len(units)
        return self._units[file.name] if file.name in self._units else self._made_up(file)

    def is_known(self, unit: Unit) -> bool:
        """Whether the unit's file was split, so that the unit can be read."""
        return unit.file.name in self._units

    def text_bytes(self, files: Sequence[SourceFile]) -> int:
        """Stated bytes of text in these files."""
        split = [unit for file in files for unit in self._units.get(file.name, ())]
        rest = sum(file.size for file in files if file.name not in self._units)
        return sum(unit.text_bytes for unit in split) + int(rest * self._ratio)

    @property
    def _ratio(self) -> float:
        return self._text_bytes / max(self._file_bytes, 1)

    def _made_up(self, file: SourceFile) -> list[Unit]:
        text_bytes = int(file.size * self._ratio)
        unit_bytes = max(self._text_bytes // max(self._n_units, 1), 1)
        count = max(round(text_bytes / unit_bytes), 1)
        return [Unit(file, number, number + 1, text_bytes // count) for number in range(count)]
