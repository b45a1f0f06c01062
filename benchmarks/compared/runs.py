"""What is compared: one library's run of one attack, and the settings that all of them share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

PGD_STEPS = {"pgd10": (10, 0.1), "pgd100": (100, 0.025)}
"""Steps, and the length of each as a share of the budget."""
EPSILONS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
"""The papers' budgets on grey digits."""
APGD_STEPS = 50
CONSTANT, CW_STEPS, CW_RATE = 1.0, 100, 0.01
DEEPFOOL_STEPS, OVERSHOOT = 50, 0.02
FMN_STEPS, FMN_STEP, FMN_GAMMA = 50, 1.0, 0.05
QUERIES = 1000
"""Square's, in AutoAttack; the authors' 5,000 would take most of the time."""
GAMMA = 0.1
"""JSMA: share of an image's pixels that may change."""

Attacked = Tensor | Sequence[Tensor]
"""Attacked images, or those of several epsilons."""


@dataclass(frozen=True)
class Run:
    """One library's run of one attack."""

    name: str
    work: Callable[[], Attacked]
    differs: str = ""
    """What it does otherwise than ours, so that its time is not counted; empty where it does the same."""


def pairs(images: Tensor) -> int:
    """Return how many pairs of pixels JSMA may change."""
    return math.ceil(images[0].numel() * GAMMA / 2)


def asked(network: nn.Module, found: Tensor) -> Tensor:
    """Return the images, having asked for their classes, as all must who want to know which are fooled."""
    for parameter in network.parameters():
        parameter.grad = None
    found = found.detach()
    with torch.no_grad():
        network(found).argmax(dim=1)
    return found
