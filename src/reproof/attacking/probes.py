"""What a network is like where attacks on it begin: facts that tell a masked gradient from robustness.

Attacks that maximise a loss fail, and not for lack of adversarial examples, where the loss has no gradient or a zero
one, where float32 rounds it to zero because the logits are far apart, where softmax has been applied already, and
where the network draws random numbers (Athalye, Carlini, Wagner 2018, Sec. 3; Carlini et al. 2019, Sec. 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reproof.attacking import decisions, judge
from reproof.models.attack_loss import Loss, as_attack_loss, on_logits
from reproof.models.classifier import REFUSED

LIMIT = 128
"""How many images are looked at, at most."""
TOLERANCE = 1e-4
"""How far from 1 a sum of probabilities may lie."""
STEPS = (2.0**-11, 2.0**-14)
"""How far looks along a direction go: a deep network bends within the first, float32 rounds the second away."""
FAR, LOOKS = (2.0**-3, 2.0**-2), 8
"""How far looks go that jumps of 8 bits do not disturb, and at how many places of the way the gradient is taken."""
WAYS, PLACES = 32, 32
"""How many images are followed on the way to one of another class, and at how many places of it."""
ASTRAY = 0.5
"""How much of the change on the whole way the gradients may get wrong."""
NOISE = 0.125
"""How far images are moved, each pixel by another uniform draw, to be shown with and without a gradient."""
APART = 0.01
"""How far the leads of two passes over the same image may lie apart, as a share of a lead."""
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
    attack_losses: Mapping[str, Loss] | None = None,
) -> dict[str, Any]:
    """Return plain facts about a classifier at the first LIMIT of some clean images.

    classifier: images to logits; it is left in evaluation mode and on the device.
    images: float32 (N, C, H, W) in [0, 1]. labels: (N,). seed: decides what a network draws, and so which facts
    come back. The global generators come back as they were. attack_losses: all that its defense declares.

    images: how many were looked at. classes: K. largest_class: the share of the most frequent label among all N.
    differentiable: the cross-entropy depends on the images. zero_gradients: images at which its gradient is exactly
    zero; all of them where it is not differentiable. broken_gradients: images at which it holds NaN or infinity.
    zero_losses: those whose cross-entropy is exactly zero in float32. saturated: those whose largest probability is
    exactly one in float32, which it is where the largest logit leads by more than about 16. margin: the median of
    this lead. probabilities: all outputs lie in [0, 1] and sum to one. difference: the largest distance between the
    outputs of two passes over the same images. random: the distance is more than rounding, or further passes answer
    otherwise. changed: images whose class the second pass changes. compared: images at which the lead of the
    largest logit has a gradient and moves along random directions. misled: those of them at which the gradient does
    not foretell by how much. unresolved: images at which there is a gradient, and the lead moves by less than float32
    rounds. followed: images with a gradient on the straight way to an image of another class. astray: those of them
    whose gradients, added up on this way, are not what the network changes by. asked: images, clean and moved ones,
    that were shown with and without a gradient. hidden: those of them for which neither the logits nor those of an
    attack loss that the defense declares are, with a gradient, what the deployed network answers.
    """
    device = torch.device(device)
    classifier.to(device).eval()
    probed, right = images[:LIMIT], labels[:LIMIT]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        _seed(seed, device)
        first, second = (judge.predict(classifier, probed, batch_size, device) for _ in range(2))
        of_gradients, logits = _gradients(classifier, probed, right, batch_size, device)
        random = decisions.differ(first, second) or _draws(classifier, probed[:batch_size], device)
        compared = {
            **_foretold(classifier, probed, seed, batch_size, device),
            **_on_the_way(classifier, probed[: min(WAYS, batch_size)].to(device), seed),
            **_with_and_without(
                classifier, probed[:WAYS], attack_losses or {}, seed, random, batch_size, device
            ),
        }
    return {
        "images": len(probed),
        "classes": logits.shape[1],
        "largest_class": float(labels.bincount().max()) / len(labels),
        "probabilities": _are_probabilities(first),
        "difference": float((first - second).abs().max()),
        "random": random,
        "changed": int((first.argmax(dim=1) != second.argmax(dim=1)).sum()),
        **of_gradients,
        **_of_logits(logits, right.cpu()),
        **compared,
    }


def _of_logits(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return how far logits (N, K) saturate the cross-entropy."""
    losses = nn.functional.cross_entropy(logits, labels, reduction="none")
    top = logits.topk(2, dim=1).values
    return {
        "zero_losses": int((losses == 0).sum()),
        "saturated": int((logits.softmax(dim=1).amax(dim=1) == 1).sum()),
        "margin": float((top[:, 0] - top[:, 1]).median()),
    }


