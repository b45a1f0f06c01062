"""F. Yu, C. Liu, Y. Wang, X. Chen. Interpreting Adversarial Robustness: A AttackLoss from Decision Surface in Input
Space. arXiv 1810.00144, 2018.

The decision surface over the input space is how far the label's logit stands above the largest other one; a
network resists perturbations where this surface is flat around the images. Training minimises, beside the
cross-entropy, the surface's slope at an image and, where asked for, the slope's change towards the boundary.
"""

from __future__ import annotations

import functools
from typing import ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn

from reproof.models.attack_loss import AttackLoss
from reproof.models.defense import Defense, Progress, Trainee
from reproof.settings.defense import DefenseSettings
from reproof.settings.values import NonNegative, Positive
from reproof.training.inner_attacks import crafting_mode


class Settings(DefenseSettings):
    """Settings of decision surface flattening; the terms' form and every value are this project's reading."""

    title: ClassVar[str] = "decision surface regularisation"
    attack_losses: ClassVar[tuple[str, ...]] = ("joint",)

    surface: Literal["margin", "cross_entropy"] = "margin"
    """What is flattened: the decision surface, the label's logit minus the largest other one (`margin`), or the
    loss surface."""
    slope_weight: NonNegative = 0.1
    """Weight of the squared L2 norm of the surface's gradient at the image, in pixels' [0, 1] (first order)."""
    curvature_weight: NonNegative = 0.0
    """Weight of the squared L2 norm of the gradient's change between the image and its neighbour (second order);
    0 leaves the slope alone."""
    reach: Positive = 0.1
    """L-infinity distance, in pixels' [0, 1], to the neighbour, one signed step away to where the label's lead
    falls or the loss rises; it is not clipped to [0, 1]. In a piecewise linear network the second derivative
    itself is zero nearly everywhere, and only a finite step sees the surface bend."""

    @model_validator(mode="after")
    def _regularised(self) -> Settings:
        if self.slope_weight == 0 and self.curvature_weight == 0:
            raise ValueError("slope_weight or curvature_weight should be above 0")
        return self

    def key(self, name: str) -> str:
        """Return the name, with `[cross_entropy]` for that surface."""
        return name if self.surface == "margin" else f"{name}[{self.surface}]"

    def relative_cost(self) -> float:
        """Return a step's cost: a differentiated way back to the images, and all of it twice with the neighbour.

        Measured on CNN-6, whose PReLUs are slow to differentiate twice; on LeNet it is 2.4 and 4.7.
        """
        return 5.8 if self.curvature_weight else 2.9


class DecisionSurface(Defense[Settings]):
    """Cross-entropy, and penalties on the decision surface's slope and bend around each image."""

    deviations: ClassVar[tuple[str, ...]] = (
        "Only the paper's abstract was available to us, not the formula of its robust training: the surface as a "
        "margin of logits and the penalties on its slope and curvature are our reading of it, and the weights "
        "and the reach are ours.",
        "The curvature is the slope's change over one finite step towards the boundary; the Hessian of a "
        "network of rectified linear units is zero nearly everywhere.",
        "The pass over the neighbours leaves batch norm's running statistics as they are, and dropout draws anew "
        "for it.",
    )

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        """Return the cross-entropy plus the weighted slope and curvature, per image."""
        return self.joint(trainee, images, labels)

    def joint(self, trainee: Trainee, images: Tensor, labels: Tensor) -> Tensor:
        """Return the whole loss per image (N,); its gradient reaches the images if they ask for one."""
        logits, added = self._parts(trainee, images, labels)
        return nn.functional.cross_entropy(logits, labels, reduction="none") + added

    def _parts(self, trainee: Trainee, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (N, K), and the weighted slope and curvature per image (N,)."""
        if not images.requires_grad:
            images = images.detach().requires_grad_(True)
        logits = trainee(images).float()
        gradient = self._gradient(logits, labels, images)
        slope = self.settings.slope_weight * _squared_norm(gradient)
        if self.settings.curvature_weight == 0:
            return logits, slope
        downhill = -1 if self.settings.surface == "margin" else 1
        neighbours = images + downhill * self.settings.reach * gradient.detach().sign()
        with crafting_mode(trainee, training=trainee.training):
            bent = self._gradient(trainee(neighbours).float(), labels, neighbours)
        return logits, slope + self.settings.curvature_weight * _squared_norm(bent - gradient)

    def _gradient(self, logits: Tensor, labels: Tensor, images: Tensor) -> Tensor:
        """Return the surface's gradient (N, C, H, W) at the images that the logits were computed from."""
        if self.settings.surface == "margin":
            others = logits.scatter(1, labels.unsqueeze(1), -torch.inf)
            surface = logits.gather(1, labels.unsqueeze(1)).squeeze(1) - others.amax(dim=1)
        else:
            surface = nn.functional.cross_entropy(logits, labels, reduction="none")
        (gradient,) = torch.autograd.grad(surface.sum(), images, create_graph=True)
        return gradient.float()

    def attack_losses(self, trainee: Trainee) -> dict[str, AttackLoss]:
        """Return `joint`, the loss trained with, slope and curvature included."""
        return {"joint": AttackLoss(functools.partial(self._parts, trainee))}


def _squared_norm(gradient: Tensor) -> Tensor:
    return gradient.square().flatten(1).sum(dim=1)
