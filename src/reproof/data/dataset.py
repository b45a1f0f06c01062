"""A prepared data set in memory: uint8 images, labels and fixed splits, as `prepare` wrote them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class DataDescription:
    """What an architecture must know of its data."""

    channels: int
    height: int
    width: int
    classes: int
    mean: tuple[float, ...]
    """Mean of each channel over the training split, in [0, 1]."""
    std: tuple[float, ...]


@dataclass(frozen=True)
class Dataset:
    """All images of a data set, uint8 (N, C, H, W), their labels int64 (N,), and the splits' indices."""

    name: str
    images: torch.Tensor
    labels: torch.Tensor
    splits: dict[Split, torch.Tensor]
    description: DataDescription
    remarks: tuple[str, ...] = ()
    """What a person should know of how the images were read."""

    def select(self, split: Split, count: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the uint8 images and labels of a split's first `count` (its order is fixed, stratified, nested)."""
        chosen = self.splits[split][:count]
        return self.images[chosen], self.labels[chosen]


def to_unit(images: torch.Tensor) -> torch.Tensor:
    """Return uint8 images as float32 in [0, 1]."""
    return images.float().div_(255)
