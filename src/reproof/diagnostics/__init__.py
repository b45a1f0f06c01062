"""Signs that an attack was hampered, and the checklist of good practice. Imports no torch."""
