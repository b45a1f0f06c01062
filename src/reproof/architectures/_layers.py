"""What every network shares: He's initialisation."""

from __future__ import annotations

from typing import Literal

from torch import nn


def initialise_convolutions(
    network: nn.Module, fan: Literal["fan_in", "fan_out"], slope: float = 0.0
) -> None:
    """Draw every convolution's weights as He 2015 (Eq. 10, 14; 15 for PReLU) and set its bias to 0.

    Fully connected layers keep PyTorch's own initialisation.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=slope, mode=fan, nonlinearity="leaky_relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
