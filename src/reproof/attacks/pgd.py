"""Projected Gradient Descent (Madry et al., 2018; Mustafa 2019, Eq. 16 and 17).

BIM from a random point of the ball around the clean image: x_0 = clip(x + U(-ε, ε), 0, 1),
x_m = clip_ε(x_{m-1} + γ sign(∇x L(x_{m-1}, y))). Eq. 17 prints the ball around x_m; it is the clean image's.

With restarts, an image keeps the first restart that fools; one that no restart fools keeps the last one's.

Not guaranteed: that it converges (see bim), nor that an image that survives would survive another start.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from eagerpy.astensor import astensor, astensor_
from eagerpy.tensor.tensor import Tensor
from foolbox.attacks.base import Attack, T, get_criterion
from foolbox.attacks.projected_gradient_descent import LinfProjectedGradientDescentAttack
from foolbox.criteria import Misclassification, TargetedMisclassification
from foolbox.models.base import Model

from reproof.attacking.gradient_ascent import Climbing
from reproof.attacking.image_noise import Noisy
from reproof.settings.attack import Access, ClimbingSettings, Point
from reproof.settings.values import Count, Positive


class Settings(ClimbingSettings):
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


class RestartedGradientDescent(Noisy, Climbing, LinfProjectedGradientDescentAttack):
    """Foolbox's PGD, whose random start belongs to the image, started again where it has not fooled."""

    def __init__(self, *, rel_stepsize: float, steps: int, restarts: int):
        super().__init__(rel_stepsize=rel_stepsize, steps=steps, random_start=True)
        self.restarts = restarts
        self.restart = 0

    def get_random_start(self, x0: Tensor, epsilon: float) -> Tensor:
        """Return a uniform point of the ball, another one at each restart; the caller clips it to [0, 1]."""
        return x0 + epsilon * astensor(self.draw_uniform(x0.raw, self.restart))

    def run(
        self,
        model: Model,
        inputs: T,
        criterion: Misclassification | TargetedMisclassification | T,
        *,
        epsilon: float,
        **kwargs: Any,
    ) -> T:
        """Return images inside the ball around `inputs`, misclassified wherever a restart managed it."""
        images, restore_type = astensor_(inputs)
        goal = get_criterion(criterion)
        if not isinstance(goal, Misclassification):
            raise ValueError("restarted PGD is untargeted")
        clean, labels, noise = images.raw, goal.labels.raw, self.noise
        self.restart = 0
        best = found = super().run(model, images, goal, epsilon=epsilon, **kwargs).raw
        left = torch.arange(len(clean), device=clean.device)
        try:
            for restart in range(1, self.restarts):
                left = left[model(found).argmax(dim=-1) == labels[left]]
                if not len(left):
                    break
                self.restart = restart
                self.noise = None if noise is None else noise.select(left.tolist())
                goal = Misclassification(labels[left])
                found = super().run(model, astensor(clean[left]), goal, epsilon=epsilon, **kwargs).raw
                best[left] = found
        finally:
            self.noise = noise
        restored: T = restore_type(astensor(best))
        return restored


def build(settings: Settings, point: Point) -> Attack:
    """Return PGD with its restarts."""
    return RestartedGradientDescent(
        rel_stepsize=settings.step_size,
        steps=settings.steps,
        restarts=settings.restarts,
    ).follow(settings)
