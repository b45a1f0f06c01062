"""Numbers as the page shows them: in their unit, with their interval, linked to their card."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reproof import wording
from reproof.claims.claim import Claim
from reproof.claims.vocabulary import METRICS
from reproof.judging import equivalence

REFUSALS = {"refused": "refused", "wrong_accepted": "wrong and accepted"}
"""The metrics that make 1 with the accuracy of a model that may refuse, and their words beside it."""
RATIO = "ratio"
"""The unit of a time as it is judged: how many times the undefended network's."""


@dataclass(frozen=True)
class LinkedNumber:
    """A number in a cell, with its card."""

    text: str
    interval: str
    value: float | None
    card: str
    ordinal: int
    """The card's number, by which people can name it."""
    stale: str = ""
    beside: str = ""
    """What belongs to it: of an accuracy, how much more was refused, and how much wrong and accepted."""

    @property
    def heat(self) -> int:
        """Return 0 to 10, the step of the colour scale."""
        return 0 if self.value is None else min(10, max(0, round(10 * self.value)))


def given(value: float) -> float | None:
    """Return a cell's number; None where the cell is empty."""
    return None if math.isnan(value) else value


def measure(value: float, unit: str = "percent") -> str:
    """Return a cell's number for people; `?` where it is empty."""
    return wording.measure(given(value), unit)


def interval(low: float, high: float, unit: str = "percent") -> str:
    """Return `[24.2–53.0]`, or nothing where no interval was computed, or a value is exact and its own interval."""
    if low == high:
        return ""
    return wording.interval(given(low), given(high), unit)


def unanswered(refusals: Sequence[Any]) -> str:
    """Return the shares of REFUSALS, of rows of the summary, beside an accuracy: `9.0 % refused, 1.0 % wrong …`."""
    return ", ".join(f"{measure(row.value)} % {REFUSALS[row.metric]}" for row in refusals)


def unit_of(metric: str) -> str:
    """Return the unit in which a metric is shown where no claim says another."""
    return METRICS[metric].units[0] if metric in METRICS else "distance"


def judged_in(row: Any, claim: Claim) -> str:
    """Return the unit of what a row of verdicts.csv measured: the claim's, or RATIO of a time that was judged."""
    timed = METRICS[claim.metric].compared == "time" and not math.isnan(row.margin)
    return RATIO if timed else claim.unit


def claimed_ratio(row: Any) -> float:
    """Return the ratio that a paper's times claim, of a row of verdicts.csv that measured one."""
    return float(row.margin) / equivalence.TIMES


def measured(row: Any, claim: Claim) -> str:
    """Return what a row of verdicts.csv measured, with its unit: `95.1 %`, `1.53 times the undefended network’s`."""
    unit = judged_in(row, claim)
    if unit == RATIO:
        return f"{measure(row.measured, unit)} times the undefended network’s"
    return wording.printed(measure(row.measured, unit), unit)


def of_seeds(row: Any, unit: str) -> str:
    """Return over how many seeds a row of the summary is a mean and where they lie: `3 seeds: 10.0 to 14.6`."""
    if row.seeds == 1:
        return ""
    return f"{row.seeds} seeds: {measure(row.value_min, unit)} to {measure(row.value_max, unit)}"


def counts(row: Any) -> Iterable[tuple[str, str]]:
    """Yield the count behind a share, or of how many images it is where the value is no share of them."""
    if pd.notna(row.total) and pd.notna(row.correct):
        yield "correct", f"{row.correct} of {row.total} images"
    elif pd.notna(row.total):
        yield "images", str(row.total)
