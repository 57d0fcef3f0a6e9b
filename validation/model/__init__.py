"""The GPT-S model and its export for transformers."""
