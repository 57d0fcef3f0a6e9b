"""Proof that a mix is what it says: verify, inspect, and the GPT-S model that trains on it."""
