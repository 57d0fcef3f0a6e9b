"""Reads datasets from the Hugging Face Hub over a network that may fail."""
