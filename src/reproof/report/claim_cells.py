"""The cells of the papers' tables: a claim beside what was measured, or why it was not, and the card of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from reproof import wording
from reproof.claims.claim import Claim
from reproof.claims.paper import Paper
from reproof.claims.vocabulary import LOST, MEMBERS, METRICS, TEXT
from reproof.report import numbers, reasons, shown_verdict
from reproof.report.cards import Cards
from reproof.report.judged_claims import JudgedClaims
from reproof.report.numbers import LinkedNumber
from reproof.report.reasons import Clause
from reproof.report.shown_verdict import ShownVerdict
from reproof.report.verdict_words import CERTAINTIES

IN_PROSE = "Numbers in the prose"


@dataclass(frozen=True)
class ClaimCell:
    """One cell of a paper's table."""

    id: str
    printed: str
    verdict: ShownVerdict
    measured: LinkedNumber | None = None
    card: str = ""
    """Where its card begins; empty for a dash of which nothing more is known."""
    ordinal: int = 0
    reason: str = ""
    """Why it was not measured, in a few words; empty where the table already says it for all."""
    copied: str = ""
    """Where the authors took it from."""
    doubt: str = ""
    """How sure its place is, where it is not certain."""
    unit: str = ""
    """What it is, where most of its table is something else."""
    elsewhere: bool = False
    """Whether a reference run says more of it than this run: its measurement stands in front."""


class ClaimCells:
    """Builds the cells, making a card for each claim, or one for all of a table that were not measured."""

    def __init__(self, cards: Cards, judged: JudgedClaims):
        self.cards = cards
        self.judged = judged

    def cell(self, paper: Paper, claim: Claim, said: Sequence[Clause], usual: tuple[str, str]) -> ClaimCell:
        """Return a claim's cell.

        said: what the table says of all its cells that were not measured. usual: metric and unit of most of them.
        """
        verdict = self.judged.shown(claim)
        unit, printed = "", claim.printed
        if claim.table == TEXT:
            printed = wording.printed(claim.printed, claim.unit)
        elif claim.unit != usual[1]:
            unit = wording.UNITS[claim.unit][0]
        elif claim.metric != usual[0]:
            unit = METRICS[claim.metric].words
        cell = ClaimCell(
            f"cell-{claim.claim_id}",
            printed,
            verdict,
            copied=f"copied from {self.judged.origin(claim)}" if claim.copied else "",
            unit=unit,
            elsewhere=self.judged.evidence.elsewhere(claim),
        )
        if verdict.word == "not claimed" and claim.printed != LOST and not claim.note:
            return cell
        cell = replace(cell, doubt="" if claim.certainty == "certain" else claim.certainty)
        row = self.judged.row(claim.claim_id)
        if row is None or pd.isna(row.measured):
            return self._unmeasured(cell, paper, claim, said)
        return self._measured(cell, paper, claim, row)

    def _unmeasured(self, cell: ClaimCell, paper: Paper, claim: Claim, said: Sequence[Clause]) -> ClaimCell:
        clauses = self.judged.clauses(claim)
        reason = ""
        if cell.verdict.word == "not claimed":
            why = "not legible" if claim.printed == LOST else "the paper prints a dash"
        else:
            words = "; ".join(clause.words for clause in clauses) or "no reason was recorded"
            why = f"not measured: {words}"
            if not cell.elsewhere and not any(clause in said for clause in clauses):
                reason = _in_few_words(clauses, 120 if claim.table == TEXT else 44)
        card = self.cards.of_unmeasured(
            list(self._facts(paper, claim)),
            claim.claim_id,
            _label(claim),
            why,
            [paper.key, claim.table],
            self._where(paper, claim),
        )
        anchor = self.cards.anchor(claim.claim_id)
        return replace(cell, card=anchor, ordinal=card.ordinal, reason=reason)

    def _measured(self, cell: ClaimCell, paper: Paper, claim: Claim, row: Any) -> ClaimCell:
        facts = list(self._facts(paper, claim))
        facts_of = shown_verdict.facts(row, claim, self.judged.strongest(claim))
        judged = [*facts_of, *_differences(self.judged.clauses(claim))]
        title = f"{self._where(paper, claim)}: {_label(claim)}"
        card = self.cards.of_claim(
            facts, judged, claim.claim_id, title, self.judged.measured(claim), claim.unit
        )
        unit = numbers.judged_in(row, claim)
        number = card.number(row.measured, row.low, row.high, unit)
        if unit == numbers.RATIO:
            claimed = numbers.measure(numbers.claimed_ratio(row), unit)
            cell = replace(cell, unit=f"claimed {claimed}, as ratios to the undefended network’s time")
        return replace(cell, measured=number, card=card.id, ordinal=card.ordinal)

    def _where(self, paper: Paper, claim: Claim) -> str:
        place = IN_PROSE.lower() if claim.table == TEXT else claim.table
        return f"{self.judged.names[paper.key]}, {place}"

    def _facts(self, paper: Paper, claim: Claim) -> Iterable[tuple[str, str]]:
        """Yield what the paper alone says of a cell."""
        yield "claimed", wording.printed(claim.printed, claim.unit)
        yield "about", _quantity(claim)
        origin = self.judged.origin(claim)
        yield (
            "evidence",
            f"copied from {origin}: no evidence of its own" if origin else "measured by its authors",
        )
        if claim.certainty != "certain":
            yield claim.certainty, CERTAINTIES[claim.certainty]
        if claim.note:
            yield "note", self.judged.worded(paper.note(claim))


def _differences(clauses: Iterable[Clause]) -> Iterable[tuple[str, str]]:
    """Yield how a measurement differs from its claim, a line for each grade, the one that weighs most first."""
    lines: dict[str, list[str]] = {}
    for clause in clauses:
        lines.setdefault(clause.grade, []).append(clause.words)
    for grade, words in lines.items():
        yield f"differs, {grade}" if grade else "differs", "; ".join(words)


def _label(claim: Claim) -> str:
    return claim.row if claim.table == TEXT else f"{claim.row}, {claim.column}"


def _quantity(claim: Claim) -> str:
    """Return what a claim is about, in words."""
    words = [
        f"{METRICS[claim.metric].words}: {wording.defense(claim.defense)}, "
        f"trained on {wording.training(claim.training)}",
        wording.architecture(claim.architecture),
        wording.dataset(claim.dataset),
        wording.attack(claim.attack) if claim.attack != "none" else "no attack",
    ]
    if claim.parameters:
        words.append(wording.parameters(claim.parameters))
    if claim.attack != "none":
        words.append(wording.setting(claim.setting).lower())
    if claim.source in MEMBERS:
        words.append(wording.SOURCES[claim.source])
    elif claim.source:
        words.append(f"made on {reasons.sources(claim.source)}")
    return ", ".join(words)


def _in_few_words(clauses: Sequence[Clause], length: int) -> str:
    """Return the clause that explains most, cut to what a cell can hold."""
    first = clauses[0].short or clauses[0].words if clauses else ""
    lacking = next((clause.data_set for clause in clauses if clause.data_set), "")
    text = f"no {lacking} here" if lacking else first
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"
