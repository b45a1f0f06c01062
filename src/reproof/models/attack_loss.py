"""What an attacker maximises: a loss on logits, and what a defense's attack loss adds to it.

A loss on logits is a form: cross-entropy, the margin, or the margin of one target class. An attack loss says which
logits an attacker takes (those behind a purifier, those of a vote) and what is maximised beside a form of them (the
pull to a class centre). So each form combines with each attack loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reproof.errors import StudyError

Logits = Callable[[Tensor], Tensor]
"""Images (N, C, H, W) to logits (N, K)."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Images (N, C, H, W), labels (N,) -> a number per image (N,) that an attacker maximises."""

Form = Callable[[Tensor, Tensor], Tensor]
"""Logits (N, K), labels (N,) -> a number per image (N,); a targeted one takes `aims` (N, 2) in place of labels."""

Parts = Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]
"""Images (N, C, H, W), labels (N,) -> logits (N, K), and a number per image (N,) that is added, None for 0."""


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy (N,)."""
    return nn.functional.cross_entropy(logits, labels, reduction="none")


def excess(logits: Tensor, labels: Tensor) -> Tensor:
    """Return Z_y - max_{k≠y} Z_k per image (N,): negative where another class wins. logits: (N, K)."""
    own = logits.gather(1, labels[:, None]).squeeze(1)
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return own - others.amax(dim=1)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the largest other logit minus the label's (N,), which has a gradient where cross-entropy's vanishes."""
    return -excess(logits, labels)


def targeted_margin(logits: Tensor, aims: Tensor) -> Tensor:
    """Return a target's logit minus the label's (N,): Gowal et al. 2019, An Alternative Surrogate Loss, Eq. 5.

    aims: int64 (N, 2), each image's label and its target.
    """
    own, target = logits.gather(1, aims).unbind(dim=1)
    return target - own


def logits_ratio(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the margin over the first less the third largest logit (N,), the DLR of Croce and Hein 2020 (Eq. 6).

    It does not change with the logits' scale, at which cross-entropy's gradient may vanish. StudyError for fewer than
    three classes.
    """
    if logits.shape[1] < 3:
        raise StudyError(f"the loss dlr needs at least three classes, not {logits.shape[1]}")
    largest = logits.topk(3, dim=1).values
    return margin(logits, labels) / (largest[:, 0] - largest[:, 2] + 1e-12)


FORMS: dict[str, Form] = {"cross_entropy": cross_entropy, "margin": margin, "dlr": logits_ratio}


@dataclass(frozen=True)
class AttackLoss:
    """An attack loss: a form of the logits that its parts give, plus what they add.

    Called with images (N, C, H, W) and labels (N,) it is what the defense declares: `own`, or cross-entropy plus what
    is added.
    """

    parts: Parts
    own: Loss | None = None
    logits: Logits | None = None
    """The logits, where nothing is added to a form of them."""
    stands_in: bool = False
    """Whether its gradient stands in for one that there is none of, as a purifier's."""
    accepted: bool = False
    """Whether the attacker wants a wrong answer: an image that is refused is then not won (Batch.won)."""

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss (N,)."""
        return self.with_form(cross_entropy)(images, labels) if self.own is None else self.own(images, labels)

    def with_form(self, form: Form) -> Loss:
        """Return the loss with another form; a targeted one is called with `aims` (N, 2) in place of labels."""

        def loss(images: Tensor, labels: Tensor) -> Tensor:
            logits, added = self.parts(images, labels[:, 0] if labels.ndim == 2 else labels)
            found = form(logits, labels)
            return found if added is None else found + added

        return loss


def on_logits(logits: Logits, *, stands_in: bool = False) -> AttackLoss:
    """Return the attack loss on these logits alone, with nothing added."""
    return AttackLoss(lambda images, labels: (logits(images), None), logits=logits, stands_in=stands_in)


def as_attack_loss(loss: Loss, logits: Logits) -> AttackLoss:
    """Return a loss that does not say which logits it takes as one that is added to a form of the model's."""
    if isinstance(loss, AttackLoss):
        return loss
    return AttackLoss(lambda images, labels: (logits(images), loss(images, labels)), own=loss)
