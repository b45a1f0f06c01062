"""The papers' tables, claim beside measurement."""

from __future__ import annotations

from typing import Any

from reproof.claims.paper import Paper
from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section(
    "tables", "The papers’ tables", order=14, heading="The papers’ tables, claim beside measurement"
)


def build(shared: Shared) -> dict[str, Any]:
    """Return each paper with its tables."""
    return {
        "papers": [_paper(shared, paper) for paper in shared.data.papers],
        "several_runs": bool(shared.data.references),
    }


def _paper(shared: Shared, paper: Paper) -> dict[str, Any]:
    tables = shared.paper_tables
    numbers = [claim for claim in paper.claims if claim.value is not None]
    moved = [claim for claim in numbers if not claim.copied and tables.judged.evidence.of(claim) is None]
    others = (
        ("independent", "What others found", [one for one in shared.data.independent if one.of_paper(paper)]),
        ("statements", "Statements", paper.statements),
        ("contradictions", "Contradictions", shared.contradictions.within(paper)),
        ("interpretations", "Interpretations", paper.readings),
    )
    return {
        "key": paper.key,
        "name": tables.judged.names[paper.key],
        "title": paper.title,
        "summary": tables.judged.worded(paper.summary),
        "threat_model": tables.judged.worded(paper.threat_model),
        "tally": tables.judged.evidence.tally(numbers),
        "moved": sum(tables.judged.verdict(claim) == "not comparable" for claim in moved),
        "copied": sum(claim.copied for claim in numbers),
        "tables": tables.tables(paper),
        "others": [
            (f"{section}-{paper.key}", words)
            for section, words, there in others
            if there and section in shared.shown_sections
        ],
    }
