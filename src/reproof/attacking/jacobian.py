"""Gradients of several outputs at once: one pass forward and, for each output, one back to the images."""

from __future__ import annotations

import torch
from torch import Tensor

from reproof.attacking.gradient import usable
from reproof.errors import StudyError


def differentiate_each(values: Tensor, images: Tensor) -> Tensor:
    """Return the gradient of every column of `values` (N, M) by the images: (N, M, C, H, W).

    A row may depend on its own image only. Where it does not depend on it, the gradient is zero. StudyError
    when there is no gradient at all.
    """
    if not values.requires_grad:
        raise StudyError(
            "the logits under attack have no gradient: something in the model is not differentiable; "
            "use an attack without gradients"
        )
    last = values.shape[1] - 1
    gradients = [
        torch.autograd.grad(column.sum(), images, retain_graph=number < last, materialize_grads=True)[0]
        for number, column in enumerate(values.unbind(dim=1))
    ]
    return usable(torch.stack(gradients, dim=1))
