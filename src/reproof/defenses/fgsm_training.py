"""A. Kurakin, I. Goodfellow, S. Bengio. Adversarial Machine Learning at Scale. ICLR 2017 ("AdvTrain").

Part of every batch is replaced by single-step adversarial examples made against the current weights. Clean
and adversarial images share one forward pass, and the adversarial ones weigh λ in the mean loss (Eq. 1).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from reproof.models.defense import Defense
from reproof.settings.adversarial_training import AdversarialTraining, EpsilonRange
from reproof.settings.cost import ADVERSARIAL_STEP, FORWARD
from reproof.settings.defense import DefenseSettings
from reproof.settings.values import Positive, UnitInterval


class Settings(DefenseSettings):
    """Settings of Kurakin's adversarial training."""

    title: ClassVar[str] = "FGSM training"
    trains_on: ClassVar[str] = "fgsm"

    epsilon: EpsilonRange = (0.1, 0.5)
    """Budget in [0, 1], uniform per image. The interval is Mustafa's for MNIST (Sec. 5.1); for CIFAR: [0.01,
    0.05]."""
    share: UnitInterval = 0.5
    """k / m: share of each batch that is replaced (Sec. 3: 16 of 32)."""
    weight: Positive = 0.3
    """λ in Eq. 1: weight of an adversarial example beside a clean one (Sec. 3)."""
    labels: Literal["true", "predicted"] = "predicted"
    """Labels whose loss the step maximises; `true` leaks the label into the example (Sec. 4.3)."""

    def relative_cost(self) -> float:
        """Return a step's cost with one gradient to the images of the share, and one look at their classes."""
        looks = FORWARD if self.labels == "predicted" else 0.0
        return 1 + self.share * (1 + looks) * ADVERSARIAL_STEP


class FgsmTraining(Defense[Settings]):
    """Cross-entropy on batches that are partly FGSM examples."""

    deviations: ClassVar[tuple[str, ...]] = (
        "Epsilon is drawn uniformly from its interval, as Mustafa's Sec. 5.1 says; Kurakin draws it from a "
        "truncated normal distribution.",
        "The step maximises the predicted class's loss; Kurakin's models take the step towards the least likely "
        "class, and both avoid label leaking.",
    )

    def adversarial_training(self) -> AdversarialTraining:
        """Return FGSM on a share of each batch."""
        return AdversarialTraining(
            attack="fgsm",
            epsilon=self.settings.epsilon,
            share=self.settings.share,
            weight=self.settings.weight,
            labels=self.settings.labels,
        )
