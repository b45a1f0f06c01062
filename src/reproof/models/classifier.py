"""The model contract: images in [0, 1] in, logits and named latent features out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.errors import StudyError

REFUSED = -1
"""The class of an image that a classifier refuses to answer: never the right one."""


@dataclass(frozen=True)
class Answers:
    """What a classifier says of images: its decision, and what led to it."""

    classes: Tensor
    """int64 (N,): the class decided for; REFUSED where it answers with none."""
    features: dict[str, Tensor]
    """The named latent features, as `Classifier.features`."""
    logits: Tensor
    """(N, K)."""
    votes: Tensor | None = None
    """int64 (N, M): each member's class, of an ensemble that votes."""
    failed: Tensor | None = None
    """bool (N,): the vote found no majority."""


def takes_channels_last(network: nn.Module) -> bool:
    """Say whether no part of a network objects to images and kernels that lie channels-last."""
    return all(getattr(module, "any_memory_format", True) for module in network.modules())


class Classifier(nn.Module, ABC):
    """A network from float32 (N, C, H, W) in [0, 1] to logits (N, K); it normalises the images itself.

    `feature_shapes` names its latent features with the words that the papers use and gives each one's shape
    without the batch: (D,) for vectors, (C, H, W) for maps. The last one feeds the final linear layer.
    """

    feature_shapes: dict[str, tuple[int, ...]]
    any_memory_format: ClassVar[bool] = True
    """Whether images and kernels may lie channels-last: `x.view(len(x), -1)` behind a convolution takes that for an
    error."""

    def __init__(self, data: DataDescription):
        super().__init__()
        self.classes = data.classes
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(data.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(data.std).view(1, -1, 1, 1))

    @property
    def weights_belong_to(self) -> nn.Module:
        """Return the module whose names a file of weights from elsewhere uses."""
        return self

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

    def answers(self, images: Tensor) -> Answers:
        """Return the decisions that outcomes record; a network that decides by more than its logits says so."""
        logits, features = self.logits_and_features(images)
        return Answers(logits.argmax(dim=1), features, logits)

    def require_features(self, names: Iterable[str], setting: str) -> None:
        """Raise StudyError, which names the setting, where the network has no feature of one of the names."""
        for name in names:
            if name not in self.feature_shapes:
                known = ", ".join(self.feature_shapes)
                raise StudyError(f"{setting}: no feature is called {name!r}; this network's are {known}")

    def expose_blocks(self) -> None:
        """Name the map of every residual block among the features; StudyError where there are no such blocks."""
        raise StudyError(
            "this network has no residual blocks whose maps could be taken; take those of its stages"
        )
