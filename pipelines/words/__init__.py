"""Splitting English text into the words that spaCy would find, without spaCy."""
