"""What counts: predictions of the deployed classifier on the images that came back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from foolbox.attacks.base import Attack, MinimizationAttack
from torch import Tensor, nn

from reproof.attacking import threat_model
from reproof.attacking.batch import Batch
from reproof.errors import ReproofError
from reproof.settings.attack import AttackSettings, Point


def predict(classifier: nn.Module, images: Tensor, batch_size: int, device: torch.device | str) -> Tensor:
    """Return float32 logits (N, K) on the CPU, in evaluation mode: every judgement uses these.

    ReproofError when the classifier answers with NaN, which would count as some class or other.
    """
    with frozen(classifier, channels_last=False), torch.inference_mode():
        parts = [classifier(part.to(device)).float().cpu() for part in torch.split(images, batch_size)]
    logits = torch.cat(parts)
    if logits.isnan().any():
        image = int(logits.isnan().any(dim=1).nonzero()[0])
        raise ReproofError(f"the classifier answers image {image} with NaN; it cannot be judged")
    return logits


def judge(
    classifier: nn.Module,
    attack: Attack,
    settings: AttackSettings,
    point: Point,
    batch: Batch,
    found: Tensor,
    where: str,
) -> tuple[Tensor, Tensor]:
    """Return the images that count and their classes; both on the batch's device.

    Images within rounding of the edge of the ball or of [0, 1] are put inside; others raise BudgetError.
    """
    clean, count = batch.images, len(batch.images)
    threat_model.check(clean, found, settings.norm, point.epsilon, where)
    if settings.norm == "linf" and point.epsilon is not None:
        found = torch.maximum(torch.minimum(found, clean + point.epsilon), clean - point.epsilon)
    found = found.clamp(0, 1).contiguous()
    if isinstance(attack, MinimizationAttack):
        # Foolbox marks a failure by an all-zero image, which may be misclassified without being an example.
        blank = (found == 0).flatten(1).all(dim=1)
        found = torch.where(blank[:, None, None, None], clean, found)
    predicted = predict(classifier, found, count, clean.device).argmax(dim=1).to(clean.device)
    failed = predicted == batch.labels
    if point.epsilon is None and failed.any():
        found[failed] = clean[failed]
        predicted[failed] = (
            predict(classifier, found[failed], count, clean.device).argmax(dim=1).to(clean.device)
        )
    return found, predicted


@contextmanager
def frozen(classifier: nn.Module, channels_last: bool) -> Iterator[None]:
    """Put the classifier in evaluation mode without parameter gradients; afterwards all is as it was."""
    modes = [(module, module.training) for module in classifier.modules()]
    kept = [(p, p.requires_grad, p.grad, p.data) for p in classifier.parameters()]
    classifier.eval()
    for parameter, _, _, data in kept:
        parameter.requires_grad_(False)
        if channels_last and data.ndim == 4:
            # A copy in any case: `contiguous` keeps the strides of a kernel of one channel, which then make the
            # convolution answer in the other format.
            parameter.data = data.clone(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires_grad, gradient, data in kept:
            parameter.data = data
            parameter.requires_grad_(requires_grad)
            parameter.grad = gradient
