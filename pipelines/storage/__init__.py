"""Files on disk or in an object store: written atomically, locked, and recorded as done by receipts."""
