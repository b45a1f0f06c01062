"""Pre-activation residual blocks (He, Zhang, Ren, Sun 2016, "Identity mappings in deep residual networks")."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


def activation(channels: int) -> nn.Sequential:
    """Return batch norm and ReLU, which stand before a convolution."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class PreActivationBlock(nn.Module):
    """A residual block of BN-ReLU-convolution (He 2016b, Fig. 4e): body(a(x)) + x; nothing follows the sum.

    Where the shape changes, the shortcut is a bare 1 x 1 convolution of a(x) in place of x, as in the
    authors' public code.
    """

    def __init__(
        self, convolutions: Sequence[nn.Conv2d], stride: int, *, activated: bool, dropout: float = 0.0
    ):
        """convolutions: in order, without bias. stride: of the one among them that has it. activated: the
        input is activated already, so that a is the identity. dropout: before the second and later ones.
        """
        super().__init__()
        channels, out_channels = convolutions[0].in_channels, convolutions[-1].out_channels
        self.activation = nn.Sequential() if activated else activation(channels)
        self.body = nn.Sequential(convolutions[0])
        for convolution in convolutions[1:]:
            self.body.append(activation(convolution.in_channels))
            if dropout > 0:
                self.body.append(nn.Dropout(dropout))
            self.body.append(convolution)
        self.changes_shape = stride != 1 or channels != out_channels
        self.shortcut: nn.Module = nn.Identity()
        if self.changes_shape:
            self.shortcut = nn.Conv2d(channels, out_channels, 1, stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, out_channels, H / stride, W / stride), rounded up."""
        activated = self.activation(maps)
        summed: Tensor = self.body(activated)
        return summed.add_(self.shortcut(activated if self.changes_shape else maps))
