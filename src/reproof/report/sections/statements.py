"""What the papers say in words: their statements, judged over cells, and their contradictions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reproof import wording
from reproof.claims.claim import Claim
from reproof.claims.paper import Contradiction, Paper, Statement, select
from reproof.report.contents import ReportData, Row
from reproof.report.sections.paper_tables import PaperTables

ROUNDING = 0.0005
"""A tolerance that only forgives rounding, and needs no words."""
LINKS = 4
"""So many cells are linked from one contradiction; the rest are counted."""
JUDGEMENTS = {
    "holds": "✓",
    "does not hold": "✗",
    "undecided": "?",
    "not comparable": "≠",
    "not measured": "○",
}


@dataclass(frozen=True)
class CellLink:
    """A cell of a paper's table, as it is named and reached from elsewhere."""

    id: str
    text: str
    printed: str


@dataclass(frozen=True)
class Tightest:
    """The pair that decides a statement: two numbers, or one and what it is compared with."""

    left: CellLink
    left_number: str
    right: CellLink | None
    right_number: str
    difference: str


@dataclass(frozen=True)
class Judged:
    """How a statement falls, in print or as measured."""

    word: str
    symbol: str
    pairs: str
    """`3 of 4 pairs hold`; empty without pairs."""
    tightest: Tightest | None
    reason: str
    """What the word leaves open: why it was not measured, or how it would fall."""


@dataclass(frozen=True)
class StatementView:
    """A comparison that the prose makes."""

    id: str
    place: str
    words: str
    rule: str
    in_print: Judged
    measured: Judged


@dataclass(frozen=True)
class ContradictionView:
    """Places that do not agree."""

    number: int
    id: str
    paper: str
    """The short name of the paper in whose file it stands."""
    meaning: str
    places: tuple[tuple[str, str], ...]
    """Place and value; empty where they are not one each."""
    only_places: tuple[str, ...]
    only_values: tuple[str, ...]
    cells: tuple[CellLink, ...]
    more: int
    between: bool
    """True: with another paper. False: of the paper with itself."""


