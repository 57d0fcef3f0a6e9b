"""The GPT-S model and its export as a transformers model."""
