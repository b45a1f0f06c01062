"""Iterated gradient attacks that can leave an image as soon as it is fooled, and average over random draws."""

from __future__ import annotations

from typing import Any, Self

import torch
from eagerpy.astensor import astensor, astensor_
from eagerpy.tensor.tensor import Tensor as EagerTensor
from foolbox.attacks.base import T, get_criterion, raise_if_kwargs
from foolbox.attacks.gradient_descent_base import BaseGradientDescent, Optimizer
from foolbox.criteria import Misclassification, TargetedMisclassification
from foolbox.models.base import Model
from foolbox.types import Bounds
from torch import Tensor

from reproof.attacking.gradient import LossFunction, value_and_gradient
from reproof.attacking.margin import excess
from reproof.settings.attack import ClimbingSettings


class Climbing(BaseGradientDescent):
    """Mixed into one of Foolbox's gradient attacks; with the settings as they are here it changes nothing."""

    early_stop: bool = False
    """Leave an image at its first misclassified iterate: a random start and all that steps lead to count, the
    clean image does not."""
    samples: int = 1
    """Passes that each gradient is the mean of."""
    loss: str = "cross_entropy"
    """What is climbed: cross_entropy, or margin (the largest other logit minus the label's)."""

    def follow(self, settings: ClimbingSettings) -> Self:
        """Take over what all climbing attacks can be set to; return the attack."""
        self.early_stop = settings.early_stop
        self.samples = settings.samples
        self.loss = settings.loss
        return self

    def get_loss_fn(self, model: Model, labels: EagerTensor) -> LossFunction:
        """Return the loss, summed over the images, so that each climbs its own."""
        if self.loss == "cross_entropy":
            plain: LossFunction = super().get_loss_fn(model, labels)
            return plain

        def loss_fn(inputs: EagerTensor) -> EagerTensor:
            return astensor(-excess(model(inputs).raw, labels.raw).sum())

        return loss_fn

    def value_and_grad(self, loss_fn: LossFunction, x: EagerTensor) -> tuple[EagerTensor, EagerTensor]:
        """Return loss and gradient as means over `samples` passes."""
        return value_and_gradient(loss_fn, x, self.samples)

    def select(self, optimizer: Optimizer, stays: Tensor) -> None:
        """Forget what an optimizer remembers of the images that leave. stays: bool (n,)."""

    def run(
        self,
        model: Model,
        inputs: T,
        criterion: Misclassification | TargetedMisclassification | T,
        *,
        epsilon: float,
        **kwargs: Any,
    ) -> T:
        """Return each image's last iterate or, with `early_stop`, its first misclassified one.

        The logits of the pass that the gradient needs tell who is fooled, their mean where there are several
        samples. After the last step nobody is asked: that iterate counts in any case.
        """
        if not self.early_stop:
            return super().run(model, inputs, criterion, epsilon=epsilon, **kwargs)
        raise_if_kwargs(kwargs)
        images, restore_type = astensor_(inputs)
        goal = get_criterion(criterion)
        if not isinstance(goal, Misclassification):
            raise ValueError("early_stop is for untargeted attacks")
        heard = Heard(model)
        clean, labels = images, goal.labels
        loss_fn = self.get_loss_fn(heard, labels)
        step_size = self.rel_stepsize * epsilon if self.abs_stepsize is None else self.abs_stepsize
        optimizer = self.get_optimizer(clean, step_size)
        moved = self.get_random_start(clean, epsilon).clip(*model.bounds) if self.random_start else clean
        best = images.raw.clone()
        left = torch.arange(len(best), device=best.device)
        for _ in range(self.steps):
            heard.forget()
            _, gradients = self.value_and_grad(loss_fn, moved)
            if moved is not images:
                stays = heard.predict(moved, self.samples) == labels.raw
                if not stays.all():
                    best[left[~stays]] = moved.raw[~stays]
                    left = left[stays]
                    if not len(left):
                        break
                    clean, moved, labels, gradients = (
                        astensor(x.raw[stays]) for x in (clean, moved, labels, gradients)
                    )
                    self.select(optimizer, stays)
                    loss_fn = self.get_loss_fn(heard, labels)
            gradients = self.normalize(gradients, x=moved, bounds=model.bounds)
            moved = self.project(moved + optimizer(gradients), clean, epsilon).clip(*model.bounds)
        else:
            best[left] = moved.raw
        restored: T = restore_type(astensor(best))
        return restored


class Heard(Model):
    """A model that remembers the logits it answered with, so that nobody needs to ask twice."""

    def __init__(self, model: Model):
        self.model = model
        self.forget()

    @property
    def bounds(self) -> Bounds:
        """Return the model's bounds."""
        return self.model.bounds

    def forget(self) -> None:
        """Forget the logits."""
        self.logits: Tensor | None = None

    def __call__(self, inputs: T) -> T:
        """Return the model's logits (N, K)."""
        answer = self.model(inputs)
        logits = astensor_(answer)[0].raw.detach()
        self.logits = logits if self.logits is None else self.logits + logits
        return answer

    def predict(self, images: EagerTensor, samples: int) -> Tensor:
        """Return the classes of the summed logits (N,); asks the model where nobody has, as views do not."""
        with torch.no_grad():
            for _ in range(samples if self.logits is None else 0):
                self(images)
        assert self.logits is not None
        return self.logits.argmax(dim=1)
