"""Run searches whose truth is known: planted laws with noise, and noise alone.

    python -m benchmarks.planted_laws [--searches 200]

Each search has the default number of mixtures around random weights, and three runs of the recipe. The losses are those
of a planted law L = c + exp(b + t . p) with normal noise of 0.005 bits per byte, or 1.2 with the same noise. Printed
are: how often the proposal is accepted; the median of the leave-one-out error; which share of unseen mixtures, which
are drawn around the recipe, is predicted within two such errors of the planted law; and what the proposed weights
really gain, in the mean of the accepted proposals and in the worst one.
"""

from __future__ import annotations

import click
import numpy as np

from gpts_data.validation.search.caps import Floats
from gpts_data.validation.search.design import design_runs
from gpts_data.validation.search.law import Law
from gpts_data.validation.search.proposal import Proposal, propose

NOISE = 0.005
SOURCES = (2, 3, 6)
UNSEEN = 200  # mixtures


@click.command()
@click.option("--searches", default=200, show_default=True, help="Number of searches in each row.")
def main(searches: int) -> None:
    print("| sources | truth | accepted | leave-one-out error | within two errors | mean gain | worst gain |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    for sources in SOURCES:
        for planted in (True, False):
            results = [_search(sources, planted, seed) for seed in range(searches)]
            accepted = [gain for is_accepted, _, _, gain in results if is_accepted]
            gains = f"{np.mean(accepted):.4f} | {min(accepted):.4f}" if accepted and planted else " | "
            print(
                f"| {sources} | {'law' if planted else 'noise alone'} | {len(accepted)} of {searches} | "
                f"{np.median([error for _, error, _, _ in results]):.4f} | "
                f"{np.mean([share for _, _, share, _ in results]):.1%} | {gains} |",
                flush=True,
            )


def _search(sources: int, planted: bool, seed: int) -> tuple[bool, float, float, float]:
    """Return whether the proposal is accepted, the leave-one-out error, the share within two errors, the true gain."""
    generator = np.random.default_rng([sources, planted, seed])
    recipe = generator.dirichlet(np.full(sources, 3.0)) * 0.9 + 0.1 / sources
    caps = np.ones(sources)
    mixtures = np.array([run.weights for run in design_runs(recipe, caps, seed)])
    truth = _law(sources, generator) if planted else Law(0.2, 0.0, (0.0,) * sources)
    losses = truth.predict(mixtures) + generator.normal(0, NOISE, len(mixtures))
    proposal = propose(mixtures, losses[:, None], [1], recipe, caps)
    before, after = truth.predict(np.array([recipe, proposal.weights]))
    share = _share_within(proposal, truth, generator.dirichlet(8 * recipe, UNSEEN))
    return proposal.verdict.accepted, proposal.mean_check.error, share, float(before - after)


def _law(sources: int, generator: np.random.Generator) -> Law:
    """A law like those of proxy runs: c of 0.8, and weights that change the loss by 0.1 to 0.5."""
    t = generator.normal(size=sources) * generator.choice([0.3, 0.6, 1.2])
    return Law(0.8, float(generator.normal(-0.7, 0.3)), tuple((t - t.mean()).tolist()))


def _share_within(proposal: Proposal, truth: Law, unseen: Floats) -> float:
    errors = np.abs(proposal.laws[0].predict(unseen) - truth.predict(unseen))
    return float((errors < 2 * proposal.mean_check.error).mean())


if __name__ == "__main__":
    main()
