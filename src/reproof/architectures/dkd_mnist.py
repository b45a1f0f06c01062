"""The ensemble's network for MNIST (Mirzaeian et al. 2021, "Learning Diverse Latent Representations for
Improving the Resilience to Adversarial Attacks", Table 1, left).

Two pairs of 3 x 3 convolutions with 32 and 64 filters, each pair followed by 2 x 2 max pooling, then two
layers of 200 units, all with ReLU.

How the paper was read. Table 1 calls the layers of 200 units convolutional; they are fully connected, for
units are not filters. Padding is not stated: there is none, which leaves 4 x 4 positions of a 28 x 28 image,
as in the well-known network with these sizes (Carlini and Wagner 2017, Table I). No dropout: Table 1 has none.

Features: `conv1`, `conv2` (maps after each pair's pooling), `fc1`, `fc2` (vectors after ReLU).
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.errors import StudyError
from reproof.models.classifier import Classifier
from reproof.models.layers import initialise_convolutions
from reproof.settings.architecture import ArchitectureSettings
from reproof.settings.values import Positive, scaled


class Settings(ArchitectureSettings):
    """DKD's network for MNIST."""

    smallest_side: ClassVar[int] = 16

    title: ClassVar[str] = "DKD’s network for MNIST"

    width: Positive = 1.0
    """Multiplies every layer's filters and units; 1 is Mirzaeian 2021, Table 1: 32, 64, 200, 200."""

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of its latent features."""
        return ("conv1", "conv2", "fc1", "fc2")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the filters of the two pairs of convolutions and the units of the two layers after them."""
        return tuple(scaled(size, self.width) for size in (32, 64, 200, 200))

    def layers(self, channels: int, height: int, width: int, classes: int) -> list[tuple[int, int]]:
        """Return each layer's weights and the positions where each is used."""
        *pairs, third, fourth = self.sizes
        found = []
        for size in pairs:
            found += [
                (9 * channels * size, (height - 2) * (width - 2)),
                (9 * size * size, (height - 4) * (width - 4)),
            ]
            channels, height, width = size, (height - 4) // 2, (width - 4) // 2
        return [*found, (channels * height * width * third, 1), (third * fourth, 1), (fourth * classes, 1)]


def _pair(channels: int, filters: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, filters, 3),
        nn.ReLU(),
        nn.Conv2d(filters, filters, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


class DKDMnist(Classifier):
    """Four convolutions without padding and two fully connected layers."""

    def __init__(self, settings: Settings, data: DataDescription):
        super().__init__(data)
        first, second, third, fourth = settings.sizes
        height, width = (data.height - 4) // 2, (data.width - 4) // 2
        last_height, last_width = (height - 4) // 2, (width - 4) // 2
        if min(last_height, last_width) < 1:
            raise StudyError(f"dkd_mnist needs 16 x 16 pixels or more, not {data.height} x {data.width}")
        self.conv1 = _pair(data.channels, first)
        self.conv2 = _pair(first, second)
        self.fc1 = nn.Sequential(nn.Linear(second * last_height * last_width, third), nn.ReLU())
        self.fc2 = nn.Sequential(nn.Linear(third, fourth), nn.ReLU())
        self.classify = nn.Linear(fourth, data.classes)
        self.feature_shapes = {
            "conv1": (first, height, width),
            "conv2": (second, last_height, last_width),
            "fc1": (third,),
            "fc2": (fourth,),
        }
        initialise_convolutions(self, "fan_in")

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits and the four layers' outputs."""
        conv1 = self.conv1(self.normalise(images))
        conv2 = self.conv2(conv1)
        fc1 = self.fc1(conv2.flatten(1))
        fc2 = self.fc2(fc1)
        return self.classify(fc2), {"conv1": conv1, "conv2": conv2, "fc1": fc1, "fc2": fc2}


def build(settings: Settings, data: DataDescription) -> Classifier:
    """Return DKD's network for MNIST, drawn from torch's global generator."""
    return DKDMnist(settings, data)
