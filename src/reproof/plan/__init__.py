"""From a study to its jobs: files, slices, code digests, estimates. Imports no torch."""
