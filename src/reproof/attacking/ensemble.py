"""Attacks that know the networks that are attacked together, one by one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


class Together:
    """Mixed into an attack that asks each of the networks attacked together; the engine names them before it runs.

    Without an engine whoever runs the attack sets `networks`.
    """

    networks: Sequence[nn.Module] = ()
    """Each from images (N, C, H, W) in [0, 1] to logits (N, K)."""
