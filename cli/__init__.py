"""The `gpts-data` command line: options become calls of the other packages, errors become exit codes."""
