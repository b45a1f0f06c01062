"""How a network's loss changes around test images: the surface and the lines of Seiler, Fig. 5 and 6.

The loss is the cross-entropy of the deployed classifier's logits in float32, per image, and it is capped nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reproof.attacking.gradient import differentiate
from reproof.errors import ArtifactError
from reproof.models.classifier import Classifier


@dataclass(frozen=True)
class Losses:
    """What a classifier makes of images, on the CPU."""

    losses: Tensor
    """float32 (N,): cross-entropy on the logits, at least 0."""
    correct: Tensor
    """bool (N,): whether the class that it decides for is the label."""


def signs(
    classifier: Classifier, images: Tensor, labels: Tensor, *, batch_size: int, device: torch.device
) -> Tensor:
    """Return the sign of the loss's gradient with respect to each image, float32 (N, C, H, W) of -1, 0 and 1.

    images: (N, C, H, W) in [0, 1]. All zero for an image whose gradient vanishes. StudyError where the network
    has no gradient at all.
    """
    classifier.eval()
    found = []
    for part, truth in zip(torch.split(images, batch_size), torch.split(labels, batch_size), strict=True):
        leaf = part.to(device).detach().requires_grad_()
        logits = classifier(leaf).float()
        loss = nn.functional.cross_entropy(logits, truth.to(device), reduction="sum")
        found.append(differentiate(loss, leaf).sign().cpu())
    return torch.cat(found)


def measure(
    classifier: Classifier, batches: Iterable[Tensor], labels: Iterable[Tensor], *, device: torch.device
) -> Losses:
    """Return loss and decision for batches of images (n, C, H, W) and of their labels (n,).

    ArtifactError where a loss is not finite, which no figure could show.
    """
    classifier.eval()
    losses, correct = [], []
    with torch.inference_mode():
        for images, truth in zip(batches, labels, strict=True):
            answers, truth = classifier.answers(images.to(device)), truth.to(device)
            found = nn.functional.cross_entropy(answers.logits.float(), truth, reduction="none")
            if not found.isfinite().all():
                raise ArtifactError("the network's loss is not finite; train it again")
            losses.append(found.cpu())
            correct.append((answers.classes == truth).cpu())
    return Losses(torch.cat(losses), torch.cat(correct))


def surface(
    classifier: Classifier,
    image: Tensor,
    label: Tensor,
    direction_1: Tensor,
    direction_2: Tensor,
    shifts: Sequence[tuple[float, float]],
    *,
    clip: bool,
    batch_size: int,
    device: torch.device,
) -> Losses:
    """Return the loss at x + ε1 d1 + ε2 d2 for each (ε1, ε2) of shifts, in their order (Seiler, Fig. 5).

    image: (C, H, W) in [0, 1]. label: (). directions: as `signs` gives them, of this shape. shifts: in units of
    the pixels' [0, 1]. clip: put every pixel back into [0, 1], so that what is measured is an image.
    """

    def batches() -> Iterator[Tensor]:
        for first in range(0, len(shifts), batch_size):
            part = torch.tensor(shifts[first : first + batch_size], dtype=torch.float32)
            along_1, along_2 = part[:, :1, None, None], part[:, 1:, None, None]
            moved = image + along_1 * direction_1 + along_2 * direction_2
            yield moved.clamp(0, 1) if clip else moved

    labels = (label.expand(len(part)) for part in torch.split(torch.empty(len(shifts)), batch_size))
    return measure(classifier, batches(), labels, device=device)


def line(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    directions: Tensor,
    epsilon: float,
    *,
    clip: bool,
    batch_size: int,
    device: torch.device,
) -> Losses:
    """Return the loss of every image at x + ε d: a step of FGSM, as long as ε (Seiler, Fig. 6).

    images, directions: (N, C, H, W). labels: (N,). epsilon: in units of the pixels' [0, 1]. clip: as for `surface`.
    """
    moved = images + epsilon * directions
    if clip:
        moved = moved.clamp(0, 1)
    return measure(classifier, torch.split(moved, batch_size), torch.split(labels, batch_size), device=device)
