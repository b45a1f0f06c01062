"""Base classes of what a study may say, one file per family of plug-ins. Imports no torch."""
