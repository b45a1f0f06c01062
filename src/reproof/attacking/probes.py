"""What a network is like where attacks on it begin: facts that tell a masked gradient from robustness.

Attacks that maximise a loss fail, and not for lack of adversarial examples, where the loss has no gradient or a zero
one, where float32 rounds it to zero because the logits are far apart, where softmax has been applied already, and
where the network draws random numbers (Athalye, Carlini, Wagner 2018, Sec. 3; Carlini et al. 2019, Sec. 5).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from reproof.attacking import decisions, judge

LIMIT = 128
"""How many images are looked at, at most."""
TOLERANCE = 1e-4
"""How far from 1 a sum of probabilities may lie."""
STEPS = (2.0**-11, 2.0**-14)
"""How far looks along a direction go: a deep network bends within the first, float32 rounds the second away."""
FAR, LOOKS = (2.0**-3, 2.0**-2), 8
"""How far looks go that jumps of 8 bits do not disturb, and at how many places of the way the gradient is taken."""
DIRECTIONS = 4
"""How many directions are looked along."""
MISLED = 0.25
"""How much of a change, by its root mean square over the directions, a gradient may get wrong."""


def probe(
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    seed: int,
    batch_size: int,
    device: torch.device | str,
) -> dict[str, Any]:
    """Return plain facts about a classifier at the first LIMIT of some clean images.

    classifier: images to logits; it is left in evaluation mode and on the device.
    images: float32 (N, C, H, W) in [0, 1]. labels: (N,). seed: decides what a network draws, and so which facts
    come back. The global generators come back as they were.

    images: how many were looked at. classes: K. largest_class: the share of the most frequent label among all N.
    differentiable: the cross-entropy depends on the images. zero_gradients: images at which its gradient is exactly
    zero; all of them where it is not differentiable. broken_gradients: images at which it holds NaN or infinity.
    zero_losses: those whose cross-entropy is exactly zero in float32. saturated: those whose largest probability is
    exactly one in float32, which it is where the largest logit leads by more than about 16. margin: the median of
    this lead. probabilities: all outputs lie in [0, 1] and sum to one. difference: the largest distance between the
    outputs of two passes over the same images. random: the distance is more than rounding, or further passes answer
    otherwise. changed: images whose class the second pass changes. compared: images at which the lead of the
    largest logit has a gradient and moves along random directions. misled: those of them at which the gradient does
    not foretell by how much.
    """
    device = torch.device(device)
    classifier.to(device).eval()
    probed, right = images[:LIMIT], labels[:LIMIT]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        _seed(seed, device)
        first, second = (judge.predict(classifier, probed, batch_size, device) for _ in range(2))
        differentiable, zero_gradients, broken_gradients, logits = _gradients(
            classifier, probed, right, batch_size, device
        )
        compared, misled = _foretold(classifier, probed, seed, batch_size, device)
        random = decisions.differ(first, second) or _draws(classifier, probed[:batch_size], device)
    losses = nn.functional.cross_entropy(logits, right.cpu(), reduction="none")
    top = logits.topk(2, dim=1).values
    difference = float((first - second).abs().max())
    sums = first.sum(dim=1)
    return {
        "images": len(probed),
        "classes": logits.shape[1],
        "largest_class": float(labels.bincount().max()) / len(labels),
        "differentiable": differentiable,
        "zero_gradients": zero_gradients,
        "broken_gradients": broken_gradients,
        "zero_losses": int((losses == 0).sum()),
        "saturated": int((logits.softmax(dim=1).amax(dim=1) == 1).sum()),
        "margin": float((top[:, 0] - top[:, 1]).median()),
        "probabilities": bool(
            (first >= 0).all() and (first <= 1).all() and ((sums - 1).abs() <= TOLERANCE).all()
        ),
        "difference": difference,
        "random": random,
        "changed": int((first.argmax(dim=1) != second.argmax(dim=1)).sum()),
        "compared": compared,
        "misled": misled,
    }


def _draws(classifier: nn.Module, images: Tensor, device: torch.device) -> bool:
    """Say whether further passes over some images, one batch, answer otherwise."""
    with judge.frozen(classifier, channels_last=False):
        return decisions.draws_at_random(classifier, images.to(device))


def _gradients(
    classifier: nn.Module, images: Tensor, labels: Tensor, batch_size: int, device: torch.device
) -> tuple[bool, int, int, Tensor]:
    """Return whether the loss depends on the images, at how many its gradient is zero or broken, and logits (N, K).

    The logits are those that attacks differentiate: a purifier answers otherwise where a gradient is asked for.
    """
    differentiable, zero, broken, found = False, 0, 0, []
    for part, right in zip(torch.split(images, batch_size), torch.split(labels, batch_size), strict=True):
        leaf = part.to(device).detach().requires_grad_()
        logits = classifier(leaf).float()
        found.append(logits.detach().cpu())
        gradient = None
        if logits.requires_grad:
            loss = nn.functional.cross_entropy(logits, right.to(device), reduction="sum")
            (gradient,) = torch.autograd.grad(loss, leaf, allow_unused=True)
        if gradient is None:
            zero += len(part)
        else:
            differentiable = True
            zero += int((gradient == 0).flatten(1).all(dim=1).sum())
            broken += int((~gradient.isfinite()).flatten(1).any(dim=1).sum())
    return differentiable, zero, broken, torch.cat(found)


def _foretold(
    classifier: nn.Module, images: Tensor, seed: int, batch_size: int, device: torch.device
) -> tuple[int, int]:
    """Return at how many images the lead of the largest logit has a gradient, and at how many that is a wrong one.

    Finite differences along random signs. An image without any gradient, or whose lead moves no more than float32
    rounds, is not counted. A network that computes in bfloat16 or on 8 bits answers in jumps, beside which a short
    step is nothing: where short ones tell of a wrong gradient, so must its mean along long ones (`_wrong_far`).
    """
    signs = torch.randint(
        2, (len(images), DIRECTIONS, *images.shape[1:]), generator=torch.Generator().manual_seed(seed)
    )
    compared = misled = 0
    for part, ways in zip(torch.split(images, batch_size), torch.split(signs, batch_size), strict=True):
        shown, turns = part.to(device), 2.0 * ways.to(device) - 1
        leaf, lead, top = _lead(classifier, shown, seed)
        gradient = _gradient(leaf, lead)
        if gradient is None:
            continue
        rounding = 64 * torch.finfo(torch.float32).eps * top.values.abs().amax(dim=1).double()
        told, wrong = (
            torch.zeros_like(rounding, dtype=torch.bool),
            torch.ones_like(rounding, dtype=torch.bool),
        )
        for length in STEPS:
            changes, slopes = rounding.new_zeros(2, DIRECTIONS, len(part))
            for row, turn in enumerate(turns.unbind(dim=1)):
                step = _step(shown, turn, length)
                changes[row] = (_lead(classifier, shown + step, seed, top.indices)[1] - lead).detach()
                slopes[row] = (gradient * step).flatten(1).sum(dim=1)
            differs, size = _compare(changes, slopes)
            tells = slopes.any(dim=0) & (size > rounding)
            told |= tells
            wrong &= ~tells | differs
        compared += int(told.sum())
        doubtful = told & wrong
        if doubtful.any():
            misled += int(_wrong_far(classifier, shown[doubtful], turns[doubtful], seed).sum())
    return compared, misled


def _wrong_far(classifier: nn.Module, images: Tensor, turns: Tensor, seed: int) -> Tensor:
    """Say of images whether the lead's gradient, added up on the way, is wrong at each of the lengths FAR; bool (N,).

    turns: (N, DIRECTIONS, C, H, W), 1 and -1. The midpoints of LOOKS parts of the way follow a network's bends.
    """
    _, lead, top = _lead(classifier, images, seed)
    wrong = torch.ones(len(images), dtype=torch.bool, device=images.device)
    for length in FAR:
        changes, slopes = lead.new_zeros(2, DIRECTIONS, len(images))
        for row, turn in enumerate(turns.unbind(dim=1)):
            step = _step(images, turn, length)
            changes[row] = (_lead(classifier, images + step, seed, top.indices)[1] - lead).detach()
            for look in range(LOOKS):
                leaf, ahead, _ = _lead(classifier, images + (look + 0.5) / LOOKS * step, seed, top.indices)
                gradient = _gradient(leaf, ahead)
                if gradient is not None:
                    slopes[row] += (gradient * step).flatten(1).sum(dim=1) / LOOKS
        wrong &= _compare(changes, slopes)[0]
    return wrong


def _lead(
    classifier: nn.Module, images: Tensor, seed: int, classes: Tensor | None = None
) -> tuple[Tensor, Tensor, torch.return_types.topk]:
    """Return a leaf of the images, the lead (N,) of the first of two classes there, and the two largest logits.

    Every pass draws the same numbers, and is one with a gradient: a purifier answers by another function without, on
    purpose. classes: int64 (N, 2); those of the two largest logits if None. float64: squares of leads do not vanish.
    """
    leaf = images.detach().requires_grad_()
    _seed(seed, images.device)
    logits = classifier(leaf).float()
    top = logits.detach().topk(2, dim=1)
    chosen = logits.gather(1, top.indices if classes is None else classes).double()
    return leaf, chosen[:, 0] - chosen[:, 1], top


def _gradient(leaf: Tensor, lead: Tensor) -> Tensor | None:
    """Return the lead's gradient in float64, shaped like the images; None where it does not depend on them."""
    if not lead.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(lead.sum(), leaf, allow_unused=True)
    return None if gradient is None else gradient.double()


def _step(images: Tensor, turn: Tensor, length: float) -> Tensor:
    """Return steps of a length along signs, turned where they would leave [0, 1]."""
    ahead = images + length * turn
    return length * torch.where((ahead < 0) | (ahead > 1), -turn, turn)


def _compare(changes: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Say of images whether changes (directions, N) are not as slopes foretell; and return their size (N,)."""
    size = torch.maximum(_root_mean_square(changes), _root_mean_square(slopes))
    return _root_mean_square(changes - slopes) > MISLED * size, size


def _root_mean_square(values: Tensor) -> Tensor:
    """Return that of (directions, images) over the directions."""
    return values.square().mean(dim=0).sqrt()


def _seed(seed: int, device: torch.device) -> None:
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
