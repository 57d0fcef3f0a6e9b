"""Exact, URL and near-duplicate removal over document signatures."""
