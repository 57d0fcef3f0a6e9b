"""The byte-level BPE tokenizer: training it, its artifact on disk, and encoding with it."""
