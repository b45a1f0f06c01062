"""The papers' tables, laid out as printed: each cell's claim beside what was measured, or why it was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reproof import wording
from reproof.claims.claim import Claim
from reproof.claims.paper import Paper
from reproof.claims.vocabulary import METRICS, SEPARATOR, TEXT
from reproof.report.cards import Cards, slug
from reproof.report.claim_cells import IN_PROSE, ClaimCell, ClaimCells
from reproof.report.contents import ReportData
from reproof.report.grids import Heading, levels
from reproof.report.judged_claims import JudgedClaims
from reproof.report.reasons import Clause
from reproof.report.strongest_cells import StrongestCell, StrongestCells
from reproof.report.tally import Tally
from reproof.report.verdict_words import CERTAINTIES

STRONGEST = "Strongest"
"""The heading over what is left under every attack of the study within a row's budget."""
Cells = Mapping[tuple[str, str], Claim]
"""Labels of row and column -> the claim there."""


@dataclass
class Group:
    """Rows under one printed group heading."""

    title: str
    labels: list[str] = field(default_factory=list)
    """The rows as claims name them, this heading included."""
    notes: tuple[str, ...] = ()
    """What its cells have in common, said once."""
    rows: list[tuple[str, list[ClaimCell | None]]] = field(default_factory=list)
    strongest: list[list[StrongestCell]] = field(default_factory=list)
    """Each row's last cell; empty where the table has no such column."""
    below: list[list[StrongestCell]] = field(default_factory=list)
    """The cells of the group's last row; empty where the table has no such row."""


@dataclass(frozen=True)
class ShownTable:
    """A paper's table as printed."""

    name: str
    id: str
    caption: str
    unit: str
    """What its numbers are, in what unit."""
    headings: list[list[Heading]]
    groups: list[Group]
    notes: tuple[str, ...]
    width: int
    tally: Tally
    """How the claims of the authors' own fell, by the best evidence of each."""
    copied: int
    doubts: tuple[tuple[str, str, int], ...]
    """Mark, what it means, how many cells have it."""
    strongest: bool
    """True: its last column is what is left under the strongest of the study."""

    @property
    def prose(self) -> bool:
        """Say whether these are the numbers of the prose, to be read as a list."""
        return self.name == TEXT


