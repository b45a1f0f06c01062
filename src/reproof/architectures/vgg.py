"""VGG (Simonyan and Zisserman 2015, "Very deep convolutional networks", Table 1: A, B, D, E) with 11,
13, 16, 19 layers.

Five stages of 3 x 3 convolutions with 64 to 512 channels, a 2 x 2 max pooling after each. By default with
batch norm and global average pooling, which is how small images are commonly trained and what Seiler (Sec.
IV) writes of its VGGNet13; Mustafa and Mirzaeian name VGG-19 and VGG-16 only as sources of transfer attacks
and say no more. `batch_norm: false` with `global_average_pooling: false` is the network of 2015, with its
two fully connected layers of 4096 units and dropout.

Deviations. Pooling rounds up, so that 28 x 28 shrinks to 14, 7, 4, 2, 1 (rounding down would leave nothing
after the fifth pooling); multiples of 32 are pooled exactly as in the paper. The first fully connected
layer takes whatever size is left (7 x 7 for 224 x 224). Convolutions followed by batch norm have no bias.

Features: `layer1` to `layer5` (maps after the five stages' pooling), `penultimate` (the vector that feeds
the classifier).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.models.classifier import Classifier
from reproof.models.layers import initialise_convolutions
from reproof.settings.architecture import ArchitectureSettings
from reproof.settings.values import Number, Positive, Switch, scaled


class Settings(ArchitectureSettings):
    """VGG."""

    title: ClassVar[str] = "VGG"

    depth: Literal[11, 13, 16, 19] = 19
    """Layers with weights (Simonyan 2015, Table 1); it also names the network in claims: `vgg19`."""
    batch_norm: Switch = True
    """Batch norm after each convolution (Seiler, Sec. V-B)."""
    global_average_pooling: Switch = True
    """True: the last maps' averages are classified (Seiler, Sec. V-B). False: two layers of 4096 units."""
    dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.5
    """Dropout after each of those two layers (Simonyan 2015, Sec. 3.1); global average pooling has none."""
    width: Positive = 1.0
    """Multiplies every layer's channels and units."""

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of its latent features."""
        return (*(f"layer{index}" for index in range(1, len(self.stages) + 1)), "penultimate")

    @classmethod
    def title_of(cls, key: str, name: str) -> str | None:
        """Return VGG-11 to VGG-19."""
        depths = {f"vgg{depth}": depth for depth in (11, 13, 16, 19)}
        return f"{cls.title}-{depths[key]}" if key in depths else None

    def key(self, name: str) -> str:
        """Return vgg11 to vgg19."""
        return f"vgg{self.depth}"

    @property
    def stages(self) -> list[tuple[int, int]]:
        """Return the channels and the number of convolutions of each stage."""
        convolutions = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
        channels = (scaled(size, self.width) for size in (64, 128, 256, 512, 512))
        return list(zip(channels, convolutions[self.depth], strict=True))

    @property
    def hidden(self) -> tuple[int, ...]:
        """Return the units of the layers between the last stage and the classifier."""
        return () if self.global_average_pooling else (scaled(4096, self.width),) * 2

    def layers(self, channels: int, height: int, width: int, classes: int) -> list[tuple[int, int]]:
        """Return each layer's weights and the positions where each is used."""
        found = []
        for planes, count in self.stages:
            for _ in range(count):
                found.append((9 * channels * planes, height * width))
                channels = planes
            height, width = -(-height // 2), -(-width // 2)
        inputs = channels if self.global_average_pooling else channels * height * width
        for units in (*self.hidden, classes):
            found.append((inputs * units, 1))
            inputs = units
        return found


def _stage(channels: int, width: int, convolutions: int, batch_norm: bool) -> nn.Sequential:
    stage = nn.Sequential()
    for _ in range(convolutions):
        stage.append(nn.Conv2d(channels, width, 3, padding=1, bias=not batch_norm))
        if batch_norm:
            stage.append(nn.BatchNorm2d(width))
        stage.append(nn.ReLU(inplace=True))
        channels = width
    return stage.append(nn.MaxPool2d(2, ceil_mode=True))


class VGG(Classifier):
    """VGG with a head of fully connected layers or of global average pooling."""

    def __init__(self, settings: Settings, data: DataDescription):
        super().__init__(data)
        channels, height, width = data.channels, data.height, data.width
        self.feature_shapes = {}
        self.stages = nn.ModuleList()
        for index, (planes, count) in enumerate(settings.stages, 1):
            self.stages.append(_stage(channels, planes, count, settings.batch_norm))
            channels, height, width = planes, -(-height // 2), -(-width // 2)
            self.feature_shapes[f"layer{index}"] = (channels, height, width)
        self.pooled = settings.global_average_pooling
        self.hidden = nn.Sequential()
        inputs = channels if self.pooled else channels * height * width
        for units in settings.hidden:
            self.hidden.extend((nn.Linear(inputs, units), nn.ReLU(), nn.Dropout(settings.dropout)))
            inputs = units
        self.classify = nn.Linear(inputs, data.classes)
        self.feature_shapes["penultimate"] = (inputs,)
        initialise_convolutions(self, "fan_in")

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits, the five stages' maps and the vector that feeds the classifier."""
        maps = self.normalise(images)
        features = {}
        for index, stage in enumerate(self.stages, 1):
            maps = stage(maps)
            features[f"layer{index}"] = maps
        features["penultimate"] = self.hidden(maps.mean((2, 3)) if self.pooled else maps.flatten(1))
        return self.classify(features["penultimate"]), features


def build(settings: Settings, data: DataDescription) -> Classifier:
    """Return a VGG drawn from torch's global generator."""
    return VGG(settings, data)
