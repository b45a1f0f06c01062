"""Auto-PGD (Croce and Hein, 2020, Algorithm 1): gradient ascent that finds its own step size.

z = Π(x_k + η s), x_{k+1} = Π(x_k + α (z - x_k) + (1 - α)(x_k - x_{k-1})), s the norm's steepest step, Π the way back
into the ball and [0, 1], α = 0.75, and 1 in the first step. η is 2ε at first. At checkpoints, of which there are more
the longer it runs, an image whose loss rose in too few of the steps since the last one, or whose largest loss has not
grown while η stayed the same, goes back to where that largest loss was, with half the step.

An image leaves as soon as it is fooled; one that is not comes back with the largest loss that was seen. A network that
draws at random lets none leave, unless `samples` average its answers.

`loss: dlr` is the difference of logits ratio, -(Z_y - max_{k≠y} Z_k) / (Z_π1 - Z_π3), π the order from the largest: the
scale of the logits falls out, which can make cross-entropy's gradient vanish (Eq. 6). It needs three classes.

It starts at a uniform point of the ball. The authors' code starts on its surface, which in many dimensions is the same.
The paper's first condition is that fewer than ρ of the steps raised the loss; that as many halve the step too is the
authors' code.

Not guaranteed: that it converges, nor that an image that survives would survive another start or another loss. Where a
loss rose by no more than rounding, the batch's size can decide whether a step is halved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from reproof.attacking import ball
from reproof.attacking.batch import Attack, Batch
from reproof.attacking.gradient_ascent import LogitCache, fooled, loss_of, random_start, restarted
from reproof.settings.attack import Access, BallSettings, Point
from reproof.settings.values import Count, Norm

MOMENTUM = 0.75  # α
SHARE = 0.75  # ρ: of the steps since the last checkpoint, those that must raise the loss
FIRST, LATER, LESS = (
    0.22,
    0.06,
    0.03,
)  # checkpoints, as shares of the steps (Eq. 3): first, closest, how much closer


class Settings(BallSettings):
    """APGD's budgets, steps, restarts and loss."""

    title: ClassVar[str] = "APGD"
    family: ClassVar[str] = "gradient signs"
    access: ClassVar[Access] = "gradient"
    iterative: ClassVar[bool] = True
    randomised: ClassVar[bool] = True
    early_stop: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"epsilons": [0.1], "steps": 10}
    steps: Count = 100
    """Gradient steps: N_iter in Algorithm 1."""
    restarts: Count = 1
    """Runs from different random points; later ones only on images that are still classified correctly."""
    loss: Literal["cross_entropy", "margin", "dlr"] = "cross_entropy"
    """What is maximised of the logits, or of a suite's attack loss: cross-entropy, the largest other logit minus the
    label's, or that margin over the first less the third largest logit (dlr)."""
    samples: Count = 1
    """Passes over which each gradient is averaged, for networks that draw random numbers when they are asked."""

    def passes(self) -> float:
        """Return the gradients of an image that survives, at one point: an upper bound, as the others leave early."""
        return float((self.steps + 1) * self.restarts * self.samples)


