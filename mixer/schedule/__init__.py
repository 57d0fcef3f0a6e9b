"""The exact arithmetic of a mix: budgets, the order of sources, the permutation of windows."""
