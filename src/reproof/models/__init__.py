"""Classifiers and defenses: the contracts, and what plug-ins share."""
