"""Gradient ensemble attack (Seiler, Trautmann and Kerschke, 2020, Sec. III, Eq. 2 and 3).

BIM along the gradients of several networks: each network's gradient of its cross-entropy is divided by its own L2
norm, image by image, so that every network has the same say; the step goes along the sign of the sum,
x_i = clip_ε(x_{i-1} + λ sign(Σ_n g_n / ‖g_n‖₂)), from the clean image. Made on one network it is BIM.

Not guaranteed: that an image fools any of the networks. The paper counts only those that fool all of them
(Sec. V-C), and so do the tables.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from eagerpy.astensor import astensor
from eagerpy.tensor.tensor import Tensor as EagerTensor
from foolbox.attacks.base import Attack
from foolbox.attacks.basic_iterative_method import LinfBasicIterativeAttack
from foolbox.models.base import Model
from torch import Tensor, nn

from reproof.attacking.ensemble import Together
from reproof.attacking.gradient import LossFunction
from reproof.attacking.image_noise import Noisy
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


class GradientEnsembleAttack(Together, Noisy, LinfBasicIterativeAttack):
    """Eq. 2 and 3 in Foolbox's loop, which takes the sign, projects and clips."""

    def get_random_start(self, x0: EagerTensor, epsilon: float) -> EagerTensor:
        """Return a uniform point of the ball; the caller clips it to [0, 1]."""
        return x0 + epsilon * astensor(self.draw_uniform(x0.raw, 0))

    def get_loss_fn(self, model: Model, labels: EagerTensor) -> LossFunction:
        """Return the sum of the networks' cross-entropies; its gradient is the sum of Eq. 3, not their plain sum."""
        if not self.networks:
            raise ValueError("set `networks`, the networks that are attacked together")

        def loss_fn(inputs: EagerTensor) -> EagerTensor:
            total = torch.zeros((), device=inputs.raw.device)
            for network in self.networks:
                images = inputs.raw.view_as(inputs.raw)
                images.register_hook(normalise)
                total = total + nn.functional.cross_entropy(network(images), labels.raw, reduction="sum")
            return astensor(total)

        return loss_fn


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
    return GradientEnsembleAttack(
        rel_stepsize=settings.step_size, steps=settings.steps, random_start=settings.random_start
    )
