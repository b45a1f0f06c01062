"""The ensemble's network for CIFAR-10 (Mirzaeian et al. 2021, "Learning Diverse Latent Representations for
Improving the Resilience to Adversarial Attacks", Table 1, right).

Three 3 x 3 convolutions with 96 filters and three with 192, each three followed by 2 x 2 max pooling, then
192 filters of 3 x 3, of 1 x 1 and of 1 x 1 again, and global average pooling, all with ReLU.

How the paper was read. The 3 x 3 convolutions pad by 1, and all have a stride of 1: neither is stated. The
softmax's ten units are a linear layer on the averages. The network is the all-convolutional one of Springenberg
et al. 2015 (Table 1, C, with pooling), but for that linear layer. No dropout: Table 1 has none.

Features: `conv1`, `conv2` (maps after pooling), `conv3` (maps after the two 1 x 1 convolutions),
`penultimate` (their averages, which feed the classifier).
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
    """DKD's network for CIFAR-10."""

    smallest_side: ClassVar[int] = 4

    title: ClassVar[str] = "DKD’s network for CIFAR-10"

    width: Positive = 1.0
    """Multiplies every layer's filters; 1 is Mirzaeian 2021, Table 1: 96, 192."""

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of its latent features."""
        return ("conv1", "conv2", "conv3", "penultimate")

    @property
    def sizes(self) -> tuple[int, int]:
        """Return the filters of the first three convolutions and of all later ones."""
        return scaled(96, self.width), scaled(192, self.width)

    def layers(self, channels: int, height: int, width: int, classes: int) -> list[tuple[int, int]]:
        """Return each layer's weights and the positions where each is used."""
        first, second = self.sizes
        whole, half = height * width, (height // 2) * (width // 2)
        quarter = (height // 4) * (width // 4)
        return [
            (9 * channels * first, whole),
            *[(9 * first * first, whole)] * 2,
            (9 * first * second, half),
            *[(9 * second * second, half)] * 2,
            (9 * second * second, quarter),
            *[(second * second, quarter)] * 2,
            (second * classes, 1),
        ]


def _convolution(channels: int, filters: int, size: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, filters, size, padding=size // 2), nn.ReLU()]


class DKDCifar10(Classifier):
    """Nine convolutions and global average pooling."""

    def __init__(self, settings: Settings, data: DataDescription):
        super().__init__(data)
        first, second = settings.sizes
        height, width = data.height // 4, data.width // 4
        if min(height, width) < 1:
            raise StudyError(f"dkd_cifar10 needs 4 x 4 pixels or more, not {data.height} x {data.width}")
        self.conv1 = nn.Sequential(
            *_convolution(data.channels, first, 3),
            *_convolution(first, first, 3),
            *_convolution(first, first, 3),
            nn.MaxPool2d(2),
        )
        self.conv2 = nn.Sequential(
            *_convolution(first, second, 3),
            *_convolution(second, second, 3),
            *_convolution(second, second, 3),
            nn.MaxPool2d(2),
        )
        self.conv3 = nn.Sequential(
            *_convolution(second, second, 3),
            *_convolution(second, second, 1),
            *_convolution(second, second, 1),
        )
        self.classify = nn.Linear(second, data.classes)
        self.feature_shapes = {
            "conv1": (first, data.height // 2, data.width // 2),
            "conv2": (second, height, width),
            "conv3": (second, height, width),
            "penultimate": (second,),
        }
        initialise_convolutions(self, "fan_in")

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits, the three groups' maps and the averages of the last."""
        conv1 = self.conv1(self.normalise(images))
        conv2 = self.conv2(conv1)
        conv3 = self.conv3(conv2)
        penultimate = conv3.mean(dim=(2, 3))
        features = {"conv1": conv1, "conv2": conv2, "conv3": conv3, "penultimate": penultimate}
        return self.classify(penultimate), features


def build(settings: Settings, data: DataDescription) -> Classifier:
    """Return DKD's network for CIFAR-10, drawn from torch's global generator."""
    return DKDCifar10(settings, data)
