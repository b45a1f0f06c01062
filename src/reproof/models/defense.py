"""The defense contract: how a method builds on a classifier, what it minimises, what its attacker sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.models.attack_loss import AttackLoss
from reproof.models.classifier import Answers, Classifier
from reproof.settings.defense import DefenseSettings

if TYPE_CHECKING:  # a new setting of adversarial training changes nothing of how networks are attacked
    from reproof.settings.adversarial_training import AdversarialTraining

S = TypeVar("S", bound=DefenseSettings)


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

    def answers(self, images: Tensor) -> Answers:
        """Return the deployed classifier's decisions."""
        return self.classifier.answers(images)


@dataclass(frozen=True)
class Progress:
    """Where training stands: `epoch` counts from 0 to `epochs` - 1, `step` over the whole run."""

    epoch: int
    epochs: int
    step: int
    crafted: int = 0
    """How many images at the head of the batch are adversarial examples that the loop made. With `augment`
    their clean originals follow them, in the same order."""
    augmented: bool = False
    """Whether the originals of the crafted images are in the batch too."""


@dataclass(frozen=True)
class Stock:
    """The images of a training run, on the run's device: what a method may look through between epochs."""

    train: tuple[Tensor, Tensor]
    """uint8 images (N, C, H, W) and labels int64 (N,)."""
    validation: tuple[Tensor, Tensor]
    """The same of the validation split, for every choice that a method makes; it may be empty."""
    batch_size: int
    """A size that fits on the device with gradients."""


Row = dict[str, Any]
"""A row of a training log: column -> number or text, the same columns in every row."""


class Defense(Generic[S]):
    """A method. Its file defines one subclass and a `Settings`; nothing else names it."""

    deviations: ClassVar[tuple[str, ...]] = ()
    """Where this implementation departs from its paper, one sentence each; the report prints them."""

    peers: Sequence[Classifier] = ()
    """The frozen peer models that the config entry's `beside` names, in its order, on the run's device."""

    def __init__(self, settings: S):
        self.settings = settings

    def join(self, members: Sequence[Classifier], data: DataDescription) -> Classifier:
        """Return one classifier of several, where the settings ask for more than one network or for a vote."""
        raise TypeError(f"{type(self).__name__} joins no networks")

    def build(self, classifier: Classifier, data: DataDescription) -> Trainee:
        """Return what is trained: the classifier, with what the method adds. Default: adds nothing."""
        return Trainee(classifier)

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        """Return the method's loss per image (N,), differentiable in the parameters and in the images.

        images: (N, C, H, W) in [0, 1], adversarial examples included where the loop trains on them.
        Default: the cross-entropy of the deployed classifier's logits.
        """
        return nn.functional.cross_entropy(trainee(images), labels, reduction="none")

    def parameter_groups(self, trainee: Trainee, learning_rate: float) -> Iterable[dict[str, Any]]:
        """Return the optimiser's groups. Default: all parameters at the study's learning rate."""
        return [{"params": list(trainee.parameters()), "lr": learning_rate}]

    def adversarial_training(self) -> AdversarialTraining | None:
        """Return the adversarial training that is the method itself; None where it trains on clean images."""
        return None

    def required_convergence(self, progress: Progress) -> float | None:
        """Return the first-order criterion (FOSC, Wang 2019) at which the loop's PGD leaves an image as it is.

        None lets it take every step with every image.
        """
        return None

    @property
    def criterion_centre(self) -> Literal["clean", "start"]:
        """Return what that criterion is measured from: the clean image, or the point that PGD starts at."""
        return "clean"

    def begin_epoch(self, trainee: Trainee, stock: Stock, progress: Progress) -> None:
        """Do what the method does between epochs: before the first, and before every later one.

        The random state is the epoch's own; the trainee's mode must come back as it was. What is gathered here
        belongs in the trainee's buffers or in `state`, or a run that goes on from a checkpoint loses it.
        """

    def finish(self, trainee: Trainee, stock: Stock, progress: Progress) -> None:
        """Do what the method does after the last epoch, such as the choice of weights on the validation split."""

    def state(self) -> dict[str, Tensor]:
        """Return what `begin_epoch` has gathered in the method itself; the checkpoint keeps it."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` returned when the checkpoint was written."""

    def training_log(self) -> dict[str, list[Row]]:
        """Return the tables that `Settings.training_log` names, once training has finished."""
        return {}

    def nearest_prototype(self, trainee: Trainee, features: dict[str, Tensor]) -> Tensor | None:
        """Return the class (N,) of the prototype nearest to each image's features; None of a method without such.

        It is measured beside the classifier's own decisions, which remain the model's.
        """
        return None

    def attack_losses(self, trainee: Trainee) -> dict[str, AttackLoss]:
        """Return the adaptive attacker's losses, one for each name in `Settings.attack_losses`.

        An attacker combines them with other forms (margin, targeted margin) than their own.
        """
        return {}
