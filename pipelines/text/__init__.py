"""Kernels over UTF-8 text in Arrow buffers: hashing, character classes, normalization, shingles."""
