"""The `gpts-data` command line: translates options into calls and errors into exit codes, nothing more."""
