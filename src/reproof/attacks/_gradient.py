"""The gradient that attacks climb: taken to the images only, leaving nothing in any parameter's `.grad`."""

from __future__ import annotations

import torch
from torch import Tensor

from reproof.errors import StudyError


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