@dataclass
class _Search:
    """What is known of each image on the way; every tensor has a row for each."""

    rows: Tensor
    clean: Tensor
    labels: Tensor
    moved: Tensor
    previous: Tensor
    gradients: Tensor
    values: Tensor
    """The loss at `moved`, (n,)."""
    best: Tensor
    """Where the loss was largest."""
    best_gradients: Tensor
    best_values: Tensor
    step: Tensor
    """η, (n, 1, 1, 1)."""
    rises: Tensor
    """How many steps raised the loss since the last checkpoint, (n,)."""
    checked_values: Tensor
    """The largest loss at the last checkpoint."""
    halved: Tensor
    """Whether the step was halved there; true at the start, when there was none."""

    def select(self, rows: Tensor) -> _Search:
        """Return what is known of some of the images."""
        return _Search(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def climb(self, momentum: float, norm: Norm, epsilon: float) -> None:
        """Take a step."""
        ahead = self.moved + self.step * ball.steepest(self.gradients, norm)
        ahead = ball.project(self.clean, ahead, norm, epsilon)
        ahead = self.moved + momentum * (ahead - self.moved) + (1 - momentum) * (self.moved - self.previous)
        self.previous, self.moved = self.moved, ball.project(self.clean, ahead, norm, epsilon)

    def measured(self, values: Tensor, gradients: Tensor) -> None:
        """Take down the loss and its gradients at `moved`."""
        self.rises = self.rises + (values > self.values)
        self.values, self.gradients = values, gradients
        better = values > self.best_values
        self.best_values = torch.where(better, values, self.best_values)
        self.best = torch.where(_each(better), self.moved, self.best)
        self.best_gradients = torch.where(_each(better), gradients, self.best_gradients)

    def checkpoint(self, steps: int) -> None:
        """Halve the step, and go back to the best image, where the last so many steps say so."""
        stuck = ~self.halved & (self.best_values <= self.checked_values)
        self.halved = stuck | (self.rises <= SHARE * steps)
        self.step = torch.where(_each(self.halved), self.step / 2, self.step)
        self.moved = torch.where(_each(self.halved), self.best, self.moved)
        self.gradients = torch.where(_each(self.halved), self.best_gradients, self.gradients)
        self.rises, self.checked_values = torch.zeros_like(self.rises), self.best_values


def _each(numbers: Tensor) -> Tensor:
    return numbers[:, None, None, None]


@dataclass(frozen=True)
class AutoPGD:
    """Algorithm 1, with restarts."""

    steps: int
    norm: Norm = "linf"
    loss: str = "cross_entropy"
    restarts: int = 1
    samples: int = 1

    def perturb(self, batch: Batch) -> Tensor:
        """Return images inside the ball around the batch's."""
        return restarted(batch, self._search, self.restarts)

    def _search(self, batch: Batch, restart: int) -> Tensor:
        """Return the images where one restart ends."""
        epsilon, cache = batch.require_epsilon(), LogitCache(batch.logits)
        measure = self._measure(batch, cache)
        start = random_start(batch, restart, self.norm)
        values, gradients = measure(start, batch.labels)
        found = start.clone()
        right = torch.ones_like(batch.labels, dtype=torch.bool)
        state = _Search(
            rows=torch.arange(len(start), device=start.device),
            clean=batch.images, labels=batch.labels, moved=start, previous=start, gradients=gradients, values=values,
            best=start, best_gradients=gradients, best_values=values, checked_values=values, halved=right,
            step=_each(torch.full_like(values, 2 * epsilon)), rises=torch.zeros_like(values),
        )  # fmt: skip
        checkpoints = _checkpoints(self.steps)
        last = 0
        for step in range(self.steps + 1):
            if step:
                state.climb(MOMENTUM if step > 1 else 1.0, self.norm, epsilon)
                state.measured(*measure(state.moved, state.labels))
            leaves = fooled(batch, cache, state.moved, state.labels, self.samples)
            if leaves.any():
                found[state.rows[leaves]] = state.moved[leaves]
                state = state.select(~leaves)
                if not len(state.rows):
                    return found
            if step in checkpoints:
                state.checkpoint(step - last)
                last = step
        found[state.rows] = state.best
        return found

    def _measure(self, batch: Batch, cache: LogitCache) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return what tells of images and labels the loss (n,) and its gradients, the means over all samples."""
        loss = loss_of(batch, self.loss, cache)
        values: list[Tensor] = []

        def noted(images: Tensor, labels: Tensor) -> Tensor:
            values.append(loss(images, labels))
            return values[-1]

        def measure(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            cache.forget()
            values.clear()
            gradients = batch.gradient(noted, images, labels, samples=self.samples)
            return torch.stack([value.detach() for value in values]).mean(dim=0), gradients

        return measure


def _checkpoints(steps: int) -> set[int]:
    """Return after which steps the step size is looked at (Eq. 3): p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06)."""
    found, last, distance = set(), 0, max(int(FIRST * steps), 1)
    while (last := last + distance) <= steps:
        found.add(last)
        distance = max(distance - max(int(LESS * steps), 1), max(int(LATER * steps), 1))
    return found


def build(settings: Settings, point: Point) -> Attack:
    """Return APGD with its restarts."""
    return AutoPGD(settings.steps, settings.norm, settings.loss, settings.restarts, settings.samples)
