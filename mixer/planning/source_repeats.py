"""How much of a source repeats earlier documents of the same source, file by file.

Most copies lie in one file: pages made from one template, sections of one book. A sample has a larger share of one file
than of another, and a build that reads a part of the source may read some files whole. Therefore the duplicates within
each file are fitted by the share of that file in the sample, and those between files by the share of the source.
Files of which the sample has too little are taken together.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpts_data.mixer.planning.repeats import GroupedSightings, Repeats

TOGETHER = ""  # the group of the pieces of files of which the sample has little
RESAMPLES = 100  # of the interval
INTERVAL = (2.5, 97.5)  # percentiles
RULE_OF_THREE = 3.0  # what was seen 0 times is expected at most so often, with 95% confidence


class SourceRepeats:
    """The duplicates within a source, counted in documents or in tokens."""

    def __init__(
        self,
        sightings: GroupedSightings,
        sampled: float,
        sampled_files: Mapping[str, float],
        *,
        all_files: bool,
    ) -> None:
        """sightings: in the sample, with a group for each of `sampled_files`. sampled: share of the source in it.

        sampled_files: by name the share of each file that is in the sample, for files of which it has enough.
        all_files: these are all files of the source, so that each counts by its size, not by that of its sample.
        """
        self._sightings, self._sampled, self._sampled_files = sightings, sampled, sampled_files
        self._totals = {
            name: group.total / (sampled_files.get(name, sampled) if all_files else 1.0)
            for name, group in sightings.groups.items()
        }
        self._fits, self._across = self._fit(None)
        self._shares: dict[float, float] = {}

    def share(self, part: float = 1.0) -> float:
        """Share of duplicates in what is read when that is `part` of the source, spread over all of it."""
        if part not in self._shares:
            self._shares[part] = self._share(self._fits, self._across, part)
        return self._shares[part]

    def share_of_file(self, name: str, part_of_file: float, part: float) -> float:
        """Share of duplicates in a file of which `part_of_file` is read, and `part` of the source."""
        if name not in self._sampled_files or name not in self._fits:
            return self.share(part)
        return _together(self._fits[name].share(part_of_file), self._across.share(part))

    def interval(self, *, unseen: bool) -> tuple[float, float]:
        """95% interval of `share()`. `unseen`, of documents only: it includes pairs too rare to be in the sample."""
        documents = sum(group.total for group in self._sightings.groups.values())
        if self._sampled >= 1 or not documents:
            return self.share(), self.share()
        rng = np.random.default_rng(0)
        low, high = np.percentile([self._share(*self._fit(rng), 1.0) for _ in range(RESAMPLES)], INTERVAL)
        rare = RULE_OF_THREE / self._sampled / documents if unseen else 0.0  # 3 / sampled^2 of all documents / sampled
        return float(low), min(max(float(high), rare), 1.0)

    def _fit(self, rng: np.random.Generator | None) -> tuple[dict[str, Repeats], Repeats]:
        fits = {
            name: group.fit(self._sampled_files.get(name, self._sampled), rng)
            for name, group in self._sightings.groups.items()
        }
        return fits, self._sightings.across.fit(self._sampled, rng)

    def _share(self, fits: Mapping[str, Repeats], across: Repeats, part: float) -> float:
        duplicates = sum(fits[name].share(part) * total for name, total in self._totals.items())
        return _together(duplicates / max(sum(self._totals.values()), 1), across.share(part))


def _together(within: float, across: float) -> float:
    """Share of duplicates, when `across` is that in what repeats nothing of its file."""
    return 1 - (1 - within) * (1 - across)