class PaperTables:
    """Builds the papers' tables, making cards for what they show."""

    def __init__(self, data: ReportData, cards: Cards):
        self.judged = JudgedClaims(data)
        self._cells = ClaimCells(cards, self.judged)
        self._strongest = StrongestCells(cards, self.judged, data.titles)
        self._made: dict[str, list[ShownTable]] = {}

    def tables(self, paper: Paper) -> list[ShownTable]:
        """Return the paper's tables in the order of its claims, laid out as printed; made once."""
        if paper.key not in self._made:
            tables: dict[str, list[Claim]] = {}
            for claim in paper.claims:
                tables.setdefault(claim.table, []).append(claim)
            self._made[paper.key] = [self._table(paper, name, claims) for name, claims in tables.items()]
        return self._made[paper.key]

    def _table(self, paper: Paper, name: str, claims: Sequence[Claim]) -> ShownTable:
        cells = {(claim.row, claim.column): claim for claim in claims}
        columns = _ordered([claim.column for claim in claims], list(cells))
        kinds = Counter((claim.metric, claim.unit) for claim in claims)
        usual, _ = kinds.most_common(1)[0]
        common = self._common(claims)
        notes = _notes(common)
        lacking = self._lacking(claims)
        if len(lacking) > 1:
            # Each cell lacks one of them; which one, the table's headings say.
            common["not measured"] += lacking
            sets = [clause.data_set for clause in lacking]
            listed = f"{', '.join(sets[:-1])} and {sets[-1]}"
            notes = (*notes, f"Where not measured in this run: the data sets {listed} are not in this study.")
        groups = _grouped(claims)
        for group in groups:
            self._fill(group, paper, columns, cells, common, usual)
        beside, below = self._strongest.of_groups(
            [group.labels for group in groups], columns, cells, name == TEXT
        )
        for position, group in enumerate(groups):
            group.strongest = beside[position] if beside else []
            group.below = below[position] if below else []
        doubts = Counter(claim.certainty for claim in claims)
        return ShownTable(
            name,
            f"table-{paper.key}-{slug(name.lower())}",
            IN_PROSE if name == TEXT else paper.tables[name].caption.rstrip("."),
            _unit_words(usual, len(kinds) > 1) if name != TEXT else "each in the unit that stands with it",
            levels([*columns, STRONGEST] if beside else columns, [Heading("")]),
            groups,
            notes,
            len(columns) + 1 + bool(beside),
            self.judged.evidence.tally(claims),
            sum(claim.copied for claim in claims),
            tuple((mark, words, doubts[mark]) for mark, words in CERTAINTIES.items() if doubts[mark]),
            bool(beside),
        )

    def _fill(
        self,
        group: Group,
        paper: Paper,
        columns: Sequence[str],
        cells: Cells,
        common: Mapping[str, Sequence[Clause]],
        usual: tuple[str, str],
    ) -> None:
        """Add a group's cells, and what they have in common beyond what the whole table has."""
        places = [(row, column) for row in group.labels for column in columns]
        inside = [cells[place] for place in places if place in cells]
        own = self._common(inside)
        group.notes = _notes({kind: [one for one in own[kind] if one not in common[kind]] for kind in own})
        prose = inside[0].table == TEXT
        said = [*common["not measured"], *([] if prose else own["not measured"])]
        for row in group.labels:
            line = [
                self._cells.cell(paper, claim, said, usual) if (claim := cells.get((row, column))) else None
                for column in columns
            ]
            group.rows.append((row.removeprefix(f"{group.title}{SEPARATOR}"), line))

    def _common(self, claims: Sequence[Claim]) -> dict[str, list[Clause]]:
        """Return what the verdicts of all measured and of all other claims name alike, to be said once."""
        common = {}
        for kind in ("measured", "not measured"):
            clauses = [
                self.judged.clauses(claim)
                for claim in claims
                if claim.value is not None
                and (self.judged.verdict(claim) == "not measured") == (kind == "not measured")
            ]
            shared = clauses[0] if len(clauses) > 1 else ()
            common[kind] = [clause for clause in shared if all(clause in other for other in clauses)]
        return common

    def _lacking(self, claims: Sequence[Claim]) -> list[Clause]:
        """Return the clauses that name lacking data sets, if every claim that was not measured has one."""
        found = []
        for claim in claims:
            if self.judged.verdict(claim) == "not measured":
                named = [clause for clause in self.judged.clauses(claim) if clause.data_set]
                if not named:
                    return []
                found += named
        return list(dict.fromkeys(found))


def _grouped(claims: Sequence[Claim]) -> list[Group]:
    """Return the rows under their headings; one that comes again further down is printed again there."""
    groups: list[Group] = []
    for row in dict.fromkeys(claim.row for claim in claims):
        title, separator, _ = row.partition(SEPARATOR)
        title = title if separator else ""
        if not groups or groups[-1].title != title:
            groups.append(Group(title))
        groups[-1].labels.append(row)
    return groups


def _unit_words(kind: tuple[str, str], mixed: bool) -> str:
    metric, unit = kind
    words = METRICS[metric].words
    if unit not in ("images", "rounds"):  # the metric's words say it already
        words = f"{words} in {wording.UNITS[unit][0]}"
    return f"{words}, where a cell says nothing else" if mixed else words


def _ordered(columns: Sequence[str], cells: Sequence[tuple[str, str]]) -> list[str]:
    """Return the columns as printed: one that first occurs in a later row goes beside its neighbour there."""
    rows: dict[str, list[str]] = {}
    for row, column in cells:
        rows.setdefault(row, []).append(column)
    order = list(dict.fromkeys(next(iter(rows.values()), columns)))
    for names in rows.values():
        for position, name in enumerate(names):
            if name not in order:
                order.insert(order.index(names[position - 1]) + 1 if position else 0, name)
    return order


def _notes(common: Mapping[str, Sequence[Clause]]) -> tuple[str, ...]:
    return tuple(
        f"Where {kind} in this run: {'; '.join(clause.words for clause in clauses)}."
        for kind, clauses in common.items()
        if clauses
    )
