"""Projected Gradient Descent (Madry et al., 2018; Mustafa 2019, Eq. 16 and 17).

BIM from a random point of the ball around the clean image: x_0 = clip(x + U(-ε, ε), 0, 1),
x_m = clip_ε(x_{m-1} + γ sign(∇x L(x_{m-1}, y))). Eq. 17 prints the ball around x_m; it is the clean image's.

With `norm: l2` it is x_m = Π(x_{m-1} + γ g / ‖g‖₂), g the gradient and Π the way back into the L2 ball and then into
[0, 1], and starts at a uniform point of that ball (Madry, Sec. 5 and B.1: the steepest step of the norm).

With restarts, an image keeps the first restart that fools; one that no restart fools keeps the last one's.

Not guaranteed: that it converges (see bim), nor that an image that survives would survive another start.
"""

from __future__ import annotations

from typing import ClassVar

from reproof.attacking.batch import Attack
from reproof.attacking.gradient_ascent import GradientAscent, along
from reproof.settings.attack import Access, BallSettings, Point
from reproof.settings.gradient_ascent import GradientAscentSettings
from reproof.settings.values import Count, Positive


class Settings(BallSettings, GradientAscentSettings):
    """PGD's budgets, steps and restarts."""

    title: ClassVar[str] = "PGD"
    family: ClassVar[str] = "gradient signs"
    access: ClassVar[Access] = "gradient"
    iterative: ClassVar[bool] = True
    randomised: ClassVar[bool] = True
    steps: Count = 10
    """Gradient steps; m in Eq. 16."""
    step_size: Positive = 0.1
    """Length of a step, γ in Eq. 16, as a fraction of epsilon: 0.1 is the papers' ε/10."""
    restarts: Count = 1
    """Runs from different random points; later ones only on images that are still classified correctly."""


def build(settings: Settings, point: Point) -> Attack:
    """Return PGD with its restarts."""
    return GradientAscent(
        settings.steps,
        settings.step_size,
        along(settings.norm),
        random_start=True,
        restarts=settings.restarts,
        loss=settings.loss,
        samples=settings.samples,
        early_stop=settings.early_stop,
        norm=settings.norm,
    )
