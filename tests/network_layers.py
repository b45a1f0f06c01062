"""What tests of single networks share: weights counted, copied and spent by plain operations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.models.classifier import Classifier


def describe(channels: int, height: int, width: int | None = None, classes: int = 10) -> DataDescription:
    return DataDescription(channels, height, width or height, classes, (0.5,) * channels, (0.25,) * channels)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def layers_of(module: nn.Module, kind: type[nn.Module]) -> list[Any]:
    return [part for part in module.modules() if isinstance(part, kind)]


def copy_weights(target: nn.Module, source: nn.Module, skip: set[str]) -> None:
    """Copy every tensor in order; the two networks declare their layers in the same one."""
    ours = {k: v for k, v in target.state_dict().items() if k not in {"mean", "std"}}
    theirs = {k: v for k, v in source.state_dict().items() if k not in skip}
    assert [v.shape for v in ours.values()] == [v.shape for v in theirs.values()]
    target.load_state_dict(dict(zip(ours, theirs.values(), strict=True)), strict=False)


def randomise_statistics(module: nn.Module) -> None:
    for norm in layers_of(module, nn.BatchNorm2d):
        nn.init.normal_(norm.running_mean, std=0.1)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.1)


def standardise(images: Tensor) -> Tensor:
    return (images - 0.5) / 0.25


class Pieces:
    """A network's tensors in order, spent by plain operations: an implementation beside the modules."""

    def __init__(self, network: nn.Module):
        state = network.state_dict()
        skipped = {"mean", "std"}
        self.tensors = [
            value for key, value in state.items() if key not in skipped and not key.endswith("tracked")
        ]

    def next(self) -> Tensor:
        return self.tensors.pop(0)

    def activate(self, maps: Tensor) -> Tensor:
        scale, shift, mean, variance = (self.next().view(1, -1, 1, 1) for _ in range(4))
        normal: Tensor = scale * (maps - mean) / (variance + 1e-5).sqrt() + shift
        return normal.clamp(min=0)

    def convolve(self, maps: Tensor, stride: int = 1) -> Tensor:
        weights = self.next()
        return nn.functional.conv2d(maps, weights, stride=stride, padding=weights.shape[-1] // 2)

    def classify(self, vector: Tensor) -> Tensor:
        return vector @ self.next().T + self.next()


def pre_activated(
    pieces: Pieces, maps: Tensor, stages: list[int], strides: list[int], same_shape: bool
) -> list[Tensor]:
    """He 2016b, Eq. 1 with h and F of Fig. 4e. strides: of a block's convolutions where it halves its maps.
    same_shape: the first stage keeps the stem's planes.
    """
    found = [pieces.activate(pieces.convolve(maps))]
    for index, count in enumerate(stages):
        maps = found[-1]
        for block in range(count):
            halves = index > 0 and block == 0
            projects = halves or (block == 0 and not same_shape)
            ready = maps if index == block == 0 else pieces.activate(maps)
            inner = pieces.convolve(ready, strides[0] if halves else 1)
            for stride in strides[1:]:
                inner = pieces.convolve(pieces.activate(inner), stride if halves else 1)
            maps = inner + (pieces.convolve(ready, 2 if halves else 1) if projects else maps)
        found.append(pieces.activate(maps) if index == len(stages) - 1 else maps)
    return found


def weights(model: Classifier) -> list[Tensor]:
    return [value for key, value in model.state_dict().items() if key not in {"mean", "std"}]


def draw_biases(model: Classifier) -> None:
    """Leave no bias 0, so that one that is left out is noticed."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.uniform_(parameter, -0.2, 0.2)


def receptive_field(model: Classifier, feature: str, size: int) -> tuple[int, int]:
    """Return height and width of the pixels that the middle unit of a map depends on."""
    image = torch.rand(1, 1, size, size, requires_grad=True)
    maps = model.eval().features(image)[feature]
    maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].square().sum().backward()
    assert image.grad is not None
    rows, columns = torch.nonzero(image.grad[0, 0], as_tuple=True)
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
