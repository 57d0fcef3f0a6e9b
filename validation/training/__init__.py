"""The bundled GPT-S trainer."""
