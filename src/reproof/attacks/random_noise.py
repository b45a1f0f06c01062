"""Uniform random noise: the floor that every attack with a gradient must beat.

x_adv = clip(x + ε u, 0, 1) with u uniform in [-1, 1] per pixel and channel. An image keeps the first draw
that fools; one that no draw fools keeps its last, so that it can be shown to another model.

Not guaranteed: anything about robustness. A model that noise fools as often as PGD does hides its gradients.
Foolbox's own noise attack is not used: it scales by the largest, not the largest absolute, draw and so can
leave the ball.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from foolbox.attacks.base import Attack, FixedEpsilonAttack, T
from foolbox.criteria import Misclassification
from foolbox.distances import linf
from foolbox.models.base import Model

from reproof.attacking.image_noise import Noisy
from reproof.attacking.untargeted import unpack
from reproof.settings.attack import Access, EpsilonAttackSettings, Point
from reproof.settings.cost import FORWARD
from reproof.settings.values import Count


class Settings(EpsilonAttackSettings):
    """The noise's budgets and draws."""

    title: ClassVar[str] = "Random noise"
    family: ClassVar[str] = "random noise"
    access: ClassVar[Access] = "decision"
    randomised: ClassVar[bool] = True
    baseline: ClassVar[bool] = True
    takes_view: ClassVar[bool] = False
    repeats: Count = 10
    """Draws per image; later ones only for images that are still classified correctly."""

    def passes(self) -> float:
        """Return the passes forward that show which images need another draw."""
        return FORWARD * (self.repeats - 1)


class UniformNoiseAttack(Noisy, FixedEpsilonAttack):
    """Uniform noise inside the ball, drawn again where it has not fooled."""

    distance = linf

    def __init__(self, *, repeats: int):
        self.repeats = repeats

    def run(
        self, model: Model, inputs: T, criterion: Misclassification | T, *, epsilon: float, **kwargs: Any
    ) -> T:
        """Return noisy images inside the ball around `inputs`, misclassified wherever a draw managed it."""
        clean, labels, restore = unpack("random noise", inputs, criterion, kwargs)
        best = (clean + epsilon * self.draw_uniform(clean, 0)).clamp(*model.bounds)
        left = torch.arange(len(clean), device=clean.device)
        noisy = best
        for draw in range(1, self.repeats):
            left = left[model(noisy).argmax(dim=-1) == labels[left]]
            if not len(left):
                break
            noisy = (clean + epsilon * self.draw_uniform(clean, draw))[left].clamp(*model.bounds)
            best[left] = noisy
        return restore(best)


def build(settings: Settings, point: Point) -> Attack:
    """Return the noise attack."""
    return UniformNoiseAttack(repeats=settings.repeats)
