"""How many claims fell how: grade A, which headlines count, apart from grade B, and from what was not judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reproof import wording
from reproof.report.shown_verdict import share
from reproof.report.verdict_words import JUDGED

Counts = tuple[tuple[str, int], ...]
"""Word, number of claims; only words that occur."""

Part = tuple[str, str, int]
"""Word, grade (empty where nothing was measured), number of claims."""


@dataclass(frozen=True)
class Tally:
    """Counts of claims that their authors measured: a copied number is no evidence of theirs."""

    same: Counts
    """Of grade A, by word."""
    near: Counts
    """Of grade B, by word."""
    other: int
    """Of grade C: not comparable."""
    unmeasured: int
    shares: tuple[float, ...] = ()
    """Epochs as shares of the papers', sorted, of those of grade B where they differ."""
    stable: int = 0
    """Of grade B with the same word at half of the training."""
    unstable: int = 0
    """Of grade B with another word there."""

    @classmethod
    def of(cls, judged: Iterable[Any | None]) -> Tally:
        """Return the counts of rows of verdicts.csv; None stands for a claim without one."""
        rows = [row for row in judged if row is None or row.verdict != "not claimed"]
        measured = [row for row in rows if row is not None and row.verdict != "not measured"]
        near = [row for row in measured if row.grade == "B"]
        return cls(
            _counts(row for row in measured if row.grade == "A"),
            _counts(near),
            sum(row.verdict == "not comparable" for row in measured),
            len(rows) - len(measured),
            tuple(sorted(row.training_share for row in near if pd.notna(row.training_share))),
            sum(row.stable == "yes" for row in near),
            sum(row.stable == "no" for row in near),
        )

    @property
    def groups(self) -> tuple[tuple[Part, ...], ...]:
        """Return what was judged at grade A, what at B, and what was not judged; only what occurs."""
        rest: list[Part] = [("not comparable", "C", self.other), ("not measured", "", self.unmeasured)]
        groups = (
            tuple((word, "A", count) for word, count in self.same),
            tuple((word, "B", count) for word, count in self.near),
            tuple(part for part in rest if part[2]),
        )
        return tuple(group for group in groups if group)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the same in one line, the best evidence first."""
        return tuple(part for group in self.groups for part in group)

    @property
    def measured(self) -> int:
        """Return how many were measured, judged or not."""
        return self.total("A") + self.total("B") + self.other

    def total(self, grade: str) -> int:
        """Return how many were judged at a grade."""
        return sum(count for _, count in (self.same if grade == "A" else self.near))

    def of_each_word(self) -> tuple[int, ...]:
        """Return how many fell so at grade A, for every word of a judged claim."""
        found = dict(self.same)
        return tuple(found.get(word, 0) for word in JUDGED)

    @property
    def of_training(self) -> str:
        """Return how much grade B trained: `1.1 % to 15 % of the paper’s epochs`; empty where as long, or unknown."""
        if not self.shares:
            return ""
        ends = list(dict.fromkeys(map(share, (self.shares[0], self.shares[-1]))))
        few = f" ({len(self.shares)} of them)" if len(self.shares) < self.total("B") else ""
        return f"{' to '.join(ends)} of the paper’s epochs{few}"

    @property
    def stability(self) -> str:
        """Return how many of grade B are stable: `2 stable, 1 not stable, 3 not tried at half of that training`."""
        decided = sum(count for word, count in self.near if word != "undecided")
        if not decided:
            return ""
        if not self.stable + self.unstable:
            return "none of them tried at half of that training"
        untried = decided - self.stable - self.unstable
        words = [f"{self.stable} stable"]
        words += [f"{self.unstable} not stable"] if self.unstable else []
        words += [f"{untried} not tried at half of that training"] if untried > 0 else []
        return ", ".join(words)


def _counts(rows: Iterable[Any]) -> Counts:
    words = Counter(row.verdict for row in rows)
    return tuple((word, words[word]) for word in JUDGED if words[word])


def told(tally: Tally) -> str:
    """Return the counts in one sentence without an end: grade A by word, then B apart."""
    total = tally.total("A")
    if total:
        fell = dict(zip(JUDGED, tally.of_each_word(), strict=True))
        sentence = (
            f"{fell['reproduced']} of {wording.counted(total, 'claim')} of grade A reproduced, "
            f"{fell['lower']} lower, {fell['higher']} higher, {fell['undecided']} undecided"
        )
    else:
        sentence = "no claim was judged at grade A"
    if tally.near:
        how = f" at {tally.of_training}" if tally.of_training else ""
        fell_so = ", ".join(f"{count} {word}" for word, count in tally.near)
        sentence += f"; grade B{how}: {fell_so}"
        if tally.stability:
            sentence += f" ({tally.stability})"
    return sentence
