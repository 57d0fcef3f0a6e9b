"""From clean documents to packed shards of exactly the wanted mix, and back from any token to its document."""
