"""LeNet-5 (LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document
recognition").

Two 5 x 5 convolutions with pooling, then fully connected layers of 120 and 84 units. Mirzaeian's Gravity
trains "LeNet" on MNIST and cites LeCun 1998; the table that draws it is an image and lost, so LeNet-5's
sizes stand.

How the papers were read. The modern form: ReLU for the scaled tanh, 2 x 2 max pooling for trainable
subsampling, C3 connected to all maps of S2, a linear classifier for the radial basis functions. The first
convolution pads by 2, which is LeCun's 28 x 28 digit in a 32 x 32 frame. Gravity's words `head` and `tail`
are losses' places, not layers: `head` is l = -1 and `tail` an earlier l = i (Eq. 6), coloured rows of the
lost table; features here are therefore called by layer, and a defense chooses among them.

Features: `conv1`, `conv2` (maps after ReLU and pooling), `fc1`, `fc2` (vectors after ReLU).
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
    """LeNet-5."""

    smallest_side: ClassVar[int] = 12

    title: ClassVar[str] = "LeNet"

    width: Positive = 1.0
    """Multiplies every layer's channels and units; 1 is LeCun 1998, Sec. II-B: 6, 16, 120, 84."""

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of its latent features."""
        return ("conv1", "conv2", "fc1", "fc2")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the channels of the two convolutions and the units of the two layers after them."""
        return tuple(scaled(size, self.width) for size in (6, 16, 120, 84))

    def layers(self, channels: int, height: int, width: int, classes: int) -> list[tuple[int, int]]:
        """Return each layer's weights and the positions where each is used."""
        first, second, third, fourth = self.sizes
        inner = (height // 2 - 4, width // 2 - 4)
        return [
            (25 * channels * first, height * width),
            (25 * first * second, inner[0] * inner[1]),
            (second * (inner[0] // 2) * (inner[1] // 2) * third, 1),
            (third * fourth, 1),
            (fourth * classes, 1),
        ]


class LeNet(Classifier):
    """LeNet-5 with ReLU and max pooling."""

    def __init__(self, settings: Settings, data: DataDescription):
        super().__init__(data)
        first, second, third, fourth = settings.sizes
        height, width = data.height // 2, data.width // 2
        last_height, last_width = (height - 4) // 2, (width - 4) // 2
        if min(last_height, last_width) < 1:
            raise StudyError(f"lenet needs 12 x 12 pixels or more, not {data.height} x {data.width}")
        self.conv1 = nn.Sequential(nn.Conv2d(data.channels, first, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))
        self.conv2 = nn.Sequential(nn.Conv2d(first, second, 5), nn.ReLU(), nn.MaxPool2d(2))
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
    """Return a LeNet-5 drawn from torch's global generator."""
    return LeNet(settings, data)
