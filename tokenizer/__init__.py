"""Byte-level BPE tokenizers: training, files on disk, encoding."""
