"""What a deployed classifier decides, and whether it decides the same when it is asked again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reproof.errors import ReproofError
from reproof.models.classifier import Answers

ROUNDING = 1e-4
"""How far two passes over the same image may lie apart, as a share of the largest logit."""


def decided(classifier: nn.Module, images: Tensor) -> Tensor:
    """Return the deployed classifier's classes (N,) of one batch, on its device. ReproofError as of `predict`."""
    answers = getattr(classifier, "answers", None)
    if answers is None:
        logits: Tensor = classifier(images)
        finite(logits)
        return logits.argmax(dim=1)
    found: Answers = answers(images)
    finite(found.logits)
    return found.classes


def finite(logits: Tensor) -> None:
    """Raise ReproofError where a logit (N, K) is no finite number; the message names the image."""
    broken = ~logits.isfinite()
    if broken.any():
        image = int(broken.any(dim=1).nonzero()[0])
        said = "NaN" if logits[image].isnan().any() else "an infinite logit"
        raise ReproofError(f"the classifier answers image {image} with {said}; it cannot be judged")


def draws_at_random(classifier: nn.Module, images: Tensor) -> bool:
    """Say whether two passes over the same images (N, C, H, W) differ by more than rounding."""
    with torch.inference_mode():
        first, second = (classifier(images).float() for _ in range(2))
    return bool((first - second).abs().max() > ROUNDING * max(1.0, float(first.abs().max())))
