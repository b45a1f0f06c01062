"""The inner maximisation of adversarial training; shares no code with the evaluation's attacks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor], Tensor]
"""images (N, C, H, W) -> a loss per image (N,) to maximise."""


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
    convergence: float | None = None,
    criterion_centre: Literal["clean", "start"] = "clean",
) -> Tensor:
    """Return images after at most `steps` projected signed steps up the loss (Madry 2018), inside [0, 1].

    epsilon: (N,), one L-infinity budget per image. step_size: as a fraction of epsilon.
    generator: draws a uniform random start; None starts from the images themselves.
    convergence: from the second step on, an image whose first-order criterion is at most this stays where it
    is (Wang 2019, Algorithm 1); None lets every image take all steps. criterion_centre: what the criterion
    takes for the centre of the ball, the images (Eq. 4) or the random start (the authors' public code).
    """
    radius = epsilon.view(-1, 1, 1, 1)
    low = (images - radius).clamp_(min=0)
    high = (images + radius).clamp_(max=1)
    adversarial = images
    if generator is not None:
        noise = torch.empty_like(images).uniform_(-1, 1, generator=generator)
        adversarial = torch.clamp(images + radius * noise, low, high)
    centre = images if criterion_centre == "clean" else adversarial
    for step in range(steps):
        gradient = image_gradient(loss, adversarial)
        moved = torch.clamp(adversarial + step_size * radius * gradient.sign(), low, high)
        if convergence is not None and step > 0:
            moving = first_order_criterion(gradient, adversarial, centre, epsilon) > convergence
            if not bool(moving.any()):
                break
            moved = torch.where(moving.view(-1, 1, 1, 1), moved, adversarial)
        adversarial = moved
    return adversarial


def first_order_criterion(gradient: Tensor, adversarial: Tensor, centre: Tensor, epsilon: Tensor) -> Tensor:
    """Return FOSC (N,): how far the loss could still rise within the ball, to first order (Wang 2019, Eq. 4).

    gradient: of each image's own loss at `adversarial`. epsilon: (N,), the ball's radius. FOSC is 0 where the
    loss is flat, and in the corner of the ball around `centre` that the gradient points to, which may lie
    outside of [0, 1]. It is negative only outside of the ball.
    """
    reach = epsilon.view(-1, 1, 1, 1) * gradient.abs() - (adversarial - centre) * gradient
    return reach.flatten(1).sum(dim=1)


def carlini_wagner(
    logits: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    constant: float,
    steps: int,
    learning_rate: float,
) -> Tensor:
    """Return images after `steps` of Adam on ||x' - x||² + c max(Z_y - max Z_j, 0) (Carlini 2017, Sec. VI-A).

    logits: images -> (N, K). x' is a tanh, and so inside [0, 1]. The misclassified image nearest to the clean
    one is returned, and where none was found the last one.
    """
    weights = torch.atanh((2 * images.detach() - 1) * (1 - 1e-6))
    optimizer = torch.optim.Adam([weights], lr=learning_rate)
    found = images.detach()
    nearest = torch.full((len(images),), torch.inf, device=images.device)
    for step in range(steps + 1):
        last = step == steps
        with torch.set_grad_enabled(not last):
            candidates = (torch.tanh(weights.requires_grad_(True)) + 1) / 2
            margin = _margin(logits(candidates), labels)
            distance = (candidates - images).flatten(1).square().sum(dim=1)
            objective = (distance + constant * margin.clamp(min=0)).sum()
        better = torch.where(margin < 0, distance, torch.inf).detach() < nearest
        nearest = torch.where(better, distance.detach(), nearest)
        kept = better | nearest.isinf() if last else better
        found = torch.where(kept.view(-1, 1, 1, 1), candidates.detach(), found)
        if not last:
            (weights.grad,) = torch.autograd.grad(objective, weights)
            optimizer.step()
    return found


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return Z_y - max Z_j over the other classes (N,), in float32; below 0 the image is misclassified."""
    logits = logits.float()
    own = logits.gather(1, labels.unsqueeze(1)).squeeze(1)
    others = logits.scatter(1, labels.unsqueeze(1), -torch.inf)
    return own - others.amax(dim=1)


@contextlib.contextmanager
def crafting_mode(module: nn.Module, *, training: bool) -> Iterator[None]:
    """Set the mode of batch norm and dropout for a while; batch norm uses statistics and gathers none.

    training: True uses the statistics of the batch at hand.
    """
    modes = [(part, part.training) for part in module.modules()]
    module.train(training)
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._NormBase)] if training else []
    tracking = [norm for norm in norms if norm.track_running_stats]
    for norm in tracking:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True
        for part, mode in modes:
            part.training = mode


def image_gradient(loss: Loss, images: Tensor) -> Tensor:
    """Return the gradient of each image's loss; the parameters' `.grad` stays as it is."""
    images = images.detach().requires_grad_(True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(loss(images).sum(), images)
    return gradient
