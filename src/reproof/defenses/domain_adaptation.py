"""C. Song, K. He, L. Wang, J. E. Hopcroft. Improving the Generalization of Adversarial Training with Domain
Adaptation. ICLR 2019 ("ATDA").

Clean images and their FGSM examples are two domains, and adversarial training is to learn logits that do not
tell them apart. Beside the cross-entropy on both, the domains' mean logits (MMD) and covariances (CORAL) are
drawn together, and every image's logits are kept nearer to their own class's centre than to the others'.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.models.attack_loss import AttackLoss
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense, Progress, Trainee
from reproof.settings.adversarial_training import AdversarialTraining, EpsilonRange
from reproof.settings.cost import ADVERSARIAL_STEP, FORWARD
from reproof.settings.defense import DefenseSettings
from reproof.settings.values import NonNegative, UnitInterval


class Settings(DefenseSettings):
    """Settings of adversarial training with domain adaptation."""

    title: ClassVar[str] = "adversarial training with domain adaptation"
    attack_losses: ClassVar[tuple[str, ...]] = ("joint",)
    trains_on: ClassVar[str] = "fgsm"

    epsilon: EpsilonRange = 0.1
    """FGSM's budget in [0, 1] (Fashion-MNIST: 0.1; SVHN: 0.02; CIFAR: 4/255), or an interval to draw it
    from."""
    weight: NonNegative = 1 / 3
    """λ: weight of the three domain losses beside the two cross-entropies."""
    centre_rate: UnitInterval = 0.1
    """α: share of the way that a class's centre moves towards its images' logits in a step."""
    covariance: Literal["mean", "sum"] = "mean"
    """How CORAL gathers the outer products of a domain of n images. mean: over n - 1, a covariance; sum: not
    divided, as in the public code, which makes this loss n - 1 times as large."""
    labels: Literal["true", "predicted"] = "predicted"
    """Labels whose loss FGSM maximises; the public code takes the prediction, which leaks no label."""
    mode: Literal["train", "eval"] = "train"
    """Mode of batch norm and dropout while the examples are made (the public code: train)."""

    def relative_cost(self) -> float:
        """Return a step's cost: twice the images, a gradient to the clean ones, and their prediction."""
        prediction = FORWARD * ADVERSARIAL_STEP if self.labels == "predicted" else 0.0
        return 2 + ADVERSARIAL_STEP + prediction


class Centres(nn.Module):
    """The classes' centres in the space of logits, (K, K); they start at zero."""

    def __init__(self, classes: int):
        super().__init__()
        self.positions: Tensor
        self.register_buffer("positions", torch.zeros(classes, classes))

    @torch.no_grad()
    def follow(self, logits: Tensor, labels: Tensor, rate: float) -> None:
        """Move by -α Δc, Δc_j = Σ 1(y_i = j) (c_j - φ(x_i)) / (1 + Σ 1(y_i = j)). logits: (N, K)."""
        member = nn.functional.one_hot(labels, len(self.positions)).to(self.positions.dtype)
        counts = member.sum(dim=0).unsqueeze(1)
        difference = counts * self.positions - member.T @ logits
        self.positions -= rate * difference / (1 + counts)


class DomainAdaptation(Defense[Settings]):
    """Cross-entropy on clean and adversarial images with L_MMD, L_CORAL and L_margin between them."""

    deviations: ClassVar[tuple[str, ...]] = (
        "Clean and adversarial images share one forward pass, so that batch norm's statistics are those of "
        "both; the public code passes them one after the other.",
        "A step's margin loss uses the centres before that step's move; in the public code the order is left "
        "open.",
        "An adaptive attacker's image stands alone: its loss has the margin to the centres, but not the losses "
        "between batches.",
    )

    def build(self, classifier: Classifier, data: DataDescription) -> Trainee:
        """Return the classifier with a centre for each class."""
        return Trainee(classifier, Centres(classifier.classes))

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        """Return a loss per image whose mean is L_C(D) + L_C(A) + λ (L_MMD + L_CORAL + L_margin).

        The first `progress.crafted` images are the domain A. Where a domain is empty, the mean is that of
        `joint`. The centres follow in training mode, and only with adversarial images in the batch: while
        those are made, the centres stay.
        """
        centres = _centres_of(trainee)
        logits = trainee(images).float()
        cross_entropy = nn.functional.cross_entropy(logits, labels, reduction="none")
        domain = self.margin(logits, labels, centres)
        crafted = progress.crafted
        if 0 < crafted < len(images):
            adversarial, clean = logits[:crafted], logits[crafted:]
            domain = domain + self.mmd(clean, adversarial) + self.coral(clean, adversarial)
            # The mean over the whole batch is then the sum of the two domains' means.
            sizes = torch.full_like(cross_entropy, len(clean))
            sizes[:crafted] = crafted
            cross_entropy = cross_entropy * len(images) / sizes
        if trainee.training and crafted > 0:
            centres.follow(logits.detach(), labels, self.settings.centre_rate)
        return cross_entropy + self.settings.weight * domain

    def joint(self, trainee: Trainee, images: Tensor, labels: Tensor) -> Tensor:
        """Return L_C + λ L_margin per image."""
        return self._attack_loss(trainee)(images, labels)

    def _attack_loss(self, trainee: Trainee) -> AttackLoss:
        def parts(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            logits = trainee(images).float()
            return logits, self.settings.weight * self.margin(logits, labels, _centres_of(trainee))

        return AttackLoss(parts)

    def mmd(self, clean: Tensor, adversarial: Tensor) -> Tensor:
        """Return L_MMD: the mean absolute difference of the domains' mean logits. Both: (N, K)."""
        return (clean.mean(dim=0) - adversarial.mean(dim=0)).abs().mean()

    def coral(self, clean: Tensor, adversarial: Tensor) -> Tensor:
        """Return L_CORAL: the mean absolute difference of the domains' (K, K) covariances."""
        return (self._covariance(clean) - self._covariance(adversarial)).abs().mean()

    def margin(self, logits: Tensor, labels: Tensor, centres: Centres) -> Tensor:
        """Return L_margin per image: the mean, over the other classes n, of
        softplus(‖φ(x) - c_y‖₁ - ‖φ(x) - c_n‖₁).
        """
        distances = torch.cdist(logits, centres.positions.clone(), p=1)
        own = distances.gather(1, labels.unsqueeze(1))
        terms = nn.functional.softplus(own - distances)
        return terms.scatter(1, labels.unsqueeze(1), 0.0).sum(dim=1) / (logits.shape[1] - 1)

    def _covariance(self, logits: Tensor) -> Tensor:
        centred = logits - logits.mean(dim=0)
        scatter = centred.T @ centred
        return scatter if self.settings.covariance == "sum" else scatter / max(len(logits) - 1, 1)

    def adversarial_training(self) -> AdversarialTraining:
        """Return an FGSM example of every image, beside the image."""
        return AdversarialTraining(
            attack="fgsm",
            epsilon=self.settings.epsilon,
            share=1.0,
            augment=True,
            labels=self.settings.labels,
            mode=self.settings.mode,
        )

    def attack_losses(self, trainee: Trainee) -> dict[str, AttackLoss]:
        """Return `joint`, the part of the loss that an image has without its batch."""
        return {"joint": self._attack_loss(trainee)}


def _centres_of(trainee: Trainee) -> Centres:
    if not isinstance(trainee.auxiliary, Centres):
        raise TypeError("the trainee was not built by domain_adaptation")
    return trainee.auxiliary
