"""The loss that an adaptive attacker differentiates."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

AttackLoss = Callable[[Tensor, Tensor], Tensor]
"""images (N, C, H, W), labels (N,) -> a loss per image (N,) that an attacker maximises."""
