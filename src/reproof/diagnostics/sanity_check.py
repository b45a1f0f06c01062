"""One sanity check of one model: a red flag where it is raised."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class RedFlag:
    """One sanity check (`gate`) of one model. `raised` is None where the study has no attacks to check it with."""

    model: str
    gate: str
    raised: bool | None
    evidence: str
    """The numbers, in a sentence."""
    rows: tuple[str, ...]
    """The measurements that it compares: `white_box pgd epsilon=0.3`."""


def unchecked(model: str, gate: str, why: str) -> RedFlag:
    """Return the sanity check that a study has no attacks for."""
    return RedFlag(model, gate, None, f"Not checked: {why}.", ())


def at_least(count: int, total: int, share: float) -> float:
    """Return the exact probability that so many of `total` images, or more, have what a share of all has."""
    if count == 0 or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    logs = (
        math.lgamma(total + 1)
        - math.lgamma(found + 1)
        - math.lgamma(total - found + 1)
        + found * math.log(share)
        + (total - found) * math.log1p(-share)
        for found in range(count, total + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))
