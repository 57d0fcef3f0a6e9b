"""The mix folder: each of its files is written and read here."""
