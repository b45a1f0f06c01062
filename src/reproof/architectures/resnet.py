"""Residual networks (He et al. 2016, "Deep residual learning for image recognition"), basic and
bottleneck blocks.

`stem: cifar` is He's Sec. 4.2: a 3 x 3 convolution and three stages of 16, 32, 64 planes; `stem: imagenet`
is Table 1: four stages of 64 to 512 planes, by default behind a 3 x 3 convolution too, as is usual for
images of 32 x 32.

ResNet-110 of Mustafa 2019, Table 1: `depth: 110`, `block: bottleneck`, `hidden: 1024`, hence 12 blocks a
stage: 1 + 3 * 36 + 1 = 110 layers, FC(1024) not among them. The authors' released code has 18 bottleneck
blocks a stage, which are 164 layers, and no ReLU after FC(1024): `blocks: 18`, `hidden_relu: false`.
The `ReLU (2 x 2)` of Table 1's layer 1 may be read as a pooling, which is `stem_pool: true`; the released
code has none there, and that is the default.

Deviations from He 2016: shortcuts between shapes are 1 x 1 convolutions in the `cifar` networks too (He
pads with zeros there; Mustafa's code has convolutions); a bottleneck's stride is on its 3 x 3 convolution,
as in torchvision and in Mustafa's code (He has it on the first 1 x 1).

`pre_activation: true` is He et al. 2016b ("Identity mappings in deep residual networks", Fig. 4e): batch norm
and ReLU before each convolution and nothing after the sum, but for a last activation behind the last block
(appendix). The first block's activation is the stem's, before the paths split (appendix). Where the shape
changes the shortcut is a bare 1 x 1 convolution of the activated maps, as in He's public code, also in the
ImageNet networks.

Features of `stem: cifar`, in Mustafa's Table 1 numbers: `layer1` (map after the stem), `layer2`, `layer3`,
`layer4` (maps after the three stages), `layer5` (the vector that feeds the classifier: FC(hidden), or
pooled layer 4 where hidden is 0). Features of `stem: imagenet`: `layer1` (stem), `layer2` to `layer5` (the
four stages), `penultimate` (that vector). With pre-activation the last of these maps is activated; those
between the stages are the sums that the next block activates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.models.classifier import Classifier
from reproof.models.layers import initialise_convolutions, one_stage_per_block
from reproof.models.preactivation import PreActivationBlock, activation
from reproof.settings.architecture import ArchitectureSettings
from reproof.settings.residual_names import residual_key, residual_title
from reproof.settings.values import Count, Positive, Switch, Whole, scaled


class Settings(ArchitectureSettings):
    """A residual network."""

    residual: ClassVar[bool] = True

    title: ClassVar[str] = "ResNet"

    depth: Count = 20
    """Layers with weights (He 2016, Table 1, Sec. 4.2); it also names the network in claims: `resnet110`."""
    block: Literal["basic", "bottleneck"] = "basic"
    """Two 3 x 3 convolutions, or 1 x 1, 3 x 3 and 1 x 1 with four times the planes (He 2016, Fig. 5)."""
    stem: Literal["cifar", "imagenet"] = "cifar"
    """Three stages from 16 planes (He 2016, Sec. 4.2), or four stages from 64 planes (Table 1)."""
    stem_pool: Switch = False
    """cifar: a 2 x 2 max pooling after the stem (Mustafa, Table 1, `ReLU (2 x 2)` taken literally).
    imagenet: the 7 x 7 convolution of stride 2 and 3 x 3 max pooling (He 2016, Table 1), for large images."""
    blocks: tuple[Count, ...] | Count | None = None
    """Blocks of each stage, or one number for all; null takes them from depth. Mustafa's code has 18."""
    hidden: Annotated[Whole, Field(ge=0)] = 0
    """Units of a fully connected layer before the classifier; 0 is none (Mustafa, Table 1, layer 5: 1024)."""
    hidden_relu: Switch = True
    """A ReLU after that layer: Mustafa's Table 1 does not say; the released code has none."""
    pre_activation: Switch = False
    """Batch norm and ReLU before each convolution instead of after it (He 2016b, Fig. 4e)."""
    width: Positive = 1.0
    """Multiplies every layer's planes and units."""

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of its latent features."""
        return (
            *(f"layer{index}" for index in range(1, len(self.stage_blocks) + 2)),
            "layer5" if self.stem == "cifar" else "penultimate",
        )

    @property
    def stage_blocks(self) -> tuple[int, ...]:
        """Return the number of blocks in each stage."""
        stages = 3 if self.stem == "cifar" else 4
        if isinstance(self.blocks, tuple):
            return self.blocks
        return self._regular_blocks if self.blocks is None else (self.blocks,) * stages

    @property
    def _regular_blocks(self) -> tuple[int, ...]:
        """Return the blocks of each stage that depth, block and stem make; empty where they make none."""
        if self.stem == "cifar":
            layers = 6 if self.block == "basic" else 9
            return ((self.depth - 2) // layers,) * 3 if (self.depth - 2) % layers == 0 else ()
        table: dict[tuple[str, int], tuple[int, ...]] = {
            ("basic", 18): (2, 2, 2, 2),
            ("basic", 34): (3, 4, 6, 3),
            ("bottleneck", 50): (3, 4, 6, 3),
            ("bottleneck", 101): (3, 4, 23, 3),
            ("bottleneck", 152): (3, 8, 36, 3),
        }
        return table.get((self.block, self.depth), ())

    @model_validator(mode="after")
    def _fitting(self) -> Settings:
        stages = 3 if self.stem == "cifar" else 4
        if isinstance(self.blocks, tuple) and len(self.blocks) != stages:
            raise ValueError(f"blocks should be one number or {stages}, one for each stage of {self.stem}")
        if self.blocks is not None:
            return self
        if self.stem == "imagenet" and not self.stage_blocks:
            depths = "18 or 34" if self.block == "basic" else "50, 101 or 152"
            raise ValueError(
                f"depth should be {depths} for four stages of {self.block} blocks, not {self.depth}"
            )
        layers = 6 if self.block == "basic" else 9
        if self.stem == "cifar" and (self.depth < layers + 2 or (self.depth - 2) % layers):
            raise ValueError(
                f"depth should be {layers} n + 2 for three stages of {self.block} blocks, not {self.depth}"
            )
        return self

    @classmethod
    def title_of(cls, key: str, name: str) -> str | None:
        """Return ResNet-110 for resnet110, `ResNet-110 (bottleneck, FC(1024))` for Mustafa's."""
        return residual_title(key)

    def key(self, name: str) -> str:
        """Return resnet110 for He's network, and for another one with all that sets it apart but its width.

        Mustafa's Table 1 is `resnet110_bottleneck_fc1024`, the released code the same with
        `blocks18` and `linear`.
        """
        return residual_key(
            self.depth,
            block=self.block,
            stem=self.stem,
            blocks=None if self.stage_blocks == self._regular_blocks else self.stage_blocks,
            stem_pool=self.stem_pool,
            hidden=self.hidden,
            hidden_relu=self.hidden_relu,
            pre_activation=self.pre_activation,
        )

    @property
    def stage_planes(self) -> list[int]:
        """Return the planes of each stage."""
        base = 16 if self.stem == "cifar" else 64
        return [scaled(base * 2**index, self.width) for index in range(len(self.stage_blocks))]

    def resolved(self, features: Sequence[str] = (), epochs: int = 0) -> dict[str, Any]:
        """Return the blocks that the depth stands for: one number where all stages have as many."""
        numbers = [*self.stage_blocks]
        return {"blocks": numbers[0] if len(set(numbers)) == 1 else numbers}

    @property
    def hidden_units(self) -> tuple[int, ...]:
        """Return the units of the layers between the last stage and the classifier."""
        return (scaled(self.hidden, self.width),) if self.hidden else ()

    def layers(self, channels: int, height: int, width: int, classes: int) -> list[tuple[int, int]]:
        """Return each layer's weights and the positions where each is used."""
        bottleneck = self.block == "bottleneck"
        planes = self.stage_planes[0]
        if self.stem_pool and self.stem == "imagenet":
            height, width = (height + 1) // 2, (width + 1) // 2
            found = [(49 * channels * planes, height * width)]
        else:
            found = [(9 * channels * planes, height * width)]
        if self.stem_pool:
            height, width = (height + 1) // 2, (width + 1) // 2
        channels = planes
        for index, (planes, count) in enumerate(zip(self.stage_planes, self.stage_blocks, strict=True)):
            for block in range(count):
                outputs, entered = planes * (4 if bottleneck else 1), height * width
                strided = index > 0 and block == 0
                if strided:
                    height, width = (height + 1) // 2, (width + 1) // 2
                left = height * width
                if bottleneck:
                    found += [(channels * planes, entered), (9 * planes**2, left), (planes * outputs, left)]
                else:
                    found += [(9 * channels * planes, left), (9 * planes**2, left)]
                if strided or channels != outputs:
                    found.append((channels * outputs, left))
                channels = outputs
        for units in (*self.hidden_units, classes):
            found.append((channels * units, 1))
            channels = units
        return found


