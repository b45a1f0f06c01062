"""T. Pang, K. Xu, C. Du, N. Chen, J. Zhu. Improving Adversarial Robustness via Promoting Ensemble Diversity. ICML
2019 ("ADP", adaptive diversity promoting).

Several networks are trained together, and what they say of the classes that an image does not belong to shall
differ: the volume that these non-maximal predictions span is maximised, and so is the entropy of the mean
prediction, without which they could not differ. The mean of their probabilities decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.errors import StudyError
from reproof.models.attack_loss import AttackLoss
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense, Progress, Trainee
from reproof.models.voting import Ensemble, log_mean_softmax, mean_logits_loss, member_logits
from reproof.settings.defense import DefenseSettings
from reproof.settings.values import NonNegative, Whole

JITTER = 1e-6
"""Added to the diagonal of the Gram matrix, as in the public code: equal predictions have a finite logarithm."""


class Settings(DefenseSettings):
    """Settings of adaptive diversity promoting (ADP)."""

    title: ClassVar[str] = "adaptive diversity promoting"
    attack_losses: ClassVar[tuple[str, ...]] = ("joint", "mean_logits")
    surrogates: ClassVar[tuple[str, ...]] = ("mean_logits",)

    members: Annotated[Whole, Field(ge=2)] = 3
    """K: networks trained together (the paper: 3). Of more than one fewer than there are classes, not all can
    be orthogonal to each other."""
    alpha: NonNegative = 2.0
    """α: weight of the entropy of the mean prediction (the paper: 2)."""
    beta: NonNegative = 0.5
    """β: weight of the logarithm of the ensemble diversity (the paper: 0.5)."""

    @property
    def networks(self) -> int:
        """Return how many networks are trained together: the members."""
        return self.members

    def relative_cost(self) -> float:
        """Return a step's cost beside one undefended network's: a pass of every member."""
        return float(self.members)


class AdaptiveDiversity(Defense[Settings]):
    """The sum of the members' cross-entropies, less α times an entropy and β times a log-determinant."""

    deviations: ClassVar[tuple[str, ...]] = (
        "The Gram matrix has 1e-6 added to its diagonal, as in the public code; the paper does not mention it.",
    )

    def join(self, members: Sequence[Classifier], data: DataDescription) -> Classifier:
        """Return the members as one Ensemble, which answers by its mean probabilities."""
        return Ensemble(members, data, rule="mean")

    def build(self, classifier: Classifier, data: DataDescription) -> Trainee:
        """Return the joined members to be trained; StudyError where they are not so many, or not joined."""
        found = len(classifier.members) if isinstance(classifier, Ensemble) else 1
        if found != self.settings.members:
            raise StudyError(
                f"adaptive_diversity trains {self.settings.members} networks together; it was given {found}"
            )
        return Trainee(classifier)

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        """Return the cross-entropies' sum minus the regulariser ADP, per image."""
        return self.joint(trainee, images, labels)

    def joint(self, trainee: Trainee, images: Tensor, labels: Tensor) -> Tensor:
        """Return the whole loss per image (N,)."""
        ensemble = trainee.classifier
        if not isinstance(ensemble, Ensemble):
            raise TypeError("the trainee was not built by adaptive_diversity")
        logits = ensemble.member_logits(images)
        cross_entropies = [nn.functional.cross_entropy(one, labels, reduction="none") for one in logits]
        return torch.stack(cross_entropies).sum(dim=0) - self._promoted(logits, labels)

    def _promoted(self, logits: Tensor, labels: Tensor) -> Tensor:
        settings = self.settings
        return settings.alpha * mean_entropy(logits) + settings.beta * log_diversity(logits, labels)

    def attack_losses(self, trainee: Trainee) -> dict[str, AttackLoss]:
        """Return `joint`, the loss trained with, and `mean_logits`; cross-entropy is taken of the mean softmax."""

        def parts(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            logits = member_logits(trainee.classifier, images)
            return log_mean_softmax(logits), -self._promoted(logits, labels)

        def joint(images: Tensor, labels: Tensor) -> Tensor:
            return self.joint(trainee, images, labels)

        return {"joint": AttackLoss(parts, joint), "mean_logits": mean_logits_loss(trainee.classifier)}


def mean_entropy(logits: Tensor) -> Tensor:
    """Return the Shannon entropy (N,), in nats, of the members' mean probabilities. logits: (M, N, K)."""
    logarithm = log_mean_softmax(logits)
    return -(logarithm.exp() * logarithm).sum(dim=1)


def log_diversity(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logarithm (N,) of the ensemble diversity: the ED, a Gram determinant.

    Its vectors are the members' probabilities without the label's, each of L2 norm 1. logits: (M, N, K).
    0 where they are orthogonal, about (M - 1) log 1e-6 where they are equal.
    """
    count, _, classes = logits.shape
    is_label = nn.functional.one_hot(labels, classes).bool()
    # A softmax over the other classes has the direction of their probabilities and cannot vanish. In double
    # precision, as the inverse that the gradient holds is of a matrix that may be nearly singular.
    others = logits.double().masked_fill(is_label, -math.inf).softmax(dim=2)
    unit = nn.functional.normalize(others, dim=2).transpose(0, 1)
    gram = unit @ unit.transpose(1, 2) + JITTER * torch.eye(count, dtype=unit.dtype, device=unit.device)
    logarithm: Tensor = torch.linalg.slogdet(gram).logabsdet
    return logarithm.to(logits.dtype)
