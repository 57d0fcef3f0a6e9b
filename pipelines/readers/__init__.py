"""Readers of source files: files into units, units into batches of documents."""
