"""G. Hinton, O. Vinyals, J. Dean. Distilling the Knowledge in a Neural Network. NIPS Deep Learning Workshop 2014.

As in Mirzaeian et al. 2021 (KD, Sec. 4.1), which compares its own ensemble with it: networks join an ensemble one by
one, and each learns the labels and the softmax probabilities of all earlier, frozen networks. The opposite of a
diverse ensemble, it shows what becomes of a vote among networks that were taught to agree.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from reproof.models.defense import Progress, Trainee
from reproof.models.voting import VotingDefense
from reproof.settings.cost import ADVERSARIAL_STEP, FORWARD
from reproof.settings.defense import VotingSettings
from reproof.settings.values import NonNegative, Positive


class Settings(VotingSettings):
    """Settings of a network that learns from earlier ones, and of the vote with them."""

    title: ClassVar[str] = "distilled ensemble"
    learns_beside: ClassVar[bool] = True

    temperature: Positive = 1.0
    """T by which the logits of all networks are divided before the softmax of the divergence (Hinton, Eq. 1). The
    divergence counts T² times, as Hinton's Sec. 2 says; Mirzaeian speaks of no temperature."""
    weight: NonNegative = 0.5
    """Weight of the divergence beside the cross-entropy, whose own is 1; Mirzaeian does not say."""
    teacher: Literal["mean", "each"] = "mean"
    """mean: one divergence from the mean of the earlier networks' probabilities. each: one from every network, all of
    the same weight and added up; their average would train the very weights that `mean` does, since the two differ
    by what the student cannot change."""

    def relative_cost(self) -> float:
        """Return a step's cost with one frozen peer: its pass forward; each further one adds as much.

        How many there are is the config entry's, not the method's, to say.
        """
        return 1 + FORWARD * ADVERSARIAL_STEP


class DistilledEnsemble(VotingDefense[Settings]):
    """Cross-entropy, and the divergence from the probabilities of the networks that were trained before."""

    deviations: ClassVar[tuple[str, ...]] = (
        "The divergence is KL(teacher ‖ student), as in Hinton et al.; Mirzaeian et al. do not say which of the two "
        "comes first.",
        "The main network votes too, so that an ensemble of three has two students.",
    )

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        """Return the cross-entropy and `weight` T² times KL(teacher ‖ student), per image (N,).

        Without peers it is the cross-entropy. The frozen networks are differentiated only where the
        images ask for a gradient.
        """
        if not self.peers:
            return super().loss(trainee, images, labels, progress)
        logits = trainee(images)
        with torch.set_grad_enabled(torch.is_grad_enabled() and images.requires_grad):
            taught = torch.stack([self.log_probabilities(network(images)) for network in self.peers])
            if self.settings.teacher == "mean":
                taught = taught.logsumexp(dim=0, keepdim=True) - math.log(len(taught))
        student = self.log_probabilities(logits).expand_as(taught)
        divergence = nn.functional.kl_div(student, taught, reduction="none", log_target=True).sum(dim=(0, 2))
        loss = nn.functional.cross_entropy(logits, labels, reduction="none")
        return loss + self.settings.weight * self.settings.temperature**2 * divergence

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Return the logarithm of the softmax (N, K) at the temperature, in float32."""
        return nn.functional.log_softmax(logits.float() / self.settings.temperature, dim=1)
