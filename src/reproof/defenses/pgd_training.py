"""A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu. Towards Deep Learning Models Resistant to
Adversarial Attacks. ICLR 2018.

Training is a saddle point: the weights minimise the loss that the strongest perturbation in the ball
maximises. Every image of every batch is replaced by the end of a projected gradient ascent from a random
start.
"""

from __future__ import annotations

from typing import ClassVar

from reproof.models.defense import Defense
from reproof.settings.adversarial_training import AdversarialTraining, EpsilonRange
from reproof.settings.cost import ADVERSARIAL_STEP
from reproof.settings.defense import DefenseSettings
from reproof.settings.values import Count, Positive, Switch, UnitInterval


class Settings(DefenseSettings):
    """Settings of Madry's min-max training; the defaults are the paper's for MNIST."""

    title: ClassVar[str] = "PGD training"
    trains_on: ClassVar[str] = "pgd"

    epsilon: EpsilonRange = 0.3
    """Budget in [0, 1] (MNIST: 0.3; CIFAR-10: 8/255), or an interval to draw it from."""
    steps: Count = 40
    """Steps of the inner maximisation (MNIST: 40; CIFAR-10: 7)."""
    step_size: Positive = 1 / 30
    """Step as a fraction of epsilon (MNIST: 0.01 / 0.3; CIFAR-10: 2/8)."""
    share: UnitInterval = 1.0
    """Share of each batch that is replaced; the paper replaces all of it."""
    label_steps: Switch = False
    """True names the steps in claims, as a paper does that compares several numbers of them (Seiler, Table II)."""

    def key(self, name: str) -> str:
        """Return the name, with `[steps=3]` where label_steps asks for it."""
        return f"{name}[steps={self.steps}]" if self.label_steps else name

    def relative_cost(self) -> float:
        """Return a step's cost with so many gradients to the images of the share."""
        return 1 + self.share * self.steps * ADVERSARIAL_STEP


class PgdTraining(Defense[Settings]):
    """Cross-entropy on PGD examples."""

    deviations: ClassVar[tuple[str, ...]] = (
        "Batch norm runs in evaluation mode while the examples are made; the paper's MNIST network has none.",
    )

    def adversarial_training(self) -> AdversarialTraining:
        """Return PGD from a random start on the whole batch."""
        return AdversarialTraining(
            attack="pgd",
            epsilon=self.settings.epsilon,
            steps=self.settings.steps,
            step_size=self.settings.step_size,
            share=self.settings.share,
        )
