"""The gradient that attacks follow: taken to the images only, leaving nothing in any parameter's `.grad`.

A gradient that is no finite number would stop an attack in silence: a step along it goes nowhere, and a momentum
never forgets it. It counts as no gradient, and is counted (`counting`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from reproof.errors import StudyError
from reproof.models.attack_loss import Loss


class NoGradientError(StudyError):
    """The loss under attack does not depend on the images in a way that can be differentiated."""


@dataclass
class Tally:
    """Gradients that attacks took, an image each."""

    taken: int = 0
    broken: int = 0
    """Those with a NaN or an infinite number in them."""


_TALLY: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def counting() -> Iterator[Tally]:
    """Count the gradients that are taken meanwhile."""
    tally = Tally()
    token = _TALLY.set(tally)
    try:
        yield tally
    finally:
        _TALLY.reset(token)


def tally() -> Tally:
    """Return the count that goes on now; one that nobody reads where none does."""
    return _TALLY.get() or Tally()


def usable(gradients: Tensor) -> Tensor:
    """Return gradients (N, ...) with 0 in place of NaN and 1 or -1 of what is infinite; count them, and the broken."""
    tally = _TALLY.get()
    if tally is not None:
        tally.taken += len(gradients)
    # One pass in place of several: a sum is finite only where all that it adds is.
    if math.isfinite(gradients.detach().sum().item()):
        return gradients
    broken = ~gradients.isfinite().flatten(1).all(dim=1)
    if tally is not None:
        tally.broken += int(broken.sum())
    return gradients.nan_to_num(nan=0.0, posinf=1.0, neginf=-1.0) if broken.any() else gradients


def differentiate(loss: Tensor, images: Tensor) -> Tensor:
    """Return a scalar loss's gradient with respect to the images, zero where it does not depend on them (`usable`).

    NoGradientError when the loss has no gradient at all.
    """
    if not loss.requires_grad:
        raise NoGradientError(
            "the loss under attack has no gradient: something in the model is not differentiable; "
            "attack a view that the defense declares, or use an attack without gradients"
        )
    (gradient,) = torch.autograd.grad(loss, images, materialize_grads=True)
    return usable(gradient)


def mean_gradient(loss: Loss, images: Tensor, labels: Tensor, samples: int = 1) -> Tensor:
    """Return each image's gradient of its own loss, shaped like the images, as the mean over `samples` passes.

    More than one pass is for networks that draw random numbers: the gradient of the expected loss (Athalye,
    Carlini and Wagner 2018, Sec. 4.2). StudyError when the loss has no gradient, or is not one number per image.
    """
    leaf = images.detach().requires_grad_()
    gradient = _gradient(loss, leaf, labels)
    for _ in range(1, samples):
        gradient = gradient + _gradient(loss, leaf, labels)
    return gradient / samples if samples > 1 else gradient


def _gradient(loss: Loss, leaf: Tensor, labels: Tensor) -> Tensor:
    losses = loss(leaf, labels)
    if losses.shape != labels.shape[:1]:
        raise StudyError(f"a view should return one loss per image, not shape {tuple(losses.shape)}")
    return differentiate(losses.sum(), leaf)
