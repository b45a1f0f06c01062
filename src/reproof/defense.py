"""The defense contract: how a method builds on a classifier, what it minimises, what its attacker sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor, nn

from reproof.classifier import Classifier
from reproof.data import DataDescription
from reproof.settings import AdversarialTraining, DefenseSettings

S = TypeVar("S", bound=DefenseSettings)
View = Callable[[Tensor, Tensor], Tensor]
"""images (N, C, H, W), labels (N,) -> a loss per image (N,) that an attacker climbs."""


class Trainee(nn.Module):
    """What is trained and stored: the classifier that is deployed, and what a method needs beside it.

    `auxiliary` (class centres, extra branches) plays no part in prediction; the adaptive attacker sees it.
    """

    def __init__(self, classifier: Classifier, auxiliary: nn.Module | None = None):
        super().__init__()
        self.classifier = classifier
        self.auxiliary = auxiliary if auxiliary is not None else nn.Module()

    def forward(self, images: Tensor) -> Tensor:
        """Return the deployed classifier's logits (N, K)."""
        logits: Tensor = self.classifier(images)
        return logits


@dataclass(frozen=True)
class Progress:
    """Where training stands: `epoch` counts from 0 to `epochs` - 1, `step` over the whole run."""

    epoch: int
    epochs: int
    step: int


class Defense(ABC, Generic[S]):
    """A method. Its file defines one subclass and a `Settings`; nothing else names it."""

    deviations: ClassVar[tuple[str, ...]] = ()
    """Where this implementation departs from its paper, one sentence each; the report prints them."""

    def __init__(self, settings: S):
        self.settings = settings

    def build(self, classifier: Classifier, data: DataDescription) -> Trainee:
        """Return what is trained: the classifier, with what the method adds. Default: adds nothing."""
        return Trainee(classifier)

    @abstractmethod
    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        """Return the method's loss per image (N,), differentiable in the parameters and in the images.

        images: (N, C, H, W) in [0, 1], adversarial examples included where the loop trains on them.
        """

    def parameter_groups(self, trainee: Trainee, learning_rate: float) -> Iterable[dict[str, Any]]:
        """Return the optimiser's groups. Default: all parameters at the study's learning rate."""
        return [{"params": list(trainee.parameters()), "lr": learning_rate}]

    def adversarial_training(self) -> AdversarialTraining | None:
        """Return the adversarial training that is the method itself; None where it trains on clean images."""
        return None

    def views(self, trainee: Trainee) -> dict[str, View]:
        """Return the adaptive attacker's losses, one for each name in `Settings.views`."""
        return {}
