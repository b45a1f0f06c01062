"""Claims beside measurements: the only package that imports both."""
