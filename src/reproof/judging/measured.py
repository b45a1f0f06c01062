"""The summary of a study as claims ask for it: rows by what was measured. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from reproof.claims.claim import Claim
from reproof.claims.vocabulary import MEMBERS
from reproof.csv_tables import KEY, MEASUREMENTS, SUMMARY
from reproof.measuring.worst_case import worst_case_place
from reproof.settings.parameters import Parameters
from reproof.settings.table_words import NO_ATTACK

if TYPE_CHECKING:
    import pandas as pd


class SeedRow(NamedTuple):
    """What one seed measured of a row of the summary."""

    value: float
    correct: int | None
    total: int | None
    low: float | None
    high: float | None


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
    by_seed: tuple[SeedRow, ...] = ()
    """One for each seed, in their order."""

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

    def __init__(self, summary: pd.DataFrame, measurements: pd.DataFrame):
        """summary, measurements: of schema csv_tables.SUMMARY and MEASUREMENTS, of the same study."""
        seeds: dict[tuple[str, ...], list[SeedRow]] = defaultdict(list)
        for cells in MEASUREMENTS.rows(measurements):
            own = {name: cells[name] for name in SeedRow._fields}
            seeds[tuple(cells[name] for name in KEY)].append(SeedRow(**own))
        rows = [
            SummaryRow(
                **{**cells, "parameters": Parameters.parse(cells["parameters"])},
                by_seed=tuple(seeds[tuple(cells[name] for name in KEY)]),
            )
            for cells in SUMMARY.rows(summary)
        ]
        self.datasets = {row.dataset for row in rows}
        self._by_question: dict[tuple[str | Parameters, ...], list[SummaryRow]] = defaultdict(list)
        self._by_defense: dict[str, list[SummaryRow]] = defaultdict(list)
        self._by_place: dict[tuple[str | Parameters, ...], SummaryRow] = {}
        for row in rows:
            self._by_question[row.question].append(row)
            self._by_defense[row.defense].append(row)
            self._by_place[row.model, row.setting, row.source, row.attack, row.parameters, row.metric] = row

    def answers(self, claim: Claim) -> list[SummaryRow]:
        """Return the rows of the claim's defense, training, setting, attack, parameters, metric and members."""
        what = (claim.defense, claim.training, claim.setting, claim.attack)
        question = (*what, Parameters.parse(claim.parameters), claim.metric, members(claim))
        return self._by_question.get(question, [])

    def of_defense(self, defense: str) -> list[SummaryRow]:
        """Return all that was measured of a defense."""
        return self._by_defense.get(defense, [])

    def worst_case(self, claim: Claim, row: SummaryRow, *, any_setting: bool) -> SummaryRow | None:
        """Return what is left of a row's model under every attack in the claim's budget, as far as it has one.

        any_setting: of attacks in whatever setting; else in the claim's alone.
        """
        epsilon = Parameters.parse(claim.parameters).number("epsilon")
        if epsilon is None or claim.metric != "accuracy":
            return None
        setting, _, attack, budget = worst_case_place("linf", epsilon, "" if any_setting else claim.setting)
        return self._by_place.get((row.model, setting, "", attack, Parameters.parse(budget), "accuracy"))

    def clean(self, model: str) -> SummaryRow | None:
        """Return a model's accuracy on clean images."""
        return self._by_place.get((model, "white_box", "", NO_ATTACK, Parameters(), "accuracy"))
