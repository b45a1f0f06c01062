"""Momentum Iterative Method (Dong et al., 2018; Mustafa 2019, Eq. 12 and 13).

BIM along a gradient that remembers: g_m = μ g_{m-1} + ∇x L / ‖∇x L‖₁, x_m = clip_ε(x_{m-1} + α sign(g_m)).
Each image's gradient is divided by its own L1 norm before it is added, and the sign is taken only of the sum;
Foolbox's attack of the same name adds up signs instead.

Not guaranteed: that it beats BIM on the model it differentiates. Momentum is there for transfer.
"""

from __future__ import annotations

from typing import ClassVar

import eagerpy as ep
from eagerpy.astensor import astensor
from eagerpy.tensor.tensor import Tensor
from foolbox.attacks.base import Attack
from foolbox.attacks.basic_iterative_method import LinfBasicIterativeAttack
from foolbox.attacks.gradient_descent_base import Optimizer
from foolbox.types import Bounds
from torch import Tensor as TorchTensor

from reproof.attacking.gradient_ascent import Climbing
from reproof.settings.attack import Access, ClimbingSettings, Point
from reproof.settings.values import Count, NonNegative, Positive


class Settings(ClimbingSettings):
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


class MomentumIterativeAttack(Climbing, LinfBasicIterativeAttack):
    """Eq. 12 and 13 in Foolbox's loop, which projects and clips."""

    def __init__(self, *, decay: float, rel_stepsize: float, steps: int):
        super().__init__(rel_stepsize=rel_stepsize, steps=steps, random_start=False)
        self.decay = decay

    def normalize(self, gradients: Tensor, *, x: Tensor, bounds: Bounds) -> Tensor:
        """Return each image's gradient over its L1 norm; a zero gradient stays zero."""
        norms = gradients.abs().sum(axis=tuple(range(1, gradients.ndim)), keepdims=True)
        return gradients / ep.where(norms > 0, norms, ep.ones_like(norms))

    def get_optimizer(self, x: Tensor, stepsize: float) -> Optimizer:
        """Return the accumulator of Eq. 12, empty."""
        return Momentum(x, stepsize, self.decay)

    def select(self, optimizer: Optimizer, stays: TorchTensor) -> None:
        """Forget the sums of the images that leave."""
        assert isinstance(optimizer, Momentum)
        optimizer.accumulated = astensor(optimizer.accumulated.raw[stays])


class Momentum(Optimizer):
    """Add up normalised gradients; step along the sign of the sum."""

    def __init__(self, x: Tensor, step_size: float, decay: float):
        self.step_size = step_size
        self.decay = decay
        self.accumulated = ep.zeros_like(x)

    def __call__(self, gradient: Tensor) -> Tensor:
        """Return the next step. gradient: (N, C, H, W), each image's L1 norm 1."""
        self.accumulated = self.decay * self.accumulated + gradient
        return self.step_size * self.accumulated.sign()


def build(settings: Settings, point: Point) -> Attack:
    """Return the attack of Eq. 12 and 13."""
    return MomentumIterativeAttack(
        decay=settings.decay,
        rel_stepsize=settings.step_size,
        steps=settings.steps,
    ).follow(settings)
