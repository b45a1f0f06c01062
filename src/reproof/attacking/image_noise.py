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

    def select(self, rows: Sequence[int]) -> ImageNoise:
        """Return the noise of some of the batch's images."""
        return ImageNoise(self.key, [self.positions[row] for row in rows])

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


class Noisy:
    """Mixed into an attack that draws at random; the engine gives each batch its noise before it runs.

    Without an engine the attack draws from torch's global generator, as Foolbox's own do.
    """

    noise: ImageNoise | None = None

    def draw_uniform(self, like: Tensor, draw: int) -> Tensor:
        """Return numbers in [-1, 1), shaped and placed like `like` (N, C, H, W)."""
        if self.noise is None:
            return torch.rand_like(like) * 2 - 1
        return self.noise.uniform(like, draw)
