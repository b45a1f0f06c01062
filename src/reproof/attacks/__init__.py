"""One file per attack: its `Settings`, and `build(settings, point)`, which returns a Foolbox attack."""
