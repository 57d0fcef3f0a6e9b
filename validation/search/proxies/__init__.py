"""The proxy runs of a search: the pool of windows, virtual mixtures over it, the model, and what it is measured on."""
