"""Basic Iterative Method (Kurakin, Goodfellow and Bengio, 2017; Mustafa 2019, Eq. 11).

FGSM in small steps from the clean image, kept inside the ball:
x_m = clip_ε(x_{m-1} + α sign(∇x L(x_{m-1}, y))).

Not guaranteed: that it converges. The papers' protocol, 10 steps of ε/10, reaches the ball's edge only in
pixels whose gradient never changes sign, so a longer run may well leave less accuracy than it does.
"""

from __future__ import annotations

from typing import ClassVar

from reproof.attacking.batch import Attack
from reproof.attacking.gradient_ascent import GradientAscent
from reproof.settings.attack import Access, Point
from reproof.settings.gradient_ascent import GradientAscentSettings
from reproof.settings.values import Count, Positive


class Settings(GradientAscentSettings):
    """BIM's budgets and steps."""

    title: ClassVar[str] = "BIM"
    family: ClassVar[str] = "gradient signs"
    access: ClassVar[Access] = "gradient"
    iterative: ClassVar[bool] = True
    steps: Count = 10
    """Gradient steps; i in Eq. 11."""
    step_size: Positive = 0.1
    """Length of a step as a fraction of epsilon: 0.1 is the papers' ε/10."""


def build(settings: Settings, point: Point) -> Attack:
    """Return the attack of Eq. 11."""
    return GradientAscent(
        settings.steps,
        settings.step_size,
        loss=settings.loss,
        samples=settings.samples,
        early_stop=settings.early_stop,
    )
