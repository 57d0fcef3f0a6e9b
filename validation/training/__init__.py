"""The bundled trainer of GPT-S, and checks of the data before it starts."""
