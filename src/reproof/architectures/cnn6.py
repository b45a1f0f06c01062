"""CNN-6 (Mustafa et al. 2019, "Adversarial Defense by Restricting the Hidden Space", Table 1, "6-Conv
Model").

Three blocks of two 5 x 5 convolutions with PReLU and 2 x 2 max pooling, then fully connected layers of 512
and 64 units. Mustafa takes the six convolutions from Wen et al. 2016 ("A discriminative feature learning
approach").

How the paper was read. `PReLu (2 x 2)` in Table 1 is a PReLU after each convolution and one 2 x 2 max
pooling after each block, as in Wen 2016; convolutions pad by 2. The GAP after layer 3 is printed in green,
so it is the auxiliary branch only: the main path flattens layer 3 into FC(512). A PReLU has one slope per
channel or unit, from 0.25 (He et al. 2015, Sec. 2.1), and stands after both fully connected layers too;
features are taken after it.

Features: `layer1`, `layer2`, `layer3` (maps after pooling), `layer4` (512 units), `layer5` (64 units):
Table 1's numbers.
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

INITIAL_SLOPE = 0.25


class Settings(ArchitectureSettings):
    """CNN-6."""

    smallest_side: ClassVar[int] = 8

    title: ClassVar[str] = "CNN-6"

    width: Positive = 1.0
    """Multiplies every layer's channels and units; 1 is Mustafa, Table 1: 32, 64, 128, 512, 64."""

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of its latent features."""
        return ("layer1", "layer2", "layer3", "layer4", "layer5")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the channels of the three blocks and the units of the two layers after them."""
        return tuple(scaled(size, self.width) for size in (32, 64, 128, 512, 64))

    def layers(self, channels: int, height: int, width: int, classes: int) -> list[tuple[int, int]]:
        """Return each layer's weights and the positions where each is used."""
        *blocks, fourth, fifth = self.sizes
        found = []
        for size in blocks:
            found += [(25 * channels * size, height * width), (25 * size * size, height * width)]
            channels, height, width = size, height // 2, width // 2
        return [*found, (channels * height * width * fourth, 1), (fourth * fifth, 1), (fifth * classes, 1)]


def _block(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 5, padding=2),
        nn.PReLU(width, INITIAL_SLOPE),
        nn.Conv2d(width, width, 5, padding=2),
        nn.PReLU(width, INITIAL_SLOPE),
        nn.MaxPool2d(2),
    )


class CNN6(Classifier):
    """Mustafa's network for MNIST and Fashion-MNIST."""

    def __init__(self, settings: Settings, data: DataDescription):
        super().__init__(data)
        first, second, third, fourth, fifth = settings.sizes
        height, width = data.height // 8, data.width // 8
        if min(height, width) < 1:
            raise StudyError(f"cnn6 needs images of at least 8 x 8 pixels, not {data.height} x {data.width}")
        self.layer1 = _block(data.channels, first)
        self.layer2 = _block(first, second)
        self.layer3 = _block(second, third)
        self.layer4 = nn.Sequential(
            nn.Linear(third * height * width, fourth), nn.PReLU(fourth, INITIAL_SLOPE)
        )
        self.layer5 = nn.Sequential(nn.Linear(fourth, fifth), nn.PReLU(fifth, INITIAL_SLOPE))
        self.classify = nn.Linear(fifth, data.classes)
        self.feature_shapes = {
            "layer1": (first, data.height // 2, data.width // 2),
            "layer2": (second, data.height // 4, data.width // 4),
            "layer3": (third, height, width),
            "layer4": (fourth,),
            "layer5": (fifth,),
        }
        initialise_convolutions(self, "fan_in", INITIAL_SLOPE)

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits and the five layers' outputs."""
        layer1 = self.layer1(self.normalise(images))
        layer2 = self.layer2(layer1)
        layer3 = self.layer3(layer2)
        layer4 = self.layer4(layer3.flatten(1))
        layer5 = self.layer5(layer4)
        features = {"layer1": layer1, "layer2": layer2, "layer3": layer3, "layer4": layer4, "layer5": layer5}
        return self.classify(layer5), features


def build(settings: Settings, data: DataDescription) -> Classifier:
    """Return a CNN-6 drawn from torch's global generator."""
    return CNN6(settings, data)
