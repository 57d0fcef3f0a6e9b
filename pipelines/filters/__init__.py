"""Quality filters: datatrove's rules with the same verdicts, as kernels over Arrow buffers."""
