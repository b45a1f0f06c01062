"""Gradient ensemble attack (Seiler, Trautmann and Kerschke, 2020, Sec. III, Eq. 2 and 3).

BIM along the gradients of several networks: each network's gradient of its cross-entropy is divided by its own L2
norm, image by image, so that every network has the same say; the step goes along the sign of the sum,
x_i = clip_ε(x_{i-1} + λ sign(Σ_n g_n / ‖g_n‖₂)), from the clean image. Made on one network it is BIM.

Not guaranteed: that an image fools any of the networks. The paper counts only those that fool all of them
(Sec. V-C), and so do the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from reproof.attacking.batch import Attack, Batch
from reproof.attacking.gradient_ascent import maximise, random_start
from reproof.attacking.source_networks import members_of
from reproof.models.attack_loss import Loss
from reproof.settings.attack import Access, EpsilonAttackSettings, Point
from reproof.settings.values import Count, Positive, Switch


class Settings(EpsilonAttackSettings):
    """The attack's budgets and steps. The networks are those that a threat names `together`."""

    title: ClassVar[str] = "Gradient ensemble"
    family: ClassVar[str] = "gradient signs"
    access: ClassVar[Access] = "gradient"
    iterative: ClassVar[bool] = True
    takes_view: ClassVar[bool] = False
    fooling_set: ClassVar[bool] = True
    steps: Count = 20
    """Gradient steps, at least 1: I of Sec. III, min(ε + 4, 1.25 ε) for ε in levels of 255; 20 belong to 16."""
    step_size: Positive = 0.0625
    """Length of a step as a fraction of epsilon: λ in Eq. 3, one level of 255, is 1/16 of the paper's ε = 16."""
    random_start: Switch = False
    """True: start at a uniform point of the ball; false: at the clean image, x_0 = x (Eq. 3)."""
    clean_correct: Switch = True
    """True: an image fools a network only if that network is right on the clean one (Sec. II-A); false: a wrong
    answer on the adversarial image is enough, as Sec. V-C reads by itself. It decides which images count."""


@dataclass(frozen=True)
class GradientEnsembleAttack:
    """Eq. 2 and 3."""

    steps: int
    step_size: float
    random_start: bool = False

    def perturb(self, batch: Batch) -> Tensor:
        """Return images inside the ball around the batch's."""
        start = random_start(batch, 0) if self.random_start else None
        loss = summed_cross_entropy(members_of(batch.classifier))
        return maximise(batch, loss, steps=self.steps, step_size=self.step_size, start=start, shared=True)


def summed_cross_entropy(networks: Sequence[nn.Module]) -> Loss:
    """Return the sum of the networks' cross-entropies; its gradient is the sum of Eq. 3, not their plain sum."""

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        total = torch.zeros(len(images), device=images.device)
        for network in networks:
            shown: Any = images.view_as(images)
            shown.register_hook(normalise)
            total = total + nn.functional.cross_entropy(network(shown), labels, reduction="none")
        return total

    return loss


def normalise(gradients: Tensor) -> Tensor:
    """Return each image's gradient (N, C, H, W) at an L2 norm of 1 (Eq. 2); a zero gradient stays zero.

    Scaled by its largest entry first: the squares of a saturated network's gradient would all underflow.
    """
    largest = gradients.abs().amax(dim=(1, 2, 3), keepdim=True)
    scaled = gradients / torch.where(largest > 0, largest, 1.0)
    norms = scaled.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
    return scaled / torch.where(norms > 0, norms, 1.0)


def build(settings: Settings, point: Point) -> Attack:
    """Return the attack of Eq. 2 and 3."""
    return GradientEnsembleAttack(settings.steps, settings.step_size, settings.random_start)
