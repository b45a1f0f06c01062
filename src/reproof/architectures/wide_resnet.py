"""Wide residual networks (Zagoruyko, Komodakis 2016, "Wide residual networks").

A 3 x 3 convolution of 16 planes, then three stages of n pre-activation blocks with 16 k, 32 k and 64 k
planes, each of two 3 x 3 convolutions (Table 1): WRN-d-k has d = 6 n + 4 convolutions. Dropout, where asked for,
stands between a block's two convolutions, after batch norm and ReLU (Sec. 2.4). Madry 2018 and Hassanin
name such a network; Hassanin gives neither depth nor widening, and WRN-28-10, the default, is the paper's
best without dropout.

How the paper was read. The first activation stands right after the first convolution and before the paths
split (He 2016b, appendix); at k = 1 the public code has it on one path only. Shortcuts between shapes are
bare 1 x 1 convolutions of the activated maps, as in the public code.

Features, as in `resnet`: `layer1` (map after the first convolution, activated), `layer2`, `layer3` (maps
after the first two stages, sums that the next block activates), `layer4` (map after the third stage and the
last activation), `layer5` (the vector that feeds the classifier: layer 4, averaged).
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator
from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.models.classifier import Classifier
from reproof.models.layers import initialise_convolutions, one_stage_per_block
from reproof.models.preactivation import PreActivationBlock, activation
from reproof.settings.architecture import ArchitectureSettings
from reproof.settings.values import Count, Positive, UnitInterval, scaled


class Settings(ArchitectureSettings):
    """A wide residual network."""

    residual: ClassVar[bool] = True

    title: ClassVar[str] = "Wide ResNet"

    depth: Count = 28
    """d = 6 n + 4: the first convolution, 6 n of the blocks and three of the shortcuts (Sec. 3)."""
    widening: Positive = 10
    """k, multiplies the planes of the three stages (Table 1); the first convolution keeps its 16."""
    dropout: Annotated[UnitInterval, Field(lt=1)] = 0.0
    """Share of each block's inner maps that training drops (Sec. 2.4; 0.3 for CIFAR, 0.4 for SVHN)."""
    width: Positive = 1.0
    """Multiplies every layer's planes, the first convolution's too; 1 is Table 1."""

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of its latent features."""
        return ("layer1", "layer2", "layer3", "layer4", "layer5")

    @model_validator(mode="after")
    def _fitting(self) -> Settings:
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(f"depth should be 6 n + 4 for three stages of n blocks, not {self.depth}")
        return self

    @property
    def blocks(self) -> int:
        """Return n, the blocks of each stage."""
        return (self.depth - 4) // 6

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the planes of the first convolution and of the three stages."""
        stages = (scaled(size, self.widening * self.width) for size in (16, 32, 64))
        return scaled(16, self.width), *stages

    def layers(self, channels: int, height: int, width: int, classes: int) -> list[tuple[int, int]]:
        """Return each layer's weights and the positions where each is used."""
        first, *stages = self.sizes
        found = [(9 * channels * first, height * width)]
        channels = first
        for index, planes in enumerate(stages):
            for block in range(self.blocks):
                strided = index > 0 and block == 0
                if strided:
                    height, width = (height + 1) // 2, (width + 1) // 2
                left = height * width
                found += [(9 * channels * planes, left), (9 * planes**2, left)]
                if strided or channels != planes:
                    found.append((channels * planes, left))
                channels = planes
        return [*found, (channels * classes, 1)]


class WideResNet(Classifier):
    """WRN-d-k with blocks of two 3 x 3 convolutions."""

    def __init__(self, settings: Settings, data: DataDescription):
        super().__init__(data)
        channels, *stages = settings.sizes
        height, width = data.height, data.width
        stem = nn.Conv2d(data.channels, channels, 3, padding=1, bias=False)
        self.stem = nn.Sequential(stem, activation(channels))
        shapes: list[tuple[int, ...]] = [(channels, height, width)]
        self.stages = nn.ModuleList()
        for index, planes in enumerate(stages):
            stage = nn.Sequential()
            for block in range(settings.blocks):
                stride = 2 if index > 0 and block == 0 else 1
                convolutions = [
                    nn.Conv2d(channels, planes, 3, stride, padding=1, bias=False),
                    nn.Conv2d(planes, planes, 3, padding=1, bias=False),
                ]
                first = index == block == 0
                stage.append(
                    PreActivationBlock(convolutions, stride, activated=first, dropout=settings.dropout)
                )
                channels, height, width = planes, -(-height // stride), -(-width // stride)
            if index == len(stages) - 1:
                stage.append(activation(channels))
            self.stages.append(stage)
            shapes.append((channels, height, width))
        self.classify = nn.Linear(channels, data.classes)
        self.feature_shapes = {f"layer{i}": shape for i, shape in enumerate([*shapes, (channels,)], 1)}
        initialise_convolutions(self, "fan_out")

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits, the maps after the stem and each stage, and the vector that feeds the classifier."""
        maps = [self.stem(self.normalise(images))]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        vector = maps[-1].mean((2, 3))
        return self.classify(vector), dict(zip(self.feature_shapes, [*maps, vector], strict=True))

    def expose_blocks(self) -> None:
        """Name every block's map among the features: `layer2.1`, `layer2.2` before `layer2`."""
        self.stages, self.feature_shapes = one_stage_per_block(self.stages, self.feature_shapes)


def build(settings: Settings, data: DataDescription) -> Classifier:
    """Return a wide ResNet drawn from torch's global generator."""
    return WideResNet(settings, data)
