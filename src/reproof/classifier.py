"""The model contract: images in [0, 1] in, logits and named latent features out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from reproof.data import DataDescription
from reproof.errors import StudyError


class Classifier(nn.Module, ABC):
    """A network from float32 (N, C, H, W) in [0, 1] to logits (N, K); it normalises the images itself.

    `feature_shapes` names its latent features with the words that the papers use and gives each one's shape
    without the batch: (D,) for vectors, (C, H, W) for maps. The last one feeds the final linear layer.
    """

    feature_shapes: dict[str, tuple[int, ...]]

    def __init__(self, data: DataDescription):
        super().__init__()
        self.classes = data.classes
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(data.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(data.std).view(1, -1, 1, 1))

    def normalise(self, images: Tensor) -> Tensor:
        """Return images (N, C, H, W) in [0, 1] with the training data's mean removed and its spread made 1."""
        if images.shape[1] != self.mean.shape[1]:
            raise ValueError(
                f"images have {images.shape[1]} channels; this network takes {self.mean.shape[1]}"
            )
        return (images - self.mean) / self.std

    @abstractmethod
    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits (N, K) and every feature of `feature_shapes`, from one pass. images: in [0, 1]."""

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K)."""
        return self.logits_and_features(images)[0]

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Return the named latent features."""
        return self.logits_and_features(images)[1]

    def expose_blocks(self) -> None:
        """Name the map of every residual block among the features; StudyError where there are no such blocks."""
        raise StudyError(
            "this network has no residual blocks whose maps could be taken; take those of its stages"
        )
