"""FMN, the fast minimum-norm attack (Pintor, Roli, Brendel and Biggio, 2021, Algorithm 1), for L2 and L-infinity.

Step down the margin L = Z_y - max_{k≠y} Z_k inside a ball around the clean image whose radius adapts: until the image
fools it is the distance so far plus L / ‖∇L‖_q, to where a linear model would have its boundary (q the dual norm);
after that it shrinks by γ at each step that fools, and grows by γ at each that does not. Steps are α ∇L / ‖∇L‖₂; α and
γ fall along a cosine. The nearest image that fools counts; where there is none, or with `epsilons` none in the budget,
the image comes back as it was.

γ falls from 0.05 to 0.001 and α to a hundredth, as in Foolbox 3, to which its authors gave it. Two things differ from
the paper. The radius to the linear boundary is γ larger too: a step that ends on the boundary itself crosses nothing,
and later steps take back what was too much. And the deployed classifier, which may purify, vote or refuse, decides
whether an image fools; the logits only nominate it.

Not guaranteed: that the distance is the smallest one, or that an image that it fails on is robust: with few steps, or a
step size that does not fit, it ends farther away or nowhere. It goes to the class that leads, as C&W does; another one
may be nearer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from reproof.attacking import ball
from reproof.attacking.batch import Attack, Batch
from reproof.attacking.gradient import differentiate
from reproof.models.attack_loss import excess
from reproof.settings.attack import Access, Point, SteppedMinimalAttackSettings
from reproof.settings.cost import FORWARD
from reproof.settings.values import Norm, Positive

LAST_STEP, LAST_GAMMA = 0.01, 0.001


class Settings(SteppedMinimalAttackSettings):
    """FMN's steps, the norm that it minimises, and how fast it goes."""

    title: ClassVar[str] = "FMN"
    family: ClassVar[str] = "nearest boundary"
    access: ClassVar[Access] = "gradient"
    iterative: ClassVar[bool] = True
    norms: ClassVar[tuple[Norm, ...]] = ("l2", "linf")
    example: ClassVar[dict[str, Any]] = {"steps": [30]}
    takes_view: ClassVar[bool] = False
    swept: ClassVar[tuple[str, ...]] = ("steps", "epsilon")

    distance: Literal["l2", "linf"] = "l2"
    """Norm of the perturbation that it minimises."""
    step_size: Positive = 1.0
    """L2 length of the first step, of pixels in [0, 1]: α_0."""
    gamma: Positive = 0.05
    """By how much the radius first changes at a step, as a share of it: γ_0."""

    @property
    def budget_norm(self) -> Norm | None:
        """Return the norm that it minimises."""
        return self.distance

    def passes(self) -> float:
        """Return the steps, averaged over the points; of about every third iterate the deployed model is asked, too."""
        return sum(self.steps) / len(self.steps) * (1 + FORWARD / 3)


@dataclass(frozen=True)
class FastMinimumNorm:
    """Algorithm 1, each image as if it were alone."""

    steps: int
    distance: Literal["l2", "linf"] = "l2"
    step_size: float = 1.0
    gamma: float = 0.05

    def perturb(self, batch: Batch) -> Tensor:
        """Return each image's nearest iterate that fools, or the image itself."""
        clean = batch.images
        farthest = self._length(torch.maximum(clean, 1 - clean))
        best, moved = clean.clone(), clean
        shortest, radius = torch.full_like(farthest, torch.inf), torch.zeros_like(farthest)
        for step in range(self.steps):
            part = (1 + math.cos(math.pi * step / self.steps)) / 2
            rate = self.step_size * (LAST_STEP + (1 - LAST_STEP) * part)
            gamma = LAST_GAMMA + (self.gamma - LAST_GAMMA) * part
            leaf = moved.detach().requires_grad_()
            margins = excess(batch.logits(leaf), batch.labels)
            gradients = differentiate(margins.sum(), leaf)
            margins, length = margins.detach(), self._length(moved - clean)
            fools, closer = margins < 0, length < shortest
            asked = fools & closer
            if asked.any():
                fools[asked.clone()] = batch.predict(moved[asked]) != batch.labels[asked]
            closer &= fools
            best[closer] = moved[closer]
            shortest = torch.where(closer, length, shortest)
            boundary = length + self._to_boundary(margins, gradients)
            sought = torch.where(shortest.isfinite(), radius, torch.maximum(radius, boundary))
            outwards = sought * (1 + gamma)
            inwards = torch.minimum(radius * (1 - gamma), shortest)
            radius = torch.minimum(torch.where(fools, inwards, outwards), farthest)
            moved = moved - rate * ball.steepest(gradients, "l2")
            moved = ball.project(clean, moved, self.distance, radius)
        return best

    def _length(self, changes: Tensor) -> Tensor:
        """Return each change's length (N,) in the norm. changes: (N, C, H, W)."""
        order = 2 if self.distance == "l2" else math.inf
        lengths: Tensor = torch.linalg.vector_norm(changes.flatten(1), order, dim=1)
        return lengths

    def _to_boundary(self, margins: Tensor, gradients: Tensor) -> Tensor:
        """Return how far a linear model's boundary is (N,); infinite where there is no gradient."""
        lengths = torch.linalg.vector_norm(gradients.flatten(1), 2 if self.distance == "l2" else 1, dim=1)
        return torch.where(lengths > 0, margins.abs() / lengths, torch.inf)


def build(settings: Settings, point: Point) -> Attack:
    """Return FMN with the point's number of steps, or with the one there is."""
    return FastMinimumNorm(
        steps=int(point.value) if point.name == "steps" else settings.steps[0],
        distance=settings.distance,
        step_size=settings.step_size,
        gamma=settings.gamma,
    )
