"""Choose mixture weights by evidence: a design of proxy runs, a law fitted to their losses, and the best weights."""
