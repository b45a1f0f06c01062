"""Defenses, one file each; the registry finds them by looking here."""
