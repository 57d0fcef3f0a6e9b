"""The recipe that `init` writes for given files: which sources there are, their columns, and the text of the file."""
