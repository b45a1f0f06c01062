"""Momentum Iterative Method (Dong et al., 2018; Mustafa 2019, Eq. 12 and 13).

BIM along a gradient that remembers: g_m = μ g_{m-1} + ∇x L / ‖∇x L‖₁, x_m = clip_ε(x_{m-1} + α sign(g_m)).
Each image's gradient is divided by its own L1 norm before it is added, and the sign is taken only of the sum;
Foolbox's attack of the same name adds up signs instead.

Not guaranteed: that it beats BIM on the model it differentiates. Momentum is there for transfer.
"""

from __future__ import annotations

from typing import ClassVar

from reproof.attacking.batch import Attack
from reproof.attacking.gradient_ascent import GradientAscent, momentum_sign
from reproof.settings.attack import Access, Point
from reproof.settings.gradient_ascent import GradientAscentSettings
from reproof.settings.values import Count, NonNegative, Positive


class Settings(GradientAscentSettings):
    """MIM's budgets, steps and memory."""

    title: ClassVar[str] = "MIM"
    family: ClassVar[str] = "gradient signs"
    access: ClassVar[Access] = "gradient"
    iterative: ClassVar[bool] = True
    steps: Count = 10
    """Gradient steps; i in Eq. 13."""
    step_size: Positive = 0.1
    """Length of a step as a fraction of epsilon: 0.1 is the papers' ε/10."""
    decay: NonNegative = 1.0
    """Decay factor: μ in Eq. 12; 0 forgets, which is BIM."""


def build(settings: Settings, point: Point) -> Attack:
    """Return the attack of Eq. 12 and 13."""
    return GradientAscent(
        settings.steps,
        settings.step_size,
        momentum_sign(settings.decay),
        loss=settings.loss,
        samples=settings.samples,
        early_stop=settings.early_stop,
    )
