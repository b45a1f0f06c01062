"""What does not agree in the papers: within one of them, and between several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reproof.claims.claim import Claim
from reproof.claims.paper import Contradiction, Paper, select
from reproof.report.contents import ReportData
from reproof.report.judged_claims import CellLink
from reproof.report.paper_tables import PaperTables

LINKS = 4
"""So many cells are linked from one contradiction; the rest are counted."""


@dataclass(frozen=True)
class ShownContradiction:
    """Places that do not agree."""

    number: int
    id: str
    paper: str
    """The key of the paper in whose file it stands."""
    name: str
    """That paper's short name."""
    meaning: str
    places: tuple[tuple[str, str], ...]
    """Place and value; empty where they are not one each."""
    only_places: tuple[str, ...]
    only_values: tuple[str, ...]
    cells: tuple[CellLink, ...]
    more: int
    between: bool
    """True: with another paper. False: of the paper with itself."""


class Contradictions:
    """All contradictions, numbered: those within the papers, paper by paper, then between them."""

    def __init__(self, data: ReportData, tables: PaperTables):
        self._judged = tables.judged
        found = []
        for paper in data.papers:
            for contradiction in paper.contradictions:
                cells = select(contradiction.cells, paper, data.papers) if contradiction.cells else []
                found.append((paper, contradiction, cells))
        found.sort(key=lambda item: bool(item[1].papers))
        self.all = [self._shown(number, *each) for number, each in enumerate(found, 1)]

    def within(self, paper: Paper) -> list[ShownContradiction]:
        """Return a paper's contradictions with itself."""
        return [found for found in self.all if found.paper == paper.key and not found.between]

    def between(self, paper: Paper | None = None) -> list[ShownContradiction]:
        """Return those with another paper: all, or those that stand in one paper's file."""
        return [found for found in self.all if found.between and (paper is None or found.paper == paper.key)]

    def _shown(
        self, number: int, paper: Paper, contradiction: Contradiction, cells: Sequence[Claim]
    ) -> ShownContradiction:
        places, values = (
            tuple(map(self._judged.worded, texts)) for texts in (contradiction.places, contradiction.values)
        )
        paired = len(places) == len(values)
        shown = _spread(cells, LINKS)
        between = bool(contradiction.papers)
        own = "" if between else paper.key
        return ShownContradiction(
            number,
            f"contradiction-{number}",
            paper.key,
            self._judged.names[paper.key],
            self._judged.worded(contradiction.meaning),
            tuple(zip(places, values, strict=True)) if paired else (),
            () if paired else places,
            () if paired else values,
            tuple(self._judged.link(claim, own) for claim in shown),
            len(cells) - len(shown),
            between,
        )


def _spread(claims: Sequence[Claim], number: int) -> list[Claim]:
    """Return the first claims of each table in turn, so that both sides of a disagreement are among them."""
    tables: dict[tuple[str, str], list[Claim]] = {}
    for claim in claims:
        tables.setdefault((claim.paper, claim.table), []).append(claim)
    turns = [claim for turn in range(number) for own in tables.values() for claim in own[turn : turn + 1]]
    chosen = {claim.claim_id for claim in turns[:number]}
    return [claim for claim in claims if claim.claim_id in chosen]
