"""What networks share: He's initialisation, and how residual stages are taken apart."""

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


def one_stage_per_block(
    stages: nn.ModuleList, shapes: dict[str, tuple[int, ...]]
) -> tuple[nn.ModuleList, dict[str, tuple[int, ...]]]:
    """Return a stage for each residual block, and the shapes of the features with each block's map among them.

    stages: each a Sequential of blocks whose maps have one shape; a Sequential among the blocks is a last
    activation, which stays with the block before it. shapes: those after the stem, each stage, and the head;
    a stage's last map keeps the stage's name, and those before it are numbered: `layer2.1`, `layer2.2`, `layer2`.
    """
    (stem, *names, head) = shapes
    single, exposed = nn.ModuleList(), {stem: shapes[stem]}
    for stage, name in zip(stages, names, strict=True):
        blocks: list[nn.Module] = []
        for module in stage.children():
            if isinstance(module, nn.Sequential):
                blocks[-1] = nn.Sequential(blocks[-1], module)
            else:
                blocks.append(module)
        single.extend(blocks)
        exposed |= {f"{name}.{number}": shapes[name] for number in range(1, len(blocks))}
        exposed[name] = shapes[name]
    return single, {**exposed, head: shapes[head]}
