"""The margin of a prediction: what attacks lower instead of raising cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor


def excess(logits: Tensor, labels: Tensor) -> Tensor:
    """Return Z_y - max_{k≠y} Z_k per image (N,): negative where another class wins. logits: (N, K)."""
    own = logits.gather(1, labels[:, None]).squeeze(1)
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return own - others.amax(dim=1)
