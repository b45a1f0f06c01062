"""Data sets: fixed splits, prepared files, and what their plug-ins share."""
