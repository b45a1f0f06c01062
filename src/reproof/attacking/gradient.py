"""The gradient that attacks follow: taken to the images only, leaving nothing in any parameter's `.grad`."""

from __future__ import annotations

import torch
from torch import Tensor

from reproof.errors import StudyError
from reproof.models.attack_loss import AttackLoss


def differentiate(loss: Tensor, images: Tensor) -> Tensor:
    """Return a scalar loss's gradient with respect to the images, zero where it does not depend on them.

    StudyError when the loss has no gradient at all.
    """
    if not loss.requires_grad:
        raise StudyError(
            "the loss under attack has no gradient: something in the model is not differentiable; "
            "attack a view that the defense declares, or use an attack without gradients"
        )
    (gradient,) = torch.autograd.grad(loss, images, materialize_grads=True)
    return gradient


def mean_gradient(loss: AttackLoss, images: Tensor, labels: Tensor, samples: int = 1) -> Tensor:
    """Return each image's gradient of its own loss, shaped like the images, as the mean over `samples` passes.

    More than one pass is for networks that draw random numbers: the gradient of the expected loss (Athalye,
    Carlini and Wagner 2018, Sec. 4.2). StudyError when the loss has no gradient, or is not one number per image.
    """
    leaf = images.detach().requires_grad_()
    gradient = _gradient(loss, leaf, labels)
    for _ in range(1, samples):
        gradient = gradient + _gradient(loss, leaf, labels)
    return gradient / samples if samples > 1 else gradient


def _gradient(loss: AttackLoss, leaf: Tensor, labels: Tensor) -> Tensor:
    losses = loss(leaf, labels)
    if losses.shape != labels.shape:
        raise StudyError(f"a view should return one loss per image, not shape {tuple(losses.shape)}")
    return differentiate(losses.sum(), leaf)
