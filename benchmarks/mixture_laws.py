"""The mixture law of `search-mix` on RegMix's public swarm: how well it ranks mixtures that it has not seen.

    python -m benchmarks.mixture_laws FOLDER [--subsets 5]

FOLDER holds `data/*.csv` of https://github.com/sail-sg/regmix (MIT license; Liu et al. 2024, arXiv 2407.01492): the
losses on 13 domains of the Pile that 512 models of 1M parameters, each trained on another mixture of 17 domains,
reached, and those of models of 1M, 60M and 1B parameters on unseen mixtures (256, 256 and 64). The law is fitted to
some of the 512 runs. The table shows Spearman's rank correlation of its predictions with the losses of the unseen
mixtures: for the domain Pile-CC; the mean of the 13 domains' correlations; and for the mean of the 13 losses, predicted
by the mean of the 13 laws. Random subsets stand beside those that the rule of `search-mix` chooses (D-optimal) from 340
random runs.
"""

from __future__ import annotations

import csv
from pathlib import Path

import click
import numpy as np

from gpts_data.validation.search.caps import Floats
from gpts_data.validation.search.design import d_optimal, features
from gpts_data.validation.search.law import cross_validate, fit_law, rank_correlation

SIZES = ("1m", "60m", "1B")
RUNS = (34, 51, 68, 512)
POOL = 340
PILE_CC = "metric/the_pile_pile_cc_val_loss"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--subsets", default=5, show_default=True, help="Subsets of the 512 runs for each row; means are printed."
)
def main(folder: Path, subsets: int) -> None:
    mixtures, losses, targets = _read(folder, "train", "1m")
    unseen = {size: _read(folder, "test", size) for size in SIZES}
    pile_cc = targets.index(PILE_CC)
    print(
        "| runs | chosen | Pile-CC: leave-one-out | 1M | 60M | 1B "
        "| mean of 13: 1M | 60M | 1B | their mean: 1M | 60M | 1B |"
    )
    print("|---:|---|" + "---:|" * 10)
    for count in RUNS:
        for chosen in ("random", "D-optimal") if count < POOL else ("all",):
            rows = []
            for subset in range(subsets if count < POOL else 1):
                runs = _choose(mixtures, count, chosen, subset)
                rows.append(_evaluate(mixtures[runs], losses[runs], unseen, pile_cc))
            print(
                f"| {count} | {chosen} | "
                + " | ".join("" if np.isnan(value) else f"{value:.3f}" for value in np.mean(rows, axis=0))
                + " |",
                flush=True,
            )


def _choose(mixtures: Floats, count: int, chosen: str, subset: int) -> np.ndarray:
    order = np.random.default_rng(subset).permutation(len(mixtures))
    return order[d_optimal(features(mixtures[order[:POOL]]), count)] if chosen == "D-optimal" else order[:count]


def _evaluate(mixtures: Floats, losses: Floats, unseen: dict, pile_cc: int) -> list[float]:
    laws = [fit_law(mixtures, column) for column in losses.T]
    each, mean = [], []
    for test_mixtures, test_losses, _ in unseen.values():
        predicted = np.array([law.predict(test_mixtures) for law in laws])
        pairs = zip(predicted, test_losses.T, strict=True)
        each.append([rank_correlation(prediction, measured) for prediction, measured in pairs])
        mean.append(rank_correlation(predicted.mean(axis=0), test_losses.mean(axis=1)))
    correlations = np.array(each)
    # 512 fits to 511 runs would only repeat the fit to all of them.
    check = (
        cross_validate(mixtures, losses[:, pile_cc], laws[pile_cc]).rank_correlation if len(losses) < POOL else np.nan
    )
    return [check, *correlations[:, pile_cc], *correlations.mean(axis=1), *mean]


def _read(folder: Path, part: str, size: str) -> tuple[Floats, Floats, list[str]]:
    """Mixtures (runs, 17), losses (runs, 13) and the names of the losses of one pair of files."""
    (_, mixtures), (names, losses) = (
        _columns(folder / f"{part}_{kind}_{size}.csv") for kind in ("mixture", "pile_loss")
    )
    return mixtures / mixtures.sum(axis=1, keepdims=True), losses, names


def _columns(path: Path) -> tuple[list[str], Floats]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return header[1:], np.array([[float(field) for field in row[1:]] for row in rows])


if __name__ == "__main__":
    main()