def _are_probabilities(outputs: Tensor) -> bool:
    inside = ((outputs >= 0) & (outputs <= 1)).all()
    return bool(inside and ((outputs.sum(dim=1) - 1).abs() <= TOLERANCE).all())


def _draws(classifier: nn.Module, images: Tensor, device: torch.device) -> bool:
    """Say whether further passes over some images, one batch, answer otherwise."""
    with judge.frozen(classifier, channels_last=False):
        return decisions.draws_at_random(classifier, images.to(device))


def _gradients(
    classifier: nn.Module, images: Tensor, labels: Tensor, batch_size: int, device: torch.device
) -> tuple[dict[str, Any], Tensor]:
    """Return whether the loss depends on the images, at how many its gradient is zero or broken; and logits (N, K).

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
    facts = {"differentiable": differentiable, "zero_gradients": zero, "broken_gradients": broken}
    return facts, torch.cat(found)


def _foretold(
    classifier: nn.Module, images: Tensor, seed: int, batch_size: int, device: torch.device
) -> dict[str, int]:
    """Return at how many images the largest logit's lead and its gradient can be compared, differ, and cannot be.

    Finite differences along random signs. An image without any gradient is not counted. A network that computes in
    bfloat16 or on 8 bits answers in jumps, beside which a short step is nothing, and one whose logits share a large
    number loses it in rounding: where short steps tell of a wrong gradient, or nothing, its mean along long ones
    decides (`_far`). Where these move the lead by no more than float32 rounds either, the two cannot be compared.
    """
    signs = torch.randint(
        2, (len(images), DIRECTIONS, *images.shape[1:]), generator=torch.Generator().manual_seed(seed)
    )
    compared = misled = unresolved = 0
    for part, ways in zip(torch.split(images, batch_size), torch.split(signs, batch_size), strict=True):
        shown, turns = part.to(device), 2.0 * ways.to(device) - 1
        leaf, lead, top = _lead(classifier, shown, seed)
        gradient = _gradient(leaf, lead)
        if gradient is None:
            continue
        rounding = _rounding(top)
        told = torch.zeros_like(rounding, dtype=torch.bool)
        inclined, wrong = told.clone(), ~told
        for length in STEPS:
            changes, slopes = rounding.new_zeros(2, DIRECTIONS, len(part))
            for row, turn in enumerate(turns.unbind(dim=1)):
                step = _step(shown, turn, length)
                changes[row] = (_lead(classifier, shown + step, seed, top.indices)[1] - lead).detach()
                slopes[row] = (gradient * step).flatten(1).sum(dim=1)
            differs, size = _compare(changes, slopes)
            inclined |= ((slopes != 0) & slopes.isfinite()).any(dim=0)
            tells = slopes.any(dim=0) & (size > rounding)
            told |= tells
            wrong &= ~tells | differs
        doubtful = (inclined | told) & wrong  # also where nothing was told
        if doubtful.any():
            tells, wrong_far = _far(classifier, shown[doubtful], turns[doubtful], seed)
            misled += int((wrong_far & (tells | told[doubtful])).sum())
            told[doubtful] |= tells
        compared += int(told.sum())
        unresolved += int((inclined & ~told).sum())
    return {"compared": compared, "misled": misled, "unresolved": unresolved}


def _far(classifier: nn.Module, images: Tensor, turns: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Say of images whether the lead moves at one of the lengths FAR, and whether its gradient is wrong at each.

    bool (N,) both. The gradient is added up on the way. turns: (N, DIRECTIONS, C, H, W), 1 and -1. The midpoints of
    LOOKS parts of the way follow a network's bends.
    """
    _, lead, top = _lead(classifier, images, seed)
    moves = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    wrong = ~moves
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
        differs, size = _compare(changes, slopes)
        moves |= size > _rounding(top)
        wrong &= differs
    return moves, wrong


def _rounding(top: torch.return_types.topk) -> Tensor:
    """Return by how much less float32 may get a lead of these logits wrong (N,), generously."""
    return 64 * torch.finfo(torch.float32).eps * top.values.abs().amax(dim=1).double()


