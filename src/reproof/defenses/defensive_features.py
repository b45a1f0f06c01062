"""M. Hassanin, I. Radwan, N. Moustafa, M. Tahtali, N. Kumar. Mitigating the Impact of Adversarial Attacks in
Very Deep Networks. arXiv:2012.04750, 2020 ("DFL", the Defensive Feature Layer).

The map of every layer before the last goes through a deconvolutional block and is pooled to the last map's
size; all are joined with the last map, and their averages are classified by one linear layer (Eq. 1). The
blocks are to remove perturbations from the features, and their short way to the loss to let very deep
networks converge.

It is a part of the network and trained by cross-entropy alone. It has neither a loss nor a secret of its own,
and every step of it has a gradient: cross-entropy on the logits already is the adaptive attack, and no other
view is declared.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.errors import StudyError
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense, Trainee
from reproof.settings.defense import DefenseSettings, Undertaking
from reproof.settings.values import Count


class Settings(DefenseSettings):
    """Settings of the defensive feature layer (DFL)."""

    title: ClassVar[str] = "defensive features"
    paper: ClassVar[str] = "hassanin_dfl"
    shapes_network: ClassVar[bool] = True

    taps: Literal["stages", "blocks"] = "stages"
    """Whose maps F_i are taken (Sec. 3.2): `stages`: those that the network names, of a ResNet the stem's and
    each stage's; `blocks`: those of every residual block too."""
    block: Literal["normalised", "plain"] = "normalised"
    """D of Eq. 1: a transposed convolution with batch norm and ReLU, or the transposed convolution alone."""
    kernel: Count = 1
    """Height and width of its kernel, an odd number (Sec. 4.1: 1)."""
    channels: Count | None = None
    """Channels that each block gives out; None: as many as come in."""
    pooling: Literal["after", "before"] = "after"
    """Whether maps are max-pooled to the last map's size after or before the block (Sec. 3.2, 4.1)."""

    @model_validator(mode="after")
    def _odd(self) -> Settings:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel should be odd, so that a map keeps its size; it is {self.kernel}")
        return self

    def key(self, name: str) -> str:
        """Return the name, with `[blocks]` where every residual block is tapped."""
        return name if self.taps == "stages" else f"{name}[{self.taps}]"

    def relative_cost(self) -> float:
        """Return a step's cost on the network where the blocks cost most, a ResNet-50 (on a CPU, half as wide).

        At its stages: 1.20, on a ResNet-18 1.14, on a CNN-6 1.00 to 1.07; at every block: 1.96 and 1.28.
        """
        return 1.2 if self.taps == "stages" else 2.0

    def misfits(self, asked: Undertaking) -> list[tuple[str, str]]:
        """Return that a network without residual blocks cannot be tapped at them."""
        if self.taps == "stages" or asked.residual:
            return []
        return [
            (
                "taps",
                "this network has no residual blocks whose maps could be taken; take those of its stages",
            )
        ]


class DefensiveFeatureNetwork(Classifier):
    """A network whose own head gives way to the defensive feature layer.

    Features: the network's maps under their own names, `defensive` (F of Eq. 1, a map), and `penultimate` (its
    averages, which feed the classifier).
    """

    def __init__(self, settings: Settings, network: Classifier, data: DataDescription):
        super().__init__(data)
        if settings.taps == "blocks":
            network.expose_blocks()
        maps = {name: shape for name, shape in network.feature_shapes.items() if len(shape) == 3}
        if not maps:
            raise StudyError(
                "the defensive feature layer needs a network with maps; this one has vectors only"
            )
        self.maps = list(maps)
        _drop_head(network, self.maps, data)
        self.network = network
        self.pooled_first = settings.pooling == "before"
        self.blocks = nn.ModuleList()
        *earlier, (joined, height, width) = maps.values()
        for channels, *_ in earlier:
            out_channels = channels if settings.channels is None else settings.channels
            self.blocks.append(_deconvolution(channels, out_channels, settings))
            joined += out_channels
        self.classify = nn.Linear(joined, data.classes)
        self.feature_shapes = {**maps, "defensive": (joined, height, width), "penultimate": (joined,)}

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits, the network's maps, the defensive features and their averages."""
        named = self.network.features(images)
        features = {name: named[name] for name in self.maps}
        *earlier, last = features.values()
        size = (last.shape[2], last.shape[3])
        joined = [last]
        for block, maps in zip(self.blocks, earlier, strict=True):
            joined.append(block(_pool(maps, size)) if self.pooled_first else _pool(block(maps), size))
        features["defensive"] = torch.cat(joined, dim=1)
        features["penultimate"] = features["defensive"].mean(dim=(2, 3))
        return self.classify(features["penultimate"]), features


class DefensiveFeatures(Defense[Settings]):
    """Cross-entropy on a network with a defensive feature layer."""

    deviations: ClassVar[tuple[str, ...]] = (
        "A layer of Eq. 1 is the stem or a stage, not each convolution, whose maps would join to tens of "
        "thousands of channels in a ResNet-50 (taps).",
        "A deconvolutional block is one transposed convolution with batch norm and ReLU that keeps the number "
        "of channels; the paper gives its kernel only (block, channels).",
        "Fully connected layers that a network has before its last one give way to global average pooling, as "
        "in the ResNet-50 of the paper.",
    )

    def build(self, classifier: Classifier, data: DataDescription) -> Trainee:
        """Return the classifier with the layer in its head's place; StudyError where it has no maps.

        The classifier's own head is removed from it.
        """
        return Trainee(DefensiveFeatureNetwork(self.settings, classifier, data))


def _deconvolution(channels: int, out_channels: int, settings: Settings) -> nn.Sequential:
    """Return D of Eq. 1: maps (N, channels, H, W) to (N, out_channels, H, W)."""
    plain = settings.block == "plain"
    convolution = nn.ConvTranspose2d(
        channels, out_channels, settings.kernel, padding=settings.kernel // 2, bias=plain
    )
    # He's fan in: PyTorch counts a transposed convolution's inputs as its fan out.
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="linear" if plain else "relu")
    if plain:
        return nn.Sequential(convolution)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def _pool(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps max-pooled to a height and width."""
    height, width = maps.shape[2], maps.shape[3]
    if (height, width) == size:
        return maps
    if height % size[0] == 0 and width % size[1] == 0:  # the same windows, faster
        return nn.functional.max_pool2d(maps, (height // size[0], width // size[1]))
    return nn.functional.adaptive_max_pool2d(maps, size)


def _drop_head(network: Classifier, maps: list[str], data: DataDescription) -> None:
    """Take the layers out of the network that its maps do not depend on.

    They are found by their parameters, which get no gradient from the maps, and stand for nothing afterwards:
    of the network's outputs only the maps mean something. Parameters that no layer but the whole network
    holds are frozen.
    """
    was_training = network.training
    network.eval()
    images = torch.zeros(1, data.channels, data.height, data.width, device=network.mean.device)
    named = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    with torch.enable_grad():
        features = network.features(images)
        total = torch.stack([features[name].sum() for name in maps]).sum()
        gradients = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    network.train(was_training)
    unused = {name for name, gradient in zip(named, gradients, strict=True) if gradient is None}
    for path, module in list(network.named_modules()):
        own = {f"{path}.{name}" for name, _ in module.named_parameters(recurse=False)}
        if path and own and own <= unused:
            network.set_submodule(path, nn.Identity())
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name not in unused)
