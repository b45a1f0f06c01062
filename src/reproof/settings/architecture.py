"""What an architecture's file declares about itself."""

from __future__ import annotations

from typing import ClassVar

from reproof.settings.values import Settings


class ArchitectureSettings(Settings):
    """What an architecture's file declares about itself."""

    smallest_side: ClassVar[int] = 1
    """Height and width in pixels below which its layers leave nothing of an image."""
    residual: ClassVar[bool] = False
    """Whether it is made of residual blocks, whose maps it can name one by one (`expose_blocks`)."""

    @property
    def files(self) -> tuple[str, ...]:
        """Return the files outside the package that hold its code, relative to the project's folder."""
        return ()

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of its latent features, the last one last; empty where only building it tells."""
        return ()

    title: ClassVar[str]
    """What people call it: `CNN-6`; of several depths the family: `ResNet`."""

    @classmethod
    def title_of(cls, key: str, name: str) -> str | None:
        """Return what people call the network that claims know by a key; None of a key that is not its own.

        name: the file's. One whose `key` depends on its settings overrides it: `resnet110` is `ResNet-110`.
        """
        return cls.title if key == name else None

    def key(self, name: str) -> str:
        """Return the name under which claims and measurements know this architecture: variants apart."""
        return name

    def layers(self, channels: int, height: int, width: int, classes: int) -> list[tuple[int, int]]:
        """Return each convolution's and linear layer's weights and the positions where each weight is used.

        channels, height, width: of an image. A linear layer uses its weights once, at one position.
        """
        raise TypeError(f"{type(self).__module__}: an architecture's Settings defines layers()")

    def multiply_adds(self, channels: int, height: int, width: int, classes: int) -> float:
        """Return the multiply-adds of convolutions and linear layers in one forward pass of one image."""
        layers = self.layers(channels, height, width, classes)
        return float(sum(weights * positions for weights, positions in layers))
