"""What the papers say in words: their comparisons, judged over cells, in print and as measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reproof import wording
from reproof.claims.claim import Claim
from reproof.claims.paper import Paper, Statement, select
from reproof.judging import difference
from reproof.judging.difference import Difference
from reproof.report import numbers, reasons
from reproof.report.contents import rows
from reproof.report.judged_claims import CellLink, JudgedClaims
from reproof.report.section import Section
from reproof.report.shared import Shared
from reproof.report.verdict_words import VERDICTS

SECTION = Section("statements", "Statements of the prose", order=32, folded=True)
ROUNDING = 0.0005
"""A tolerance that only forgives rounding, and needs no words."""
DIFFERENCES = 6
"""So many differences are said of one statement, the heaviest; the rest are counted: cards of its cells have them."""
JUDGEMENTS = {
    "holds": "✓",
    "does not hold": "✗",
    **{word: VERDICTS[word][0] for word in ("undecided", "not comparable", "not measured")},
}
_WEIGHT = ("", "C", "B", "A")
"""Grades of differences, what is said first before what is said last."""
WOULD = {
    "holds": "on what was measured it would hold",
    "does not hold": "on what was measured it would not hold",
    "undecided": "what was measured would leave it undecided",
}
"""How a statement would fall whose measurements are not comparable."""


@dataclass(frozen=True)
class Tightest:
    """The pair that decides a statement: two numbers, or one and what it is compared with."""

    left: CellLink
    left_number: str
    right: CellLink | None
    right_number: str
    difference: str


@dataclass(frozen=True)
class StatementJudgement:
    """How a statement falls, in print or as measured."""

    word: str
    symbol: str
    pairs: str
    """`3 of 4 pairs hold`; empty without pairs."""
    tightest: Tightest | None
    reason: str
    """What the word leaves open: why it was not measured, or how it would fall."""
    grade: str = ""
    """The last grade of the verdicts that it is judged on; empty in print, and where none can be compared."""


@dataclass(frozen=True)
class ShownStatement:
    """A comparison that the prose makes."""

    id: str
    place: str
    words: str
    rule: str
    in_print: StatementJudgement
    measured: StatementJudgement


def build(shared: Shared) -> dict[str, Any]:
    """Return the statements of each paper that makes any."""
    found = Statements(shared)
    papers = []
    for paper in shared.data.papers:
        if paper.statements:
            shown = [found.statement(paper, statement) for statement in paper.statements]
            in_print = Counter(one.in_print.word for one in shown)
            measured = Counter(one.measured.word for one in shown)
            name = shared.data.paper_names[paper.key]
            papers.append((paper.key, name, shown, _told(in_print), _told(measured)))
    return {"papers": papers}


class Statements:
    """Builds what the prose says."""

    def __init__(self, shared: Shared):
        self._papers = shared.data.papers
        self._judged: JudgedClaims = shared.paper_tables.judged
        self._claims = {claim.claim_id: claim for paper in shared.data.papers for claim in paper.claims}
        self._rows = {row.statement_id: row for row in rows(shared.data.statements)}

    def statement(self, paper: Paper, statement: Statement) -> ShownStatement:
        """Return what a sentence of the paper's prose says, judged."""
        identity = f"{paper.key}.{statement.key}"
        row = self._rows.get(identity)
        left = select(statement.left, paper, self._papers)
        unit = next((claim.unit for claim in left), "percent")
        if row is None:
            nothing = StatementJudgement(
                "not measured", JUDGEMENTS["not measured"], "", None, "no verdict was recorded"
            )
            in_print = measured = nothing
        else:
            in_print = self._in_print(paper, statement, row)
            measured = self._measured(paper, statement, row, left)
        return ShownStatement(
            f"statement-{identity}",
            statement.place,
            self._judged.worded(statement.words),
            rule(statement, unit),
            in_print,
            measured,
        )

    def _in_print(self, paper: Paper, statement: Statement, row: Any) -> StatementJudgement:
        word = row.in_print
        if word == "not measured":
            return StatementJudgement("not judged", "–", "", None, "no two of its cells can be compared")
        shown = {
            claim_id: wording.printed(claim.printed, claim.unit)
            for claim_id in (row.print_left, row.print_right)
            if (claim := self._claims.get(claim_id)) is not None
        }
        tightest = self._tightest(
            paper, statement, row.print_left, row.print_right, row.print_difference, shown
        )
        return StatementJudgement(
            word, JUDGEMENTS.get(word, "?"), _pairs(row.print_pairs, row.print_holding), tightest, ""
        )

    def _measured(
        self, paper: Paper, statement: Statement, row: Any, left: Sequence[Claim]
    ) -> StatementJudgement:
        word = row.measured
        shown = {}
        for claim_id in (row.measured_left, row.measured_right):
            verdict, claim = self._judged.row(claim_id), self._claims.get(claim_id)
            if verdict is not None and claim is not None:
                between = numbers.interval(verdict.low, verdict.high, numbers.judged_in(verdict, claim))
                shown[claim_id] = f"{numbers.measured(verdict, claim)} {between}".strip()
        tightest = self._tightest(
            paper, statement, row.measured_left, row.measured_right, row.measured_difference, shown
        )
        parts = self._differences(row.differences, [*left, *select(statement.right, paper, self._papers)])
        if compared := _compared(row):
            parts.insert(0, compared)
        if word == "not comparable" and row.judgement in WOULD:
            parts.insert(0, WOULD[row.judgement])
        pairs = _pairs(row.measured_pairs, row.measured_holding)
        return StatementJudgement(
            word, JUDGEMENTS.get(word, "?"), pairs, tightest, "; ".join(parts), row.grade
        )

    def _differences(self, text: str, claims: Sequence[Claim]) -> list[str]:
        """Return a statement's differences in words, each as said of the first of its claims that has it."""
        about: dict[Difference, Claim] = {}
        for claim in claims:
            for each in self._judged.differences(claim):
                about.setdefault(each, claim)
        told = [each for each in difference.load(text) if each.kind != "pairs"]  # `_compared` says it
        told.sort(key=lambda each: _WEIGHT.index(each.grade))
        words = list(dict.fromkeys(reasons.clause(each, about.get(each)) for each in told))
        more = len(words) - DIFFERENCES
        return (
            words if more < 2 else [*words[:DIFFERENCES], f"and {more} more differences, on its cells’ cards"]
        )

    def _tightest(
        self,
        paper: Paper,
        statement: Statement,
        left_id: str,
        right_id: str,
        apart: float,
        shown: Mapping[str, str],
    ) -> Tightest | None:
        left, right = self._claims.get(left_id), self._claims.get(right_id)
        if left is None:
            return None
        against = ""
        if statement.value is not None:
            against = wording.printed(wording.measure(statement.value, left.unit), left.unit)
        known = numbers.given(apart)
        return Tightest(
            self._judged.link(left, paper.key),
            shown.get(left_id, "?"),
            self._judged.link(right, paper.key) if right else None,
            shown.get(right_id, "?") if right else against,
            "" if known is None else wording.difference(known, left.unit, statement.scale == "relative"),
        )


