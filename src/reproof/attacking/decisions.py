"""What a deployed classifier decides, and whether it decides the same when it is asked again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reproof.errors import ReproofError
from reproof.models.classifier import Answers, Classifier

ROUNDING = 1e-4
"""How far two passes over the same image may lie apart, as a share of the largest logit that can be decided for."""
FEW, PASSES = 4, 8
"""How many images are shown again, and how often: a pick of one of two networks for each pass goes unseen in two passes
half of the time."""
MANY = 32
"""How often all images are shown where a draw was seen: a vote over noise seldom changes."""


def decided(classifier: nn.Module, images: Tensor) -> Tensor:
    """Return the deployed classifier's classes (N,) of one batch, on its device. ReproofError as of `predict`."""
    return deployed(classifier, images)[0]


def deployed(classifier: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the deployed classifier's classes (N,) and logits (N, K) of one batch. ReproofError as of `predict`."""
    answers = getattr(classifier, "answers", None)
    if answers is None:
        logits: Tensor = classifier(images)
        finite(logits)
        return logits.argmax(dim=1), logits
    found: Answers = answers(images)
    finite(found.logits)
    return found.classes, found.logits


def finite(logits: Tensor) -> None:
    """Raise ReproofError where a logit (N, K) is no finite number; the message names the image."""
    broken = ~logits.isfinite()
    if broken.any():
        image = int(broken.any(dim=1).nonzero()[0])
        said = "NaN" if logits[image].isnan().any() else "an infinite logit"
        raise ReproofError(f"the classifier answers image {image} with {said}; it cannot be judged")


def differ(first: Tensor, other: Tensor) -> bool:
    """Say whether logits (N, K) of the same images lie apart by more than rounding.

    The scale is the largest of any image's two largest logits, and each logit's own size: a class that is masked with
    -1e9 hides nothing.
    """
    scale = first.abs().clamp(min=max(1.0, float(first.topk(2, dim=1).values.abs().max())))
    return bool(((first - other).abs() > ROUNDING * scale).any())


def draws_at_random(classifier: nn.Module, images: Tensor) -> bool:
    """Say whether the deployed classifier answers the same images (N, C, H, W) otherwise when it is asked again.

    Logits count, and decisions that are made by more than these. A few images are shown some times; all of them, and
    more often, where that drew from torch's global generators, which decides nothing by itself. All are one batch.
    """
    before = _generators(images.device)
    if _changes(classifier, images[:FEW], PASSES):
        return True
    after = _generators(images.device)
    drew = any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    return drew and _changes(classifier, images, MANY)


def _changes(classifier: nn.Module, images: Tensor, passes: int) -> bool:
    """Say whether one of some passes over a batch of images answers otherwise than the first."""
    by_logits = getattr(type(classifier), "answers", Classifier.answers) is Classifier.answers
    with torch.inference_mode():
        logits = classifier(images).float()
        if any(differ(logits, classifier(images).float()) for _ in range(passes - 1)):
            return True
        if by_logits:
            return False
        classes = decided(classifier, images)
        return any(bool((decided(classifier, images) != classes).any()) for _ in range(passes - 1))


def _generators(device: torch.device) -> list[Tensor]:
    """Return the states of torch's global generators that a network on a device draws from."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states
