"""Fast Gradient Sign Method (Goodfellow, Shlens and Szegedy, 2015; Mustafa 2019, Eq. 10).

One step of length epsilon along the sign of the loss's gradient: x_adv = clip(x + ε sign(∇x L(x, y)), 0, 1).

Not guaranteed: that the loss rises. The step is right for a linear model only; on a curved one a smaller
epsilon, or an iterated attack, may do better. A gradient of exactly zero leaves its pixel where it was.
"""

from __future__ import annotations

from typing import ClassVar

from reproof.attacking.batch import Attack
from reproof.attacking.gradient_ascent import GradientAscent
from reproof.settings.attack import Access, EpsilonAttackSettings, Point


class Settings(EpsilonAttackSettings):
    """FGSM has nothing to set but its budgets. The engine takes one gradient for all of them."""

    title: ClassVar[str] = "FGSM"
    family: ClassVar[str] = "gradient signs"
    access: ClassVar[Access] = "gradient"


def build(settings: Settings, point: Point) -> Attack:
    """Return one step as long as the budget."""
    return GradientAscent(steps=1, step_size=1.0)
