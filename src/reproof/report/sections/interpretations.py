"""How each paper was interpreted where it is silent, its protocol, and where this code departs from it."""

from __future__ import annotations

from typing import Any

from reproof.report import protocol_words
from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section(
    "interpretations",
    "Interpretations and deviations",
    order=36,
    folded=True,
    heading="How each paper was interpreted, and where we depart from it",
)


def build(shared: Shared) -> dict[str, Any]:
    """Return the papers and the models, whose own words these are."""
    data = shared.data
    return {
        "papers": data.papers,
        "names": data.paper_names,
        "models": data.models,
        "protocols": [
            (paper.key, protocol_words.experiments(paper), *protocol_words.counted(paper))
            for paper in data.papers
            if paper.protocol
        ],
    }
