"""How the claims fell: the papers in one table, and each with its counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reproof import wording
from reproof.claims.paper import Paper, Reading, Statement
from reproof.claims.vocabulary import LOST
from reproof.report.cards import Card
from reproof.report.contents import TrailFile
from reproof.report.contradictions import ShownContradiction
from reproof.report.section import Section
from reproof.report.shared import Shared
from reproof.report.tally import Tally
from reproof.report.verdict_words import JUDGED

SECTION = Section(
    "fell", "How the claims fell", order=19, heading="How the claims fell in this run", folded=True
)


@dataclass(frozen=True)
class PaperCounts:
    """How much a paper claims, and how it fell."""

    key: str
    name: str
    """Author and year."""
    title: str
    citation: str
    tally: Tally
    """How the claims fell that the authors measured."""
    claimed: int
    """Cells with a number."""
    own: int
    """Of these, measured by the authors."""
    copied: tuple[tuple[str, int], ...]
    """Where the other numbers come from, and how many."""
    dashes: int
    lost: int
    doubtful: int
    """Cells with a number whose place is not certain."""
    card: Card | None
    statements: Sequence[Statement]
    fell: tuple[int, int, int]
    """Statements that hold in print, that hold as measured, and that do not."""
    within: Sequence[ShownContradiction]
    between: Sequence[ShownContradiction]
    interpretations: Sequence[Reading]

    @property
    def overview(self) -> tuple[int, ...]:
        """Return its numbers for the table of all papers, so that they can be added up."""
        return (
            self.claimed,
            self.own,
            *self.tally.of_each_word(),
            self.tally.total("B"),
            self.tally.stable,
            self.tally.other,
            self.tally.unmeasured,
            len(self.statements),
            *self.fell,
            len(self.within) + len(self.between),
            len(self.interpretations),
        )


def build(shared: Shared) -> dict[str, Any]:
    """Return every paper's counts, and all of them in one table with their sum."""
    papers = [_counts(shared, paper) for paper in shared.data.papers]
    overview = [(paper.key, paper.name, paper.overview) for paper in papers]
    if len(overview) > 1:
        overview.append(("", "All papers", tuple(map(sum, zip(*(row[2] for row in overview), strict=True)))))
    return {"papers": papers, "overview": overview, "judged": JUDGED, "study_title": shared.data.title}


def _counts(shared: Shared, paper: Paper) -> PaperCounts:
    judged = shared.paper_tables.judged
    claims = [claim for claim in paper.claims if claim.value is not None]
    tally = judged.tally(claims)
    copied = Counter(judged.origin(claim) for claim in claims if claim.copied)
    return PaperCounts(
        key=paper.key,
        name=judged.names[paper.key],
        title=paper.title,
        citation=paper.citation,
        tally=tally,
        claimed=len(claims),
        own=len(claims) - copied.total(),
        copied=tuple(copied.items()),
        dashes=sum(claim.value is None and claim.printed != LOST for claim in paper.claims),
        lost=sum(claim.printed == LOST for claim in paper.claims),
        doubtful=sum(claim.certainty != "certain" for claim in claims),
        card=_card(shared, paper, tally),
        statements=paper.statements,
        fell=_statements(shared.data.statements, paper),
        within=shared.contradictions.within(paper),
        between=shared.contradictions.between(paper),
        interpretations=paper.readings,
    )


def _statements(statements: pd.DataFrame, paper: Paper) -> tuple[int, int, int]:
    own = statements[statements["statement_id"].isin([f"{paper.key}.{one.key}" for one in paper.statements])]
    holds, measured = own["in_print"] == "holds", own["measured"]
    return int(holds.sum()), int((measured == "holds").sum()), int((measured == "does not hold").sum())


def _card(shared: Shared, paper: Paper, tally: Tally) -> Card | None:
    """Return the card behind a paper's counts of verdicts; None without a table of verdicts."""
    path = shared.data.tables.get("verdicts")
    if path is None:
        return None
    facts = [
        (f"{word}, {grade}" if grade in ("A", "B") else word, wording.counted(count, "claim"))
        for word, grade, count in tally.parts
    ]
    facts += [("grade B", text) for text in (tally.of_training, tally.stability) if text]
    title = f"Verdicts on what {shared.data.paper_names[paper.key]} measured"
    return shared.cards.of_file(["counts", paper.key], title, facts, TrailFile("table", path))
