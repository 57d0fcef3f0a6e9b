"""Published zero-shot scores in percent, for comparison. This module imports nothing, so that --help stays fast."""

from __future__ import annotations

TASKS = ("hellaswag", "arc_easy", "piqa", "arithmark", "blimp")  # the order of the scores below
CHANCE = (25.0, 25.0, 50.0, 25.0, 50.0)  # scores of random guessing
PUBLISHED = {  # from the model card of AxiomicLabs/GPT-S-5M; the last number of a row is the average printed there
    "GPT-S-5M": (27.39, 33.16, 57.13, 31.5, 72.21, 44.28),
    "pythia-31m": (27.14, 33.88, 56.26, 29.44, 67.78, 42.90),
    "pythia-14m": (26.20, 32.28, 55.88, 28.06, 66.75, 41.83),
    "Spark-5M-Base-v4": (27.03, 33.21, 53.43, 32.70, 62.17, 41.71),
    "Supra-Mini-v5-8M": (26.38, 33.33, 54.03, 27.30, 63.83, 40.97),
    "Supra-Mini-v4-2M": (25.52, 30.98, 51.90, 29.72, 60.57, 39.74),
}
