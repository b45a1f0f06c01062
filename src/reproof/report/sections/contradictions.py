"""Contradictions found in the papers."""

from __future__ import annotations

from typing import Any

from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section(
    "contradictions", "Contradictions", order=34, folded=True, heading="Contradictions found in the papers"
)


def build(shared: Shared) -> dict[str, Any]:
    """Return those within each paper that has any, and those between papers."""
    names, found = shared.data.paper_names, shared.contradictions
    papers = [(paper.key, names[paper.key], found.within(paper)) for paper in shared.data.papers]
    return {"papers": [each for each in papers if each[2]], "between": found.between()}
