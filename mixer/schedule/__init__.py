"""The exact arithmetic of a mix: windows per source, the order of sources, the permutation of windows."""