class Findings:
    """Builds what the prose says and what does not agree."""

    def __init__(self, data: ReportData, tables: PaperTables):
        self.data = data
        self.tables = tables
        self.claims = {claim.claim_id: claim for paper in data.papers for claim in paper.claims}
        self._rows: Mapping[str, Row] = {row["statement_id"]: row for row in data.statements}

    def link(self, claim: Claim, own: str) -> CellLink:
        """Return the link to a claim's cell, named as seen from the paper `own`."""
        text = self.tables.place(claim, own)
        return CellLink(f"cell-{claim.claim_id}", text, wording.printed(claim.printed, claim.unit))

    # Statements.

    def statements(self, paper: Paper) -> list[StatementView]:
        """Return what the paper's prose says, judged."""
        return [self._statement(paper, statement) for statement in paper.statements]

    def _statement(self, paper: Paper, statement: Statement) -> StatementView:
        identity = f"{paper.key}.{statement.key}"
        row = self._rows.get(identity)
        left = select(statement.left, paper, self.data.papers)
        unit = next((claim.unit for claim in left), "percent")
        if row is None:
            nothing = Judged("not measured", JUDGEMENTS["not measured"], "", None, "no verdict was recorded")
            in_print = measured = nothing
        else:
            in_print = self._in_print(paper, statement, row)
            measured = self._measured(paper, statement, row)
        return StatementView(
            f"statement-{identity}",
            statement.place,
            self.tables.worded(statement.words),
            rule(statement, unit),
            in_print,
            measured,
        )

    def _in_print(self, paper: Paper, statement: Statement, row: Row) -> Judged:
        word = row["in_print"]
        if word == "not measured":
            return Judged("not judged", "–", "", None, "no two of its cells can be compared")
        numbers = {
            name: wording.printed(claim.printed, claim.unit)
            for name in (row["print_left"], row["print_right"])
            if (claim := self.claims.get(name)) is not None
        }
        tightest = self._tightest(paper, statement, row, "print", numbers)
        return Judged(word, JUDGEMENTS.get(word, "?"), _pairs(row, "print"), tightest, "")

    def _measured(self, paper: Paper, statement: Statement, row: Row) -> Judged:
        word = row["measured"]
        differences = "; ".join(wording.reason(part) for part in row["differences"].split("; ") if part)
        numbers = {}
        for name in (row["measured_left"], row["measured_right"]):
            verdict = self.tables.verdicts.get(name)
            if verdict is not None and name in self.claims:
                unit = self.claims[name].unit
                value, low, high = (wording.number(verdict[key]) for key in ("measured", "low", "high"))
                text = wording.printed(wording.measure(value, unit), unit)
                numbers[name] = f"{text} {wording.interval(low, high, unit)}".strip()
        tightest = self._tightest(paper, statement, row, "measured", numbers)
        reason = differences
        if word == "not comparable":
            would = {
                "holds": "on what was measured it would hold",
                "does not hold": "on what was measured it would not hold",
                "undecided": "what was measured would leave it undecided",
            }.get(row["judgement"], "")
            reason = "; ".join(part for part in (would, differences) if part)
        return Judged(word, JUDGEMENTS.get(word, "?"), _pairs(row, "measured"), tightest, reason)

    def _tightest(
        self, paper: Paper, statement: Statement, row: Row, kind: str, numbers: Mapping[str, str]
    ) -> Tightest | None:
        left = self.claims.get(row[f"{kind}_left"])
        if left is None:
            return None
        right = self.claims.get(row[f"{kind}_right"])
        difference = wording.number(row[f"{kind}_difference"])
        against = ""
        if statement.value is not None:
            against = wording.printed(wording.measure(statement.value, left.unit), left.unit)
        return Tightest(
            self.link(left, paper.key),
            numbers.get(left.claim_id, "?"),
            self.link(right, paper.key) if right else None,
            numbers.get(right.claim_id, "?") if right else against,
            ""
            if difference is None
            else wording.difference(difference, left.unit, statement.scale == "relative"),
        )

    # Contradictions.

    def contradictions(self) -> list[ContradictionView]:
        """Return all contradictions, numbered: those within the papers, paper by paper, then between them."""
        found = [
            (paper, contradiction, self._between(paper, contradiction))
            for paper in self.data.papers
            for contradiction in paper.contradictions
        ]
        found.sort(key=lambda item: item[2])
        return [
            self._contradiction(number, paper, contradiction, between)
            for number, (paper, contradiction, between) in enumerate(found, 1)
        ]

    def _contradiction(
        self, number: int, paper: Paper, contradiction: Contradiction, between: bool
    ) -> ContradictionView:
        places, values = (
            tuple(map(self.tables.worded, texts)) for texts in (contradiction.places, contradiction.values)
        )
        paired = len(places) == len(values)
        cells = select(contradiction.cells, paper, self.data.papers) if contradiction.cells else []
        shown = _spread(cells, LINKS)
        own = "" if between else paper.key
        return ContradictionView(
            number,
            f"contradiction-{number}",
            self.tables.names[paper.key],
            self.tables.worded(contradiction.meaning),
            tuple(zip(places, values, strict=True)) if paired else (),
            () if paired else places,
            () if paired else values,
            tuple(self.link(claim, own) for claim in shown),
            len(cells) - len(shown),
            between,
        )

    def _between(self, paper: Paper, contradiction: Contradiction) -> bool:
        """Say whether another paper is part of it: by its cells, or named among the places."""
        cells = select(contradiction.cells, paper, self.data.papers) if contradiction.cells else []
        if any(claim.paper != paper.key for claim in cells):
            return True
        words = _names_of_others(paper, self.data.papers)
        return any(
            re.search(rf"\b{re.escape(word)}\b", place, re.IGNORECASE)
            for word in words
            for place in contradiction.places
        )


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


def _pairs(row: Row, kind: str) -> str:
    pairs, holding = int(row[f"{kind}_pairs"] or 0), int(row[f"{kind}_holding"] or 0)
    return f"{holding} of {pairs} pair{' holds' if pairs == 1 else 's hold'}" if pairs else ""


def _spread(claims: Sequence[Claim], number: int) -> list[Claim]:
    """Return the first claims of each table in turn, so that both sides of a disagreement are among them."""
    tables: dict[tuple[str, str], list[Claim]] = {}
    for claim in claims:
        tables.setdefault((claim.paper, claim.table), []).append(claim)
    turns = [claim for turn in range(number) for own in tables.values() for claim in own[turn : turn + 1]]
    chosen = {claim.claim_id for claim in turns[:number]}
    return [claim for claim in claims if claim.claim_id in chosen]


def _names_of_others(paper: Paper, papers: Sequence[Paper]) -> set[str]:
    """Return the words by which places name other papers: an author, or the method where one has two papers."""
    named = {other.key: other.key.split("_", 1) for other in papers}
    authors = [words[0] for words in named.values()]
    own = paper.key.split("_", 1)[0]
    found = set()
    for key, words in named.items():
        if key == paper.key:
            continue
        if words[0] != own:
            found.add(words[0])
        if authors.count(words[0]) > 1:
            found.add(words[-1])
    return found
