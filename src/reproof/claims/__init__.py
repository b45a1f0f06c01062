"""What papers claim: printed numbers, statements, contradictions. Imports no torch."""
