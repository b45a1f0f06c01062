"""What counts: predictions of the deployed classifier on the images that came back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from reproof.attacking import ball, threat_model
from reproof.attacking.batch import Batch
from reproof.attacking.decisions import decided, finite
from reproof.batch_size import in_batches
from reproof.settings.values import Norm


def predict(classifier: nn.Module, images: Tensor, batch_size: int, device: torch.device | str) -> Tensor:
    """Return float32 logits (N, K) on the CPU, in evaluation mode.

    ReproofError when the classifier answers with NaN or infinity, which would count as some class or other.
    """
    with frozen(classifier, channels_last=False), torch.inference_mode():
        parts = in_batches(
            lambda part: classifier(part).float().cpu(), images, batch_size, device, "predictions"
        )
    logits = torch.cat(parts)
    finite(logits)
    return logits


def classes(classifier: nn.Module, images: Tensor, batch_size: int, device: torch.device | str) -> Tensor:
    """Return the classes (N,) on the CPU that the deployed classifier decides for: every judgement uses these.

    A classifier that says so (`Classifier.answers`) may vote or refuse; REFUSED is never the right class. Of any other
    the largest logit decides. ReproofError as of `predict`.
    """
    with frozen(classifier, channels_last=False), torch.inference_mode():
        parts = in_batches(
            lambda part: decided(classifier, part).cpu(), images, batch_size, device, "predictions"
        )
    return torch.cat(parts)


def judge(batch: Batch, found: Tensor, norm: Norm | None, where: str) -> tuple[Tensor, Tensor]:
    """Return the images that count and their classes; both on the batch's device.

    found: what an attack made of the batch's images. Those within rounding of the edge of [0, 1], or of a ball of linf
    or l2, are put inside; others raise BudgetError, which names `where`. Failed samples of attacks without a budget,
    those that are still right, get their originals back; a refused one has been moved until it was not right, and
    stays.
    """
    clean, epsilon = batch.images, batch.epsilon
    threat_model.check(clean, found, norm, epsilon, where)
    if norm == "linf" and epsilon is not None:
        found = torch.maximum(torch.minimum(found, clean + epsilon), clean - epsilon)
    if norm == "l2" and epsilon is not None:
        found = ball.project(clean, found, norm, epsilon)
    found = found.clamp(0, 1).contiguous()
    predicted = _classes(batch, found)
    failed = predicted == batch.labels
    if epsilon is None and failed.any():
        found[failed] = clean[failed]
        predicted[failed] = _classes(batch, found[failed])
    return found, predicted


def _classes(batch: Batch, images: Tensor) -> Tensor:
    """Return the deployed classifier's classes, in one batch as large as the whole, on the batch's device."""
    device = batch.images.device
    return classes(batch.classifier, images, len(batch.images), device).to(device)


@contextmanager
def frozen(classifier: nn.Module, channels_last: bool) -> Iterator[None]:
    """Put the classifier in evaluation mode without parameter gradients; afterwards all is as it was."""
    modes = [(module, module.training) for module in classifier.modules()]
    kept = [(p, p.requires_grad, p.grad, p.data) for p in classifier.parameters()]
    if any(training for _, training in modes):
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
            if module.training != training:  # setting it costs a module's own `__setattr__`
                module.training = training
        for parameter, requires_grad, gradient, data in kept:
            parameter.data = data
            parameter.requires_grad_(requires_grad)
            parameter.grad = gradient
