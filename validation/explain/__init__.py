"""What became of a document: kept, or dropped for which reason."""
