"""The attack on all members of an ensemble at once by the sum of what is made on each alone.

Mirzaeian, DKD, Sec. 4.3: the direction is that of the sum of the members' perturbations. It is no attack on the
ensemble's own loss; tables set it beside one that is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reproof.settings.values import Norm


def aggregate(clean: Tensor, found: Sequence[Tensor], norm: Norm | None, epsilon: float | None) -> Tensor:
    """Return the clean images moved by the sum of the members' perturbations, inside the budget and [0, 1].

    clean: float32 (N, C, H, W) in [0, 1]. found: each member's adversarial versions of them. Where there is a
    budget the sum is cut to it; with FGSM that is the sign of the sum, times epsilon, at pixels that are at least
    epsilon inside [0, 1]. Elsewhere a member's step may be cut off at the edge, and then weighs as much as is left
    of it. ValueError for a norm in which sums are not cut.
    """
    total = torch.stack([images - clean for images in found]).sum(dim=0)
    if epsilon is not None:
        if norm != "linf":
            raise ValueError(f"sums of perturbations are cut to L-infinity balls only, not {norm}")
        total = total.clamp(-epsilon, epsilon)
    return (clean + total).clamp(0, 1)
