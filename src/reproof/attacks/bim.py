"""Basic Iterative Method (Kurakin, Goodfellow and Bengio, 2017; Mustafa 2019, Eq. 11).

FGSM in small steps from the clean image, kept inside the ball:
x_m = clip_ε(x_{m-1} + α sign(∇x L(x_{m-1}, y))).

Not guaranteed: that it converges. The papers' protocol, 10 steps of ε/10, reaches the ball's edge only in
pixels whose gradient never changes sign, so a longer run may well leave less accuracy than it does.
"""

from __future__ import annotations

from typing import ClassVar

from foolbox.attacks.base import Attack
from foolbox.attacks.basic_iterative_method import LinfBasicIterativeAttack

from reproof.attacking.gradient_ascent import Climbing
from reproof.settings.attack import Access, ClimbingSettings, Point
from reproof.settings.values import Count, Positive


class Settings(ClimbingSettings):
    """BIM's budgets and steps."""

    title: ClassVar[str] = "BIM"
    family: ClassVar[str] = "gradient signs"
    access: ClassVar[Access] = "gradient"
    iterative: ClassVar[bool] = True
    steps: Count = 10
    """Gradient steps; i in Eq. 11."""
    step_size: Positive = 0.1
    """Length of a step as a fraction of epsilon: 0.1 is the papers' ε/10."""


class IterativeAttack(Climbing, LinfBasicIterativeAttack):
    """Foolbox's basic iterative attack, started at the clean image."""

    def __init__(self, *, rel_stepsize: float, steps: int):
        super().__init__(rel_stepsize=rel_stepsize, steps=steps, random_start=False)


def build(settings: Settings, point: Point) -> Attack:
    """Return the attack of Eq. 11."""
    return IterativeAttack(
        rel_stepsize=settings.step_size,
        steps=settings.steps,
    ).follow(settings)
