"""When a measurement is the claim: the margin of each kind of claim, and the words. Imports no torch.

Equivalence, not the absence of a difference: `reproduced` needs the whole interval within the margin of the claim,
`lower` and `higher` need the whole interval outside. What is neither is undecided: too few images, however near.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from reproof.claims.claim import Claim
from reproof.claims.vocabulary import METRICS

POINTS = 0.02
"""Margin of an accuracy, at most: two points."""
LEAST = 0.005
"""Margin of an accuracy, at least: half a point, where half of the claimed error is less."""
TIMES = 0.25
"""Margin of a ratio of times, as a share of the claimed ratio."""
OTHERS = 0.1
"""Margin of every other quantity, as a share of the claim."""
ERROR = 0.05
"""How often an interval may miss what it is of, over all looks at a study together."""

Word = Literal["reproduced", "lower", "higher", "undecided"]


class Measurement(NamedTuple):
    """A measured value with its interval, in the claim's own unit; a value that is exact is its own interval."""

    value: float
    low: float
    high: float


def level(looks: int) -> float:
    """Return the confidence of each interval where a study is looked at several times."""
    return 1 - ERROR / looks


def claimed_share(claim: Claim, images: float | None = None) -> float:
    """Return a claim's value; of a count of images, its share of them. ValueError where their number is not known."""
    if claim.value is None:
        raise ValueError(f"{claim.claim_id} claims no number")
    if claim.unit != "images":
        return claim.value
    if not images:
        raise ValueError(f"{claim.claim_id} is a count; among how many images?")
    return claim.value / images


def margin(claim: Claim, share: float) -> float:
    """Return how far a measurement may lie from a claim and still be the same.

    share: the claim's value, a count as the share of its images, a time as the ratio to the undefended network's.
    """
    compared = METRICS[claim.metric].compared
    if compared == "difference":
        return max(abs(share) / 2, claim.half_digit)
    if compared in ("accuracy", "error"):
        error = share if compared == "error" else 1 - share
        return min(POINTS, max(LEAST, error / 2))
    return abs(share) * (TIMES if compared == "time" else OTHERS)


def word(claimed: float, measured: Measurement, within: float) -> Word:
    """Return what a measurement says of a claim, alike in unit, at a margin."""
    rounding = 1e-12
    low, high = claimed - within - rounding, claimed + within + rounding
    if low <= measured.low and measured.high <= high:
        return "reproduced"
    if measured.high < low:
        return "lower"
    return "higher" if measured.low > high else "undecided"


def together(words: Sequence[Word]) -> Word:
    """Return what several seeds say, each by itself: their word if they agree, else undecided."""
    return words[0] if len(set(words)) == 1 else "undecided"


def supported(found: Word, strength: Literal["same", "weaker", "stronger", "other"]) -> bool:
    """Say whether an attack of another strength than the paper's lets one say so.

    A weaker one leaves more than the paper's would: it shows neither `reproduced` nor `higher`. A stronger one
    leaves less: it never shows `lower`. Where it is not known which it is (a step size, a rate), it shows nothing.
    """
    if strength == "weaker":
        return found not in ("reproduced", "higher")
    if strength == "stronger":
        return found != "lower"
    return strength == "same" or found == "undecided"
