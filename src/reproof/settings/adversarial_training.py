"""Adversarial training as a study says it, with any defense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, model_validator

from reproof.settings.baseline import TrainingAttack
from reproof.settings.cost import ADVERSARIAL_STEP, FORWARD
from reproof.settings.values import Count, NonNegative, Positive, Settings, Switch, UnitInterval


def _rising(value: Any) -> Any:
    if isinstance(value, tuple) and value[0] > value[1]:
        raise ValueError("epsilon's range should go from low to high")
    return value


EpsilonRange = Annotated[tuple[NonNegative, NonNegative] | NonNegative, AfterValidator(_rising)]
"""An L-infinity budget in [0, 1]: one number, or [low, high], to be drawn from uniformly per image."""


class AdversarialTraining(Settings):
    """Train on adversarial examples made in the loop (Madry 2018; Kurakin 2017; Mustafa, Algorithm 1)."""

    attack: TrainingAttack
    epsilon: EpsilonRange | None = None
    """L-infinity budget in [0, 1]: one number, or [low, high], drawn uniformly per image. C&W has none."""
    share: UnitInterval = 0.5
    """Share of each batch that is replaced by (or, with augment, added as) adversarial examples."""
    augment: Switch = False
    """True: the adversarial examples come on top of the whole clean batch (Mustafa, Algorithm 1, line 13)."""
    steps: Count = 10
    """Steps of PGD or C&W; FGSM takes one."""
    step_size: Positive | None = None
    """PGD's step as a fraction of epsilon; None is 2.5 / steps (Madry)."""
    constant: Positive | None = None
    """C&W's c, weight of the margin beside the squared L2 distance; None is 0.1 (Hassanin, Sec. 4.1)."""
    learning_rate: Positive | None = None
    """C&W's rate; None is 10 / steps: in all as far as the usual 1,000 steps of 0.01 go, which is far enough for a
    pixel to leave black or white. Ten steps of 0.01 move such a pixel by 6e-7."""
    random_start: Switch = True
    """Start PGD from a random point of the ball."""
    objective: Literal["cross_entropy", "defense"] = "cross_entropy"
    """The attack loss of the inner maximisation: cross-entropy, or the defense's own loss (Mustafa, Algorithm 1)."""
    labels: Literal["true", "predicted"] = "true"
    """`predicted` avoids label leaking (Kurakin 2017, Sec. 4)."""
    mode: Literal["train", "eval"] = "eval"
    """Mode of batch norm and dropout while the examples are made."""
    weight: Positive = 1.0
    """Weight of an adversarial example beside a clean one (λ of Kurakin 2017, Eq. 1)."""
    warmup_epochs: NonNegative = 0.0
    """Epochs on clean images alone before the first examples are made (Mustafa, Algorithm 1): below 1 a fraction of
    the training's epochs, otherwise a number of epochs."""

    def begins(self, epochs: int) -> float:
        """Return the epoch, counted from 0, from which examples are made. epochs: of the whole training."""
        return self.warmup_epochs * epochs if self.warmup_epochs < 1 else self.warmup_epochs

    def resolved(self, features: Sequence[str] = (), epochs: int = 0) -> dict[str, Any]:
        """Return the steps and weights that null stands for."""
        if self.attack == "carlini_wagner":
            found: dict[str, Any] = {"constant": 0.1, "learning_rate": 10 / self.steps}
        else:
            found = {"step_size": 2.5 / self.steps} if self.attack == "pgd" else {}
        return {name: value for name, value in found.items() if getattr(self, name) is None}

    def relative_cost(self, step: float = 1.0, epochs: int = 0) -> float:
        """Return what the examples add to the cost of a training step, on the mean over the training.

        step: that cost without them. epochs: of the whole training; 0 leaves the warm-up out.
        """
        gradients = 1 if self.attack == "fgsm" else self.steps
        maximised = step if self.objective == "defense" else 1.0
        # C&W looks at where its last step led, and predicted labels need a prediction.
        forward = FORWARD * ((self.attack == "carlini_wagner") + (self.labels == "predicted"))
        added = self.share * (ADVERSARIAL_STEP * (gradients * maximised + forward) + self.augment * step)
        return added * (1 - self.begins(epochs) / epochs if epochs else 1.0)

    @model_validator(mode="after")
    def _consistent(self) -> AdversarialTraining:
        if self.attack == "carlini_wagner":
            if self.epsilon is not None:
                raise ValueError("epsilon belongs to fgsm and pgd; C&W has a constant")
            if self.objective != "cross_entropy":
                raise ValueError("objective belongs to fgsm and pgd; C&W minimises a margin of the logits")
        elif self.epsilon is None:
            raise ValueError(f"epsilon is missing; {self.attack} needs a budget")
        elif self.constant is not None or self.learning_rate is not None:
            raise ValueError(f"constant and learning_rate belong to carlini_wagner, not {self.attack}")
        return self
