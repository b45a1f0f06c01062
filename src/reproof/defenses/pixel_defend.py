"""Y. Song, T. Kim, S. Nowozin, S. Ermon, N. Kushman. PixelDefend: Leveraging Generative Models to Understand and
Defend against Adversarial Examples. ICLR 2018.

Adversarial examples are unlikely under a density model of the training images. Before an image is classified, each of
its values is therefore replaced, in raster order, by the most probable one nearby.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from reproof.data.dataset import DataDescription
from reproof.errors import TrainingError
from reproof.models.classifier import Classifier
from reproof.models.defense import Progress, Trainee
from reproof.models.pixel_cnn import PixelCNN
from reproof.models.purifier import Purified, PurifiedDefense, purified_of
from reproof.settings.defense import PurifierSettings, Undertaking
from reproof.settings.values import Count, Number, Positive, Whole

_ROUNDING = 1e-7
"""What single precision may take from a pixel value in [0, 1]."""


class Settings(PurifierSettings):
    """Settings of PixelDefend. The budget is the paper's for CIFAR-10; the density model is smaller than its own."""

    title: ClassVar[str] = "PixelDefend"

    eps_defend: Annotated[Number, Field(gt=0, le=1)] = 16 / 255
    """ε_defend of Algorithm 1, in (0, 1]: how far a value may be moved; 16 of 255 is the paper's for CIFAR-10. It
    should be at least the ε that is defended against."""
    levels: Annotated[Whole, Field(ge=2, le=256)] = 256
    """Grey levels that the density model tells apart and that purified images have; 256 is the paper's. Fewer are
    learned from fewer images; they must be close enough that one lies within eps_defend of every value."""
    width: Count = 32
    """Features of each layer of the density model, for each colour of the images."""
    blocks: Count = 5
    """Residual blocks of the density model: each lets a pixel see one row and one column further."""
    radius: Count = 3
    """Of the first convolution, 7 x 7 at 3 (van den Oord 2016, Table 1)."""
    mixtures: Count = 5
    """Logistics that each value's probabilities are mixed from (Salimans 2017, Sec. 2.1: 5 are enough)."""
    density_learning_rate: Positive | None = None
    """Rate of the density model, which follows the study's schedule; None is the study's own rate."""

    @model_validator(mode="after")
    def _reachable(self) -> Settings:
        between = self.levels - 1
        if self.eps_defend * between < 0.5 - 1e-6:
            raise ValueError(
                f"levels: with {self.levels}, some values have none within eps_defend; have more levels, or raise "
                f"eps_defend to 1/{2 * between}"
            )
        return self

    def relative_cost(self) -> float:
        """Return the cost of a step beside an undefended one of CNN-6 at width 0.25, measured on a CPU.

        The density model costs as much whatever the classifier is; beside a larger one it is a smaller share.
        """
        return 1 + 0.15 * self.mixtures + 0.03 * self.width + 0.001 * self.blocks * self.width**2

    def misfits(self, asked: Undertaking) -> list[tuple[str, str]]:
        """Return that no clean images are left to learn the density from."""
        if asked.replaced < 1:
            return []
        left = "the density model learns from clean images, and no batch has any"
        return [("", f"{left}; lower training.adversarial.share, or set augment: true")]


class PixelDefended(Purified):
    """A classifier that sees images after greedy purification under a density model (Algorithm 1)."""

    def __init__(self, classifier: Classifier, data: DataDescription, settings: Settings):
        super().__init__(classifier, data)
        self.eps_defend = settings.eps_defend
        self.density = PixelCNN(
            data.channels,
            levels=settings.levels,
            width=settings.width,
            blocks=settings.blocks,
            radius=settings.radius,
            mixtures=settings.mixtures,
        )

    def purify(self, images: Tensor) -> Tensor:
        """Return the most probable images that a greedy search finds within eps_defend, in [0, 1]."""
        top = self.density.levels - 1
        reach = (self.eps_defend + _ROUNDING) * top
        return (self.density.purify(images.double() * top, reach) / top).to(images.dtype)

    def surprise(self, images: Tensor) -> Tensor:
        """Return -log p(x) per image, in nats for each value, of the images at the model's levels."""
        return self.density.negative_log_likelihood((images.detach() * (self.density.levels - 1)).round())


class PixelDefend(PurifiedDefense[Settings]):
    """Cross-entropy of the classifier, and beside it the density model's negative log-likelihood."""

    deviations: ClassVar[tuple[str, ...]] = (
        "The density model is a plain PixelCNN (van den Oord 2016) that predicts a mixture of logistics; the paper "
        "has PixelCNN++, a deeper one at several resolutions.",
        "Its masked convolutions leave a blind spot above, to the right, which PixelCNN++ does not have.",
        "A value's colours are predicted one after the other by masks, not by the linear rule of PixelCNN++.",
        "Classifier and density model are trained in the same epochs by the study's optimiser; they share no "
        "parameters.",
        "With fewer than 256 levels a purified image has those levels alone.",
        "Every image is purified by the full eps_defend; the paper's adaptive variant, which lets likely images "
        "pass, is left out.",
    )

    def build(self, classifier: Classifier, data: DataDescription) -> Trainee:
        """Return the classifier behind the density model's purification."""
        return Trainee(PixelDefended(classifier, data, self.settings))

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        """Return the classifier's cross-entropy plus -log p(x), nats for each value, per image.

        The density model learns nothing from adversarial examples that the loop made; TrainingError where the batch
        has no other images. The density term has no gradient at the images, whose levels are rounded.
        """
        loss = super().loss(trainee, images, labels, progress)
        clean = images[progress.crafted :]
        if len(clean) == 0:
            raise TrainingError(
                "pixel_defend: the density model learns from clean images, and the batch has none; lower "
                "training.adversarial.share, or set augment: true"
            )
        surprise = _defended(trainee).surprise(clean)
        return torch.cat([loss[: progress.crafted], loss[progress.crafted :] + surprise])

    def parameter_groups(self, trainee: Trainee, learning_rate: float) -> Iterable[dict[str, Any]]:
        """Return the classifier's group and the density model's, which has its own rate and no weight decay."""
        defended = _defended(trainee)
        rate = self.settings.density_learning_rate or learning_rate
        density = {"params": list(defended.density.parameters()), "lr": rate, "weight_decay": 0.0}
        return [{"params": list(defended.classifier.parameters()), "lr": learning_rate}, density]


def _defended(trainee: Trainee) -> PixelDefended:
    classifier = purified_of(trainee)
    if not isinstance(classifier, PixelDefended):
        raise TypeError("the trainee was not built by pixel_defend")
    return classifier
