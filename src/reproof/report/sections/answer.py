"""The answer: what each paper claims, how that fell by the best evidence at hand, and its headlines in four numbers."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from reproof.claims.vocabulary import METRICS, read_print
from reproof.report import answer, pictures
from reproof.report.answer import Headline, PaperAnswer
from reproof.report.section import Section
from reproof.report.shared import Shared
from reproof.report.verdict_words import JUDGED

SECTION = Section("answer", "The answer", order=0, needs=("papers",))


def entries(shared: Shared) -> list[tuple[str, str]]:
    """Return where each paper's answer begins."""
    return [(f"answer-{paper.key}", paper.short_name) for paper in shared.data.papers]


def build(shared: Shared) -> dict[str, Any]:
    """Return the answer with its pictures."""
    found = answer.answer(shared.data)
    return {
        "sentence": found.sentence,
        "papers": [
            (paper, _picture(paper, linked="tables" in shared.shown_sections), _undrawn(paper))
            for paper in found.papers
        ],
        "cards": {
            one.claim.claim_id: shared.cards.anchor(one.claim.claim_id)
            for paper in found.papers
            for one in paper.headlines
        },
        "lines": {one.claim.claim_id: _line(one) for paper in found.papers for one in paper.headlines},
    }


def _picture(paper: PaperAnswer, *, linked: bool) -> Markup | None:
    """Return a paper's picture; None where there is nothing to draw."""
    counted = {one.claim.claim_id for one in paper.counted}
    drawn = pictures.dots(paper.counted)
    rest = pictures.dots(one for one in paper.evidence if one.claim.claim_id not in counted)
    return pictures.scatter(paper.name, paper.key, drawn, rest, linked=linked) if drawn or rest else None


def _undrawn(paper: PaperAnswer) -> str:
    """Return how many of the counted numbers are no accuracies, and so not in the picture; empty where all are."""
    judged = sum(one.word in JUDGED for one in paper.counted)
    drawn = sum(dot.word in JUDGED for dot in pictures.dots(paper.counted))
    return f"; {drawn} of them, the accuracies, in the picture" if drawn < judged else ""


def _line(one: Headline) -> Markup | None:
    """Return a headline's numbers on a line; None of one that is no accuracy."""
    claim = one.claim
    if METRICS[claim.metric].compared != "accuracy" or claim.value is None:
        return None
    scale = 0.0
    if one.others is not None:
        scale, _ = read_print(one.others.printed, one.others.unit)
    others = scale * float(one.others.printed) if one.others is not None else None
    return pictures.line(claim.value, one.evidence, others)
