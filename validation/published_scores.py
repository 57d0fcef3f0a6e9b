"""Benchmarks, and published zero-shot scores in percent. This module imports nothing, so that --help stays fast."""

from __future__ import annotations

CHANCE = {  # scores of random guessing
    "hellaswag": 25.0,
    "arc_easy": 25.0,
    "arc_challenge": 25.0,
    "piqa": 50.0,
    "arithmark": 25.0,
    "arithmark_2": 25.0,
    "arithmark_3": 25.0,
    "blimp": 50.0,
}
TASKS = tuple(CHANCE)

CARD_TASKS = ("hellaswag", "arc_easy", "piqa", "arithmark", "blimp")
# From the model card of AxiomicLabs/GPT-S-5M; the last number of a row is the average printed there. All its ArithMark
# scores are multiples of 0.02, which fits the 5,000 questions of the first ArithMark, not the 2,500 of ArithMark 2.
CARD = {
    "GPT-S-5M": (27.39, 33.16, 57.13, 31.5, 72.21, 44.28),
    "pythia-31m": (27.14, 33.88, 56.26, 29.44, 67.78, 42.90),
    "pythia-14m": (26.20, 32.28, 55.88, 28.06, 66.75, 41.83),
    "Spark-5M-Base-v4": (27.03, 33.21, 53.43, 32.70, 62.17, 41.71),
    "Supra-Mini-v5-8M": (26.38, 33.33, 54.03, 27.30, 63.83, 40.97),
    "Supra-Mini-v4-2M": (25.52, 30.98, 51.90, 29.72, 60.57, 39.74),
}

BOARD_TASKS = ("hellaswag", "arc_easy", "arc_challenge", "piqa", "arithmark_3")
BOARD = {  # from the Open SLM Leaderboard, revision 2eafcfc6; the last number of a row is its Int Index
    "SmolLM2-135M": (43.22, 58.63, 29.69, 68.44, 39.20, 27.13),
    "GPT-X2.5-135M": (40.57, 51.81, 29.18, 69.42, 38.40, 25.17),
    "Supra2-100M-Base": (35.98, 47.81, 24.83, 65.40, 36.90, 19.41),
}


def int_index(scores: dict[str, float]) -> float:
    """Return the Open SLM Leaderboard's Int Index from the scores of BOARD_TASKS in percent.

    It is (HellaSwag + ARC + PIQA + 0.65 x ArithMark 3) / 3.65 with each score as 100 x (score - chance) /
    (100 - chance). ARC is the mean of ARC-Easy and ARC-Challenge. Random guessing has 0.
    """
    above_chance = {task: 100 * (scores[task] - CHANCE[task]) / (100 - CHANCE[task]) for task in BOARD_TASKS}
    arc = (above_chance["arc_easy"] + above_chance["arc_challenge"]) / 2
    return (above_chance["hellaswag"] + arc + above_chance["piqa"] + 0.65 * above_chance["arithmark_3"]) / 3.65
