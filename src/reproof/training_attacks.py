"""The inner maximisation of adversarial training; shares no code with the evaluation's attacks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[[Tensor], Tensor]
"""images (N, C, H, W) -> a loss per image (N,) to climb."""


def fgsm(loss: Loss, images: Tensor, epsilon: Tensor) -> Tensor:
    """Return images one signed step of `epsilon` up the loss (Goodfellow 2015), clipped to [0, 1].

    epsilon: (N,), one budget per image.
    """
    radius = epsilon.view(-1, 1, 1, 1)
    return (images + radius * image_gradient(loss, images).sign()).clamp_(0, 1)


def pgd(
    loss: Loss,
    images: Tensor,
    epsilon: Tensor,
    *,
    steps: int,
    step_size: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return images after `steps` projected signed steps up the loss (Madry 2018), inside [0, 1].

    epsilon: (N,), one L-infinity budget per image. step_size: as a fraction of epsilon.
    generator: draws a uniform random start; None starts from the images themselves.
    """
    radius = epsilon.view(-1, 1, 1, 1)
    low = (images - radius).clamp_(min=0)
    high = (images + radius).clamp_(max=1)
    adversarial = images
    if generator is not None:
        noise = torch.empty_like(images).uniform_(-1, 1, generator=generator)
        adversarial = torch.clamp(images + radius * noise, low, high)
    for _ in range(steps):
        direction = image_gradient(loss, adversarial).sign_()
        adversarial = torch.clamp(adversarial + step_size * radius * direction, low, high)
    return adversarial


def image_gradient(loss: Loss, images: Tensor) -> Tensor:
    """Return the gradient of each image's loss; the parameters' `.grad` stays as it is."""
    images = images.detach().requires_grad_(True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(loss(images).sum(), images)
    return gradient
