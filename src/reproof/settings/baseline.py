"""What claims, studies and tables call a network that nothing protects, which every defense is measured beside."""

from __future__ import annotations

from typing import Literal

UNDEFENDED = "undefended"
"""The defense that adds nothing."""
CLEAN = "clean"
"""The training on clean images alone."""
TrainingAttack = Literal["fgsm", "pgd", "carlini_wagner"]
"""Attacks on whose examples any network can be trained."""


def is_baseline(defense: str, training: str) -> bool:
    """Tell whether a network has no defense and was trained on clean images alone."""
    return (defense, training) == (UNDEFENDED, CLEAN)