class Block(nn.Module):
    """A residual block: relu(body(x) + shortcut(x))."""

    def __init__(self, body: nn.Sequential, channels: int, out_channels: int, stride: int):
        super().__init__()
        self.body = body
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, out_channels, H / stride, W / stride), rounded up."""
        summed: Tensor = self.body(maps).add_(self.shortcut(maps))
        return summed.relu_()


def _convolution(channels: int, planes: int, size: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(channels, planes, size, stride, padding=size // 2, bias=False)
    return convolution, nn.BatchNorm2d(planes)


def _basic(channels: int, planes: int, stride: int) -> Block:
    body = nn.Sequential(
        *_convolution(channels, planes, 3, stride), nn.ReLU(inplace=True), *_convolution(planes, planes, 3)
    )
    return Block(body, channels, planes, stride)


def _bottleneck(channels: int, planes: int, stride: int) -> Block:
    body = nn.Sequential(
        *_convolution(channels, planes, 1),
        nn.ReLU(inplace=True),
        *_convolution(planes, planes, 3, stride),
        nn.ReLU(inplace=True),
        *_convolution(planes, 4 * planes, 1),
    )
    return Block(body, channels, 4 * planes, stride)


def _pre_activated(
    settings: Settings, channels: int, planes: int, stride: int, first: bool
) -> PreActivationBlock:
    if settings.block == "basic":
        shapes = [(channels, planes, 3, stride), (planes, planes, 3, 1)]
    else:
        shapes = [(channels, planes, 1, 1), (planes, planes, 3, stride), (planes, 4 * planes, 1, 1)]
    convolutions = [
        nn.Conv2d(before, after, size, step, padding=size // 2, bias=False)
        for before, after, size, step in shapes
    ]
    return PreActivationBlock(convolutions, stride, activated=first)


class ResNet(Classifier):
    """A residual network of three or four stages."""

    def __init__(self, settings: Settings, data: DataDescription):
        super().__init__(data)
        make, expansion = (_basic, 1) if settings.block == "basic" else (_bottleneck, 4)
        channels = settings.stage_planes[0]
        self.stem, divisor = _stem(settings, data.channels, channels)
        size = _divided((data.height, data.width), divisor)
        shapes: list[tuple[int, ...]] = [(channels, *size)]
        self.stages = nn.ModuleList()
        for index, (planes, count) in enumerate(
            zip(settings.stage_planes, settings.stage_blocks, strict=True)
        ):
            stage = nn.Sequential()
            for stride in [1 if index == 0 else 2] + [1] * (count - 1):
                if settings.pre_activation:
                    first = index == 0 and not len(stage)
                    stage.append(_pre_activated(settings, channels, planes, stride, first))
                else:
                    stage.append(make(channels, planes, stride))
                channels, size = planes * expansion, _divided(size, stride)
            if settings.pre_activation and index == len(settings.stage_blocks) - 1:
                stage.append(activation(channels))
            self.stages.append(stage)
            shapes.append((channels, *size))
        self.hidden = nn.Sequential()
        for units in settings.hidden_units:
            self.hidden.append(nn.Linear(channels, units))
            if settings.hidden_relu:
                self.hidden.append(nn.ReLU())
            channels = units
        self.classify = nn.Linear(channels, data.classes)
        last = "layer5" if settings.stem == "cifar" else "penultimate"
        self.feature_shapes = {f"layer{i}": shape for i, shape in enumerate(shapes, 1)}
        self.feature_shapes[last] = (channels,)
        initialise_convolutions(self, "fan_out")

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits, the maps after the stem and each stage, and the vector that feeds the classifier."""
        maps = [self.stem(self.normalise(images))]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        vector = self.hidden(maps[-1].mean((2, 3)))
        return self.classify(vector), dict(zip(self.feature_shapes, [*maps, vector], strict=True))

    def expose_blocks(self) -> None:
        """Name every block's map among the features: `layer2.1`, `layer2.2` before `layer2`."""
        self.stages, self.feature_shapes = one_stage_per_block(self.stages, self.feature_shapes)


def _stem(settings: Settings, channels: int, planes: int) -> tuple[nn.Sequential, int]:
    """Return the stem, and by how much it divides height and width (rounded up)."""
    if not settings.stem_pool:
        return nn.Sequential(*_convolution(channels, planes, 3), nn.ReLU(inplace=True)), 1
    if settings.stem == "cifar":
        pool = nn.MaxPool2d(2, ceil_mode=True)
        return nn.Sequential(*_convolution(channels, planes, 3), nn.ReLU(inplace=True), pool), 2
    pool = nn.MaxPool2d(3, 2, padding=1)
    return nn.Sequential(*_convolution(channels, planes, 7, 2), nn.ReLU(inplace=True), pool), 4


def _divided(size: tuple[int, int], divisor: int) -> tuple[int, int]:
    return -(-size[0] // divisor), -(-size[1] // divisor)


def build(settings: Settings, data: DataDescription) -> Classifier:
    """Return a ResNet drawn from torch's global generator."""
    return ResNet(settings, data)
