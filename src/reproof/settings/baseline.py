"""What claims, studies and tables call a network that nothing protects, which every defense is measured beside."""

from __future__ import annotations

UNDEFENDED = "undefended"
"""The defense that adds nothing."""
CLEAN = "clean"
"""The training on clean images alone."""
