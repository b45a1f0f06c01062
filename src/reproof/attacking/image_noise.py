"""Random numbers that belong to an image: the same whatever else is in its batch, and on every device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


class ImageNoise:
    """Uniform numbers that depend only on a key, an image's position in the attacked set and a draw's number.

    key: whatever tells one attack's noise from another's (seed, kind, point).
    """

    def __init__(self, key: str, positions: Sequence[int]):
        self.key = key
        self.positions = tuple(positions)

    def select(self, rows: Tensor) -> ImageNoise:
        """Return the noise of some of the batch's images. rows: bool or indices."""
        return ImageNoise(self.key, torch.tensor(self.positions)[rows.cpu()].tolist())

    def uniform(self, like: Tensor, draw: int) -> Tensor:
        """Return numbers in [-1, 1), shaped and placed like `like` (N, C, H, W). draw: counts from 0."""
        if len(like) != len(self.positions):
            raise ValueError(f"noise for {len(self.positions)} images was asked for a batch of {len(like)}")
        generator = torch.Generator()
        noise = torch.empty(like.shape)
        for row, position in zip(noise, self.positions, strict=True):
            digest = hashlib.blake2b(f"{self.key}/{position}/{draw}".encode(), digest_size=4).digest()
            generator.manual_seed(int.from_bytes(digest))
            row.uniform_(-1, 1, generator=generator)
        return noise.to(like.device)
