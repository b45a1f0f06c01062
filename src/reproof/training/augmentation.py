"""Random crops and mirror images of a whole batch at once, on the device the batch lives on."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def shift_and_mirror(images: Tensor, padding: int, mirror: bool, generator: torch.Generator) -> Tensor:
    """Return a random crop of each image padded with zeros, and with `mirror` half of them left to right.

    images: (N, C, H, W) of any type; each image draws its own offset in 0..2 * padding.
    """
    count, channels, height, width = images.shape
    device = images.device
    offsets = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=generator, device=device)
    rows = offsets[0] + torch.arange(height, device=device)
    columns = offsets[1] + torch.arange(width, device=device)
    if mirror:
        flipped = torch.randint(0, 2, (count, 1), generator=generator, device=device, dtype=torch.bool)
        columns = torch.where(flipped, columns.flip(1), columns)
    padded = nn.functional.pad(images, (padding, padding, padding, padding))
    return padded[
        torch.arange(count, device=device).view(-1, 1, 1, 1),
        torch.arange(channels, device=device).view(1, -1, 1, 1),
        rows.view(count, 1, height, 1),
        columns.view(count, 1, 1, width),
    ]