def _on_the_way(classifier: nn.Module, images: Tensor, seed: int) -> dict[str, int]:
    """Return at how many images there is a gradient towards another class, and how many it leads astray.

    images: one batch, on the device. The integral of the gradient of a lead is the lead's change, whatever the network:
    by midpoints, and within ASTRAY, also for one that computes on few digits. One that decides by jumps that have no
    gradient, beside a slope that means nothing, foretells each small step and not the whole way.
    """
    own = _lead(classifier, images, seed)[2].indices[:, 0]
    places = torch.arange(len(own), device=own.device)
    nearest = len(own) - (places - places[:, None]) % len(own)
    nearness, other = torch.where(own != own[:, None], nearest, 0).max(dim=1)
    classes = torch.stack([own, own[other]], dim=1)
    way = images[other] - images
    start, end = (_lead(classifier, shown, seed, classes)[1].detach() for shown in (images, images[other]))
    told = torch.zeros_like(start)
    for place in range(PLACES):
        leaf, lead, _ = _lead(classifier, images + (place + 0.5) / PLACES * way, seed, classes)
        gradient = _gradient(leaf, lead)
        if gradient is not None:
            told += (gradient * way).flatten(1).sum(dim=1) / PLACES
    known = (nearness > 0) & (told != 0) & told.isfinite()
    change = end - start
    wrong = (told - change).abs() > ASTRAY * change.abs()
    return {"followed": int(known.sum()), "astray": int((known & wrong).sum())}


def _with_and_without(
    classifier: nn.Module,
    images: Tensor,
    attack_losses: Mapping[str, Loss],
    seed: int,
    random: bool,
    batch_size: int,
    device: torch.device,
) -> dict[str, int]:
    """Return of how many images the deployed answer is known, as they are and moved, and of how many it is hidden.

    They are moved by NOISE: a purifier may leave clean images alone.
    """
    drawn = torch.rand(images.shape, generator=torch.Generator().manual_seed(seed))
    moved = (images + NOISE * (2 * drawn - 1)).clamp(0, 1)
    asked = hidden = 0
    for part in torch.split(torch.cat([images, moved]), batch_size):
        known, alike = answered(classifier, part.to(device), attack_losses, seed, random)
        asked += int(known.sum())
        hidden += int((known & ~alike).sum())
    return {"asked": asked, "hidden": hidden}


def answered(
    classifier: nn.Module, images: Tensor, attack_losses: Mapping[str, Loss], seed: int, random: bool
) -> tuple[Tensor, Tensor]:
    """Return for which images the deployed answer is known, and for which a pass with a gradient has it; bool (N,).

    images: one batch, on the device. What is deployed are logits without a gradient, up to a shift, and classes. The
    plain pass may have these logits, or one of an attack loss on logits of its own; the class, any attack loss. A
    refusal is no class. Every pass draws the same numbers; of a network that draws (`random`) the logits alone
    count, and an image for which they are others each time is not known.
    """

    def deployed() -> tuple[Tensor, Tensor]:
        _seed(seed, images.device)
        with torch.inference_mode():
            logits = classifier(images) if random else None
            classes, logits = (
                decisions.deployed(classifier, images) if logits is None else (logits.argmax(dim=1), logits)
            )
        return (
            classes.clone(),
            logits.clone().float(),
        )  # what inference leaves cannot be differentiated beside

    def with_gradient(images: Tensor) -> Tensor:
        logits: Tensor = classifier(images)
        return logits

    classes, logits = deployed()
    has_logits = torch.zeros_like(classes, dtype=torch.bool)
    has_class = (logits.argmax(dim=1) == classes) | (classes == REFUSED)
    losses = [as_attack_loss(loss, with_gradient) for loss in attack_losses.values()]
    for loss in (on_logits(with_gradient), *losses):
        if (has_logits & has_class).all():
            break
        leaf = images.detach().requires_grad_()
        _seed(seed, images.device)
        found = loss.parts(leaf, classes.clamp(min=0))[0].detach().float()
        if loss.logits is not None:
            has_logits = has_logits | _same_leads(logits, found)
        has_class = has_class | (found.argmax(dim=1) == classes)
    alike = has_logits & has_class
    again = alike if alike.all() else _same_leads(logits, deployed()[1])
    return alike | again, alike


def _same_leads(logits: Tensor, others: Tensor) -> Tensor:
    """Say of images whether two passes' logits (N, K) are the same but for a shift and for rounding; bool (N,)."""
    if logits.shape != others.shape:
        return torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    first, second = logits.double(), others.double()
    top = first.argmax(dim=1, keepdim=True)
    lead, other = (one.gather(1, top) - one for one in (first, second))
    size = torch.maximum(lead.abs(), lead.abs().median(dim=1, keepdim=True).values)
    rounding = 64 * torch.finfo(torch.float32).eps * (first.abs() + first.gather(1, top).abs())
    return ((lead - other).abs() <= APART * size + rounding).all(dim=1)


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
