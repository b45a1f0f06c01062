"""Attacks written once more, as plainly as can be, to hold the project's own against. They share no code with them.

python -m tests.plain_attacks MODEL ... [--study STUDY.yaml]   # a table: what each leaves of 100 images
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Logits = Callable[[Tensor], Tensor]


def pgd(
    logits: Logits,
    decide: Logits,
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    *,
    steps: int,
    restarts: int,
    loss: str,
) -> Tensor:
    """Return which images stand after PGD, bool (N,): right at every iterate of every restart.

    logits: what is differentiated; decide: images to classes (N,). loss: ce, margin, or all (a margin towards each
    class in turn). Steps are of an eighth of epsilon, then of a fortieth in the second half.
    """
    generator = torch.Generator().manual_seed(0)
    stands = decide(images) == labels
    classes = logits(images[:1]).shape[1]
    for _ in range(restarts):
        for target in range(classes) if loss == "all" else (-1,):
            start = images + epsilon * (2 * torch.rand(images.shape, generator=generator) - 1)
            rows = stands.nonzero().flatten()  # what has fallen needs no other try
            clean, known, moved = images[rows], labels[rows], start[rows].clamp(0, 1)
            for step in range(steps if len(rows) else 0):
                leaf = moved.clone().requires_grad_()
                (gradient,) = torch.autograd.grad(_loss(logits(leaf), known, target, loss).sum(), leaf)
                size = epsilon / 8 if step < steps // 2 else epsilon / 40
                moved = moved + size * gradient.nan_to_num(0, 1, -1).sign()
                moved = torch.maximum(torch.minimum(moved, clean + epsilon), clean - epsilon).clamp(0, 1)
                if step % 5 == 4 or step == steps - 1:
                    stands[rows] &= decide(moved) == known
    return stands


def _loss(logits: Tensor, labels: Tensor, target: int, loss: str) -> Tensor:
    if loss == "ce":
        return nn.functional.cross_entropy(logits, labels, reduction="none")
    rows = torch.arange(len(labels))
    own = logits[rows, labels]
    if loss == "all":
        return logits[:, target] - own
    others = logits.clone()
    others[rows, labels] = -torch.inf
    return others.max(dim=1).values - own
