"""The papers' claims with their verdicts: how each fell, what was measured of it, and how it is named."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from reproof import csv_tables, wording
from reproof.claims.claim import Claim
from reproof.claims.vocabulary import TEXT
from reproof.judging import difference
from reproof.judging.difference import Difference
from reproof.report import reasons
from reproof.report.contents import THIS_RUN, MeasuredRow, ReportData, key_of, rows
from reproof.report.evidence import BestEvidence
from reproof.report.reasons import Clause
from reproof.report.shown_verdict import ShownVerdict
from reproof.report.tally import Tally
from reproof.report.worst_cases import WorstCases

NO_VERDICT = Clause("no verdict was recorded")


@dataclass(frozen=True)
class CellLink:
    """A cell of a paper's table, as it is named and reached from elsewhere."""

    id: str
    text: str
    printed: str


class JudgedClaims:
    """Finds verdicts by their claim, and measurements by the key that their verdict carries."""

    def __init__(self, data: ReportData):
        self.names = data.paper_names
        self.evidence = BestEvidence(data)
        self._verdicts = {row.claim_id: row for row in rows(data.verdicts)}
        self._clauses: dict[str, tuple[Clause, ...]] = {}
        keys = data.summary[list(csv_tables.KEY)].itertuples(index=False, name=None)
        self._summary: dict[tuple[str, ...], MeasuredRow] = dict(zip(keys, rows(data.summary), strict=True))
        self._worst_cases = WorstCases(self._summary.values())

    def row(self, claim_id: str) -> Any | None:
        """Return a claim's row of verdicts.csv; None where there is none."""
        return self._verdicts.get(claim_id)

    def verdict(self, claim: Claim) -> str:
        """Return a claim's verdict; a claim that no row of verdicts.csv mentions was not measured."""
        if claim.value is None:
            return "not claimed"
        row = self.row(claim.claim_id)
        return row.verdict if row is not None else "not measured"

    def shown(self, claim: Claim) -> ShownVerdict:
        """Return the same with its grade and what a cell has room for."""
        row = self.row(claim.claim_id)
        if claim.value is None or row is None:
            return ShownVerdict.of_word(self.verdict(claim))
        hampered = self.evidence.hampered.names(THIS_RUN, row)
        return ShownVerdict.of_row(row, claim, hampered=hampered)

    def differences(self, claim: Claim) -> tuple[Difference, ...]:
        """Return how its measurement differs from a claim, or why there is none, as data."""
        row = self.row(claim.claim_id)
        return difference.load(row.differences) if row is not None else ()

    def clauses(self, claim: Claim) -> tuple[Clause, ...]:
        """Return the same in words."""
        if claim.claim_id not in self._clauses:
            row = self.row(claim.claim_id)
            found = reasons.clauses(row.differences, claim) if row is not None else (NO_VERDICT,)
            self._clauses[claim.claim_id] = found
        return self._clauses[claim.claim_id]

    def measured(self, claim: Claim) -> MeasuredRow | None:
        """Return the row of the summary that a claim was judged by."""
        row = self.row(claim.claim_id)
        return None if row is None else self._summary.get(key_of(row))

    def strongest(self, claim: Claim) -> dict[str, MeasuredRow]:
        """Return what is left of a measurement's model within the claim's budget: by setting, the claim's and `all`."""
        row = self.row(claim.claim_id)
        return {} if row is None else self._worst_cases.of(row, claim)

    def tally(self, claims: Iterable[Claim]) -> Tally:
        """Return how the claims fell that their authors measured: a copied number is no evidence of theirs."""
        own = [claim for claim in claims if claim.value is not None and not claim.copied]
        return Tally.of(self.row(claim.claim_id) for claim in own)

    # Words.

    def origin(self, claim: Claim) -> str:
        """Return where a copied claim was taken from, in words; empty for the authors' own."""
        if not claim.copied:
            return ""
        key = claim.evidence.removeprefix("copied from ")
        return self.names.get(key, key)

    def worded(self, text: str) -> str:
        """Return a paper's text with the names of papers in place of their keys."""
        for key, name in self.names.items():
            text = re.sub(rf"\b{key}\b", name, text)
        return text

    def link(self, claim: Claim, own: str) -> CellLink:
        """Return the link to a claim's cell; it names the claim's paper too, unless that is the paper `own`."""
        where = claim.row if claim.table == TEXT else f"{claim.table}: {claim.row}, {claim.column}"
        if claim.paper != own:
            where = f"{self.names.get(claim.paper, claim.paper)}, {where}"
        return CellLink(f"cell-{claim.claim_id}", where, wording.printed(claim.printed, claim.unit))
