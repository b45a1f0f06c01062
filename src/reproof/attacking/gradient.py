"""The gradient that attacks climb: taken to the images only, leaving nothing in any parameter's `.grad`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from eagerpy.astensor import astensor
from eagerpy.tensor.tensor import Tensor as EagerTensor
from torch import Tensor

from reproof.errors import StudyError

LossFunction = Callable[[EagerTensor], EagerTensor]


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


def value_and_gradient(
    loss_fn: LossFunction, images: EagerTensor, samples: int
) -> tuple[EagerTensor, EagerTensor]:
    """Return the summed loss (scalar) and its gradient, shaped like the images, as means over `samples` passes.

    More than one pass is for networks that draw random numbers: the gradient of the expected loss (Athalye,
    Carlini and Wagner 2018, Sec. 4.2). StudyError when the loss has no gradient.
    """
    leaf = images.raw.detach().requires_grad_()
    value = loss_fn(astensor(leaf)).raw
    gradient, value = differentiate(value, leaf), value.detach()
    for _ in range(1, samples):
        other = loss_fn(astensor(leaf)).raw
        gradient = gradient + differentiate(other, leaf)
        value = value + other.detach()
    return astensor(value / samples), astensor(gradient / samples if samples > 1 else gradient)
