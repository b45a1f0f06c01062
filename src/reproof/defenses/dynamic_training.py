"""Y. Wang, X. Ma, J. Bailey, J. Yi, B. Zhou, Q. Gu. On the Convergence and Robustness of Adversarial Training.
ICML 2019 ("Dynamic").

Adversarial training profits from well converged examples late and is hurt by them early. PGD therefore leaves
an image as it is once its first-order criterion (FOSC) has fallen to a bound, which shrinks to zero as
training goes on.

What is minimised is the cross-entropy on those examples, and nothing is left over from training but the
network, so that an adaptive attacker has nothing to maximise beside the cross-entropy: there are no attack losses.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from reproof.models.defense import Defense, Progress
from reproof.settings.adversarial_training import AdversarialTraining, EpsilonRange
from reproof.settings.cost import ADVERSARIAL_STEP
from reproof.settings.defense import DefenseSettings
from reproof.settings.values import Count, NonNegative, Positive, Switch


class Settings(DefenseSettings):
    """Settings of dynamic adversarial training."""

    title: ClassVar[str] = "dynamic adversarial training"
    trains_on: ClassVar[str] = "pgd"

    epsilon: EpsilonRange = 0.3
    """Budget in [0, 1] (MNIST: 0.3; CIFAR-10: 8/255, in the public code 0.031), or an interval to draw it
    from."""
    steps: Count = 10
    """K: most steps of the inner maximisation."""
    step_size: Positive = 1 / 4
    """α as a fraction of epsilon."""
    random_start: Switch = True
    """Start from a random point of the ball, as in the public code."""
    criterion_max: NonNegative = 0.5
    """c_max: bound on the criterion in the first epoch. The criterion is a rise in cross-entropy, in nats."""
    dynamic_epochs: Positive = 5 / 6
    """T' of Algorithm 1, from where on the bound is 0: at most 1 a fraction of the study's epochs (the public
    code: 100 of 120 for CIFAR-10), above 1 a number of epochs."""
    criterion_centre: Literal["clean", "start"] = "clean"
    """Centre of the ball in which the criterion is measured. clean: the image, as in the paper; start: the random
    start, as in the public code, where the criterion can be negative."""

    def relative_cost(self) -> float:
        """Return a step's cost when no image stops early, as from T' on."""
        return 1 + self.steps * ADVERSARIAL_STEP


class DynamicTraining(Defense[Settings]):
    """Cross-entropy on PGD examples whose convergence rises over the epochs (Algorithm 1)."""

    deviations: ClassVar[tuple[str, ...]] = (
        "The weights of the losses are equal, as in the paper; the public code multiplies each image's loss by "
        "that loss after the first epoch.",
        "Batch norm runs in evaluation mode while the examples are made, as in the public code; the paper does "
        "not say.",
    )

    def adversarial_training(self) -> AdversarialTraining:
        """Return PGD on the whole batch."""
        return AdversarialTraining(
            attack="pgd",
            epsilon=self.settings.epsilon,
            steps=self.settings.steps,
            step_size=self.settings.step_size,
            random_start=self.settings.random_start,
            share=1.0,
        )

    @property
    def criterion_centre(self) -> Literal["clean", "start"]:
        """Return what the settings say."""
        return self.settings.criterion_centre

    def required_convergence(self, progress: Progress) -> float:
        """Return c_t = max(c_max - t c_max / T', 0), t being the epoch from 0 (Algorithm 1)."""
        length = self.settings.dynamic_epochs
        end = length * progress.epochs if length <= 1 else length
        return max(self.settings.criterion_max * (1 - progress.epoch / end), 0.0)
