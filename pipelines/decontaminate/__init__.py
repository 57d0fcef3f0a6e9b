"""Finding and dropping documents that contain benchmark questions."""