def _told(words: Mapping[str, int]) -> str:
    """Return `2 hold, 1 does not hold, 3 undecided`."""
    many = {"holds": "hold", "does not hold": "do not hold"}
    return ", ".join(
        f"{count} {many.get(word, word) if count > 1 else word}" for word, count in words.items()
    )


def _compared(row: Any) -> str:
    """Return `1 of 3 pairs can be compared`; empty where all can, or nothing was measured."""
    if row.measured == "not measured" or row.measured_pairs == 0:
        return ""
    pairs = 0 if row.measured == "not comparable" else row.measured_pairs
    if pairs == row.print_pairs:
        return ""
    return f"{pairs} of {wording.counted(row.print_pairs, 'pair')} can be compared"


def _pairs(pairs: int, holding: int) -> str:
    return f"{holding} of {pairs} pair{' holds' if pairs == 1 else 's hold'}" if pairs else ""


def rule(statement: Statement, unit: str) -> str:
    """Return how a statement is judged, in words."""
    relative = statement.scale == "relative"

    def amount(value: float) -> str:
        return wording.difference(value, unit, relative).lstrip("+")

    tail = ""
    if statement.relation == "about":
        tail = f", give or take {amount(statement.slack)}"
        side = "above" if statement.margin > 0 else "below"
        relation = f"lies {amount(abs(statement.margin))} {side}" if statement.margin else "equals"
    else:
        more = statement.relation == "more"
        if statement.margin:
            relation = f"is {'higher' if more else 'lower'} by at least {amount(statement.margin)} than"
        else:  # a tie holds
            relation = f"is at {'least' if more else 'most'} as high as"
        if statement.slack > ROUNDING:
            tail = f", {amount(statement.slack)} allowed"
    if statement.value is not None:
        other = wording.printed(wording.measure(statement.value, unit), unit)
    else:
        other = {"each": "the second", "best": "the highest it is compared with"}.get(
            statement.against, "the lowest it is compared with"
        )
    where = {"all": "In every pair", "some": "In at least one pair"}.get(
        statement.holds_for, "On average over the pairs"
    )
    return f"{where} the first number {relation} {other}{tail}."
