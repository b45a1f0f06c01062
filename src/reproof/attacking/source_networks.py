"""Several trained networks that are attacked together, as the one source of images that others are shown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SourceNetworks(nn.Module):
    """Networks of one data set, each from images (N, C, H, W) in [0, 1] to logits (N, K).

    Together they answer with the logarithm of their mean softmax (N, K): what an attack maximises that knows
    nothing of members. One that does, such as the gradient ensemble attack, asks `members`.
    """

    def __init__(self, members: Sequence[nn.Module]):
        super().__init__()
        if not members:
            raise ValueError("there is no network to attack")
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logarithm of the members' mean softmax, (N, K)."""
        answers = torch.stack([member(images).log_softmax(dim=1) for member in self.members])
        return answers.logsumexp(dim=0) - math.log(len(self.members))


def members_of(classifier: nn.Module) -> tuple[nn.Module, ...]:
    """Return the networks that are attacked together; of any other network, itself."""
    return tuple(classifier.members) if isinstance(classifier, SourceNetworks) else (classifier,)


def fooled(
    clean: Sequence[Tensor], perturbed: Sequence[Tensor], labels: Tensor, clean_correct: bool
) -> Tensor:
    """Return the images that fool all networks, bool (N,): each one's class on the perturbed image is wrong.

    clean, perturbed: each network's classes (N,). clean_correct: each must be right on the clean image, too
    (Seiler, Sec. II-A and V-C). The networks need not agree on the wrong class.
    """
    if len(clean) != len(perturbed) or not perturbed:
        raise ValueError("each network should be asked about the clean and about the perturbed images")
    wrong = torch.stack([classes != labels for classes in perturbed]).all(dim=0)
    right = torch.stack([classes == labels for classes in clean]).all(dim=0)
    return wrong & right if clean_correct else wrong
