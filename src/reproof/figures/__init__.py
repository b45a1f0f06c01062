"""The figures, one file per family. Imports no torch."""
