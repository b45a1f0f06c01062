"""Studies: YAML files in, frozen typed objects out. Imports no torch."""
