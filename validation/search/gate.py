"""Whether the evidence is good enough to change the recipe's weights, and if not, why, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpts_data.validation.search.caps import Floats

LEAST_RANK_CORRELATION = 0.8
LEAST_GAIN = 2.0
"""By how many standard deviations of runs that differ only in the seed the predicted loss must fall."""

LARGE = (
    "There are too few runs, or too few tokens per run, to trust the gain that it predicts: search again with more of "
    "them, in a new folder."
)
SMALL = (
    "The gain that it predicts is small as well, so the weights probably matter little for this target; only a search "
    "with more runs or more tokens per run, in a new folder, could tell more."
)


@dataclass(frozen=True)
class Verdict:
    """The decision about proposed weights, and what it rests on."""

    rank_correlation: float
    """Spearman's correlation of the weighted loss and its leave-one-out predictions. On RegMix's swarm it is near that
    on unseen mixtures, and rather below it (benchmarks/mixture_laws.py)."""
    gain: float
    """Predicted loss of the recipe's weights minus that of the proposed ones, in the unit of the losses."""
    noise: float | None
    """Standard deviation of runs that differ only in the seed, in the unit of the losses; None without such runs."""
    reasons: tuple[str, ...]
    """Sentences that say why the recipe's weights stay; empty when the proposed ones are accepted."""

    @property
    def accepted(self) -> bool:
        """Whether the proposed weights should replace the recipe's."""
        return not self.reasons


def judge(rank_correlation: float, gain: float, noise: float | None) -> Verdict:
    """The verdict on proposed weights; the arguments are the fields of `Verdict`."""
    reasons = []
    is_small = noise is not None and not gain > LEAST_GAIN * noise
    if not rank_correlation >= LEAST_RANK_CORRELATION:
        reasons.append(
            f"The law does not rank mixtures that it was not fitted to: leave-one-out rank correlation "
            f"{rank_correlation:.2f}, expected {LEAST_RANK_CORRELATION} or more. {SMALL if is_small else LARGE}"
        )
    if noise is None:
        reasons.append(
            "No two runs differ only in the seed, so the noise is unknown. Train the recipe's weights twice."
        )
    elif is_small:
        reasons.append(
            f"The predicted gain of {gain:.4f} is within the noise: runs that differ only in the seed have a standard "
            f"deviation of {noise:.4f}, expected a gain above {LEAST_GAIN:g} of them, {LEAST_GAIN * noise:.4f}. As far "
            f"as these runs can tell, the recipe's weights are as good as the best ones."
        )
    return Verdict(rank_correlation, gain, noise, tuple(reasons))


def seed_noise(mixtures: Floats, losses: Floats) -> float | None:
    """Standard deviation of the losses of runs with equal weights, pooled over mixtures; None when all differ.

    `mixtures`: shape (runs, sources). `losses`: shape (runs,).
    """
    _, group = np.unique(mixtures, axis=0, return_inverse=True)
    groups = [losses[group.reshape(-1) == i] for i in range(group.max() + 1)]
    freedom = sum(len(values) - 1 for values in groups)
    if freedom == 0:
        return None
    return float(np.sqrt(sum(((values - values.mean()) ** 2).sum() for values in groups) / freedom))
