"""The best evidence of each claim: of this run and of the reference runs, what was measured most like the paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reproof import registry, wording
from reproof.claims.claim import Claim
from reproof.claims.paper import Paper
from reproof.claims.vocabulary import parts_of
from reproof.report import numbers
from reproof.report.contents import THIS_RUN, ReportData, rows
from reproof.report.hampered import HamperedRows
from reproof.report.tally import Tally
from reproof.settings.table_words import NO_ATTACK

ALL_ATTACKS = "all attacks together"


@dataclass(frozen=True)
class Left:
    """What all attacks together leave of a claim's network within the claim's budget."""

    value: float
    low: float
    high: float
    of: str
    """Which attacks: ALL_ATTACKS, or those of the claim's setting."""


@dataclass(frozen=True)
class Evidence:
    """One claim and the row of verdicts.csv that says most of it."""

    claim: Claim
    row: Any
    run: str
    """THIS_RUN, or the reference run's title."""
    hampered: bool = False
    """Whether red flags show that its attack was too weak: the accuracy may be too high."""

    @property
    def word(self) -> str:
        """Return the verdict's word."""
        return str(self.row.verdict)

    @property
    def grade(self) -> str:
        """Return A, B or C."""
        return str(self.row.grade)

    @property
    def measured(self) -> str:
        """Return what was measured, with its unit."""
        return numbers.measured(self.row, self.claim)

    @property
    def interval(self) -> str:
        """Return its interval; empty where there is none."""
        return numbers.interval(self.row.low, self.row.high, numbers.judged_in(self.row, self.claim))

    @property
    def left(self) -> Left | None:
        """Return what the strongest attack leaves; None where none was run within the claim's budget.

        Of a claim on transferred images these are the attacks of that setting: who may take the network's own
        gradient is another attacker. Every other attacker may transfer images too, so all settings count.
        """
        black_box = self.claim.setting == "black_box"
        row, name = self.row, "strongest" if black_box else "overall"
        value, low, high = (getattr(row, f"{name}_{end}") for end in ("value", "low", "high"))
        if pd.isna(value):
            return None
        words = f"all {wording.setting(self.claim.setting).lower()} attacks" if black_box else ALL_ATTACKS
        return Left(float(value), float(low), float(high), words)


class BestEvidence:
    """Finds the best evidence of each claim.

    The better grade comes first, then more seeds, then this run before the reference runs: never the word (`rank`).
    What was measured on another data set than the claim's is no evidence of it.
    """

    def __init__(self, data: ReportData):
        known = {claim.claim_id: claim for paper in data.papers for claim in paper.claims}
        self.hampered = HamperedRows(data)
        self._best: dict[str, Evidence] = {}
        self._own = {row.claim_id: row for row in rows(data.verdicts)}
        for run, datasets, verdicts in _runs(data):
            for row in rows(verdicts):
                claim = known.get(row.claim_id)  # the claims table may have changed since the run
                if claim is None or claim.dataset not in datasets or not row.grade or claim.value is None:
                    continue
                found = Evidence(claim, row, run, self.hampered.names(run, row))
                best = self._best.get(claim.claim_id)
                if best is None or rank(found.row) < rank(best.row):
                    self._best[claim.claim_id] = found

    def of(self, claim: Claim) -> Evidence | None:
        """Return the best evidence of a claim; None where nobody measured it on its own data set."""
        return self._best.get(claim.claim_id)

    def elsewhere(self, claim: Claim) -> bool:
        """Say whether a reference run has the best evidence of a claim, and not this run."""
        best = self.of(claim)
        return best is not None and best.run != THIS_RUN

    def row(self, claim: Claim) -> Any | None:
        """Return the row of verdicts.csv that says most of a claim: where there is no evidence, this run's, if any."""
        best = self.of(claim)
        return self._own.get(claim.claim_id) if best is None else best.row

    def tally(self, claims: Iterable[Claim]) -> Tally:
        """Return how the claims fell that their authors measured, each by its best evidence."""
        own = [claim for claim in claims if claim.value is not None and not claim.copied]
        return Tally.of(self.row(claim) for claim in own)


def _runs(data: ReportData) -> Iterator[tuple[str, set[str], pd.DataFrame]]:
    """Yield each run's name, the data sets that it was about, and its verdicts; this run first."""
    yield THIS_RUN, {model.dataset for model in data.models}, data.verdicts
    for run in data.references:
        yield (
            run.title,
            {model["dataset"] for model in run.about["models"].values()},
            run.tables["verdicts"],
        )


def rank(row: Any) -> tuple[str, int]:
    """Return what sorts rows of verdicts.csv on one claim, the one that says most first."""
    return row.grade or "D", -len(row.seed_words.split(", "))


def own_claims(paper: Paper) -> list[Claim]:
    """Return the numbers that a paper's authors measured themselves: a copied one is no evidence of theirs."""
    return [claim for claim in paper.claims if claim.value is not None and not claim.copied]


def proposed(claim: Claim) -> bool:
    """Say whether a claim is about a defense that its own paper proposes."""
    kinds = (registry.defense(kind) for kind in parts_of("defense", claim.defense))
    return any(declared is not None and declared.paper == claim.paper for declared in kinds)


def attacked_directly(claims: Iterable[Claim]) -> list[Claim]:
    """Return the accuracies of proposed defenses under an attack that has the network itself."""
    return [
        claim
        for claim in claims
        if proposed(claim)
        and claim.metric == "accuracy"
        and claim.attack != NO_ATTACK
        and claim.setting != "black_box"
    ]
