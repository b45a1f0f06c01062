"""The summary of a study as claims ask for it: rows by what was measured. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reproof.claims.claim import Claim
from reproof.claims.vocabulary import MEMBERS
from reproof.csv_tables import KEY, SUMMARY
from reproof.measuring.worst_case import worst_case_place
from reproof.settings.parameters import Parameters
from reproof.settings.table_words import WORST_CASE

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SummaryRow:
    """A row of summary.csv, its parameters parsed."""

    study: str
    dataset: str
    architecture: str
    defense: str
    training: str
    seeds: int
    setting: str
    source: str
    attack: str
    parameters: Parameters
    metric: str
    value: float
    correct: int | None
    total: int | None
    low: float | None
    high: float | None
    model: str
    value_min: float
    value_max: float

    @property
    def key(self) -> tuple[str, ...]:
        """Return the cells of csv_tables.KEY, which name the row."""
        return tuple(str(getattr(self, name)) for name in KEY)

    @property
    def attacked(self) -> str:
        """Return which members of an ensemble were attacked; "" for every other kind of source.

        It is the name of a member where that alone was attacked, of which no claim speaks.
        """
        elsewhere = self.setting == "white_box" and self.source not in ("", self.model)
        return self.source if elsewhere else ""

    @property
    def question(self) -> tuple[str | Parameters, ...]:
        """Return what a claim must ask for to be answered by it, whatever the data set and the network."""
        what = (self.defense, self.training, self.setting, self.attack, self.parameters, self.metric)
        return *what, self.attacked


def members(claim: Claim) -> str:
    """Return which members of an ensemble a claim's attack is made on; "" for every other kind of source."""
    return claim.source if claim.source in MEMBERS else ""


class Measured:
    """A study's summary, found by what claims ask for."""

    def __init__(self, summary: pd.DataFrame):
        """summary: of schema csv_tables.SUMMARY."""
        rows = [
            SummaryRow(**{**cells, "parameters": Parameters.parse(cells["parameters"])})
            for cells in SUMMARY.rows(summary)
        ]
        self.datasets = {row.dataset for row in rows}
        self._by_question: dict[tuple[str | Parameters, ...], list[SummaryRow]] = defaultdict(list)
        self._by_defense: dict[str, list[SummaryRow]] = defaultdict(list)
        self._worst_cases: dict[tuple[str, str, Parameters], SummaryRow] = {}
        for row in rows:
            self._by_question[row.question].append(row)
            self._by_defense[row.defense].append(row)
            if (row.attack, row.metric) == (WORST_CASE, "accuracy"):
                self._worst_cases.setdefault((row.study, row.model, row.parameters), row)

    def answers(self, claim: Claim) -> list[SummaryRow]:
        """Return the rows of the claim's defense, training, setting, attack, parameters, metric and members."""
        what = (claim.defense, claim.training, claim.setting, claim.attack)
        question = (*what, Parameters.parse(claim.parameters), claim.metric, members(claim))
        return self._by_question.get(question, [])

    def of_defense(self, defense: str) -> list[SummaryRow]:
        """Return all that was measured of a defense."""
        return self._by_defense.get(defense, [])

    def worst_case(self, claim: Claim, row: SummaryRow) -> SummaryRow | None:
        """Return what is left of a row's model under every attack in the claim's budget, as far as it has one."""
        epsilon = Parameters.parse(claim.parameters).number("epsilon")
        if epsilon is None or claim.metric != "accuracy":
            return None
        budget = Parameters.parse(worst_case_place("linf", epsilon)[3])
        return self._worst_cases.get((row.study, row.model, budget))
