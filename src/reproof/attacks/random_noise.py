"""Uniform random noise: the floor that every attack with a gradient must beat.

x_adv = clip(x + ε u, 0, 1) with u uniform in [-1, 1] per pixel and channel. An image keeps the first draw
that fools; one that no draw fools keeps its last, so that it can be shown to another model.

Not guaranteed: anything about robustness. A model that noise fools as often as PGD does hides its gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from reproof.attacking.batch import Attack, Batch
from reproof.attacking.gradient_ascent import random_start
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


@dataclass(frozen=True)
class UniformNoiseAttack:
    """Uniform noise inside the ball, drawn again where it has not fooled."""

    repeats: int

    def perturb(self, batch: Batch) -> Tensor:
        """Return noisy images inside the ball around the batch's, misclassified wherever a draw managed it."""
        best = noisy = random_start(batch, 0)
        left = torch.arange(len(best), device=best.device)
        for draw in range(1, self.repeats):
            left = left[batch.predict(noisy) == batch.labels[left]]
            if not len(left):
                break
            best[left] = noisy = random_start(batch.select(left), draw)
        return best


def build(settings: Settings, point: Point) -> Attack:
    """Return the noise attack."""
    return UniformNoiseAttack(settings.repeats)
