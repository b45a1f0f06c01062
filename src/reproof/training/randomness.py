"""Generators seeded by what they are for, so that any part of a training can be drawn again."""

from __future__ import annotations

import hashlib

import torch


def generator_for(device: torch.device, *parts: int | str) -> torch.Generator:
    """Return a generator whose numbers depend on `parts` (seed, epoch, step, purpose) alone."""
    return torch.Generator(device=device).manual_seed(seed_from(*parts))


def seed_from(*parts: int | str) -> int:
    """Return a seed of 63 bits that the parts decide."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1
