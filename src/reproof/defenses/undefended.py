"""Plain training with cross-entropy: the model that no method protects.

It minimises the cross-entropy of the softmax on clean images and adds nothing. Every defense is measured
beside it, and it is the source of transfer attacks ("Softmax", "Baseline" in the papers' tables).
"""

from __future__ import annotations

from typing import ClassVar

from reproof.models.defense import Defense
from reproof.settings.defense import DefenseSettings


class Settings(DefenseSettings):
    """Nothing to set: the training settings say it all."""

    title: ClassVar[str] = "undefended"


class Undefended(Defense[Settings]):
    """Cross-entropy on the deployed classifier's logits."""

    deviations: ClassVar[tuple[str, ...]] = ()
