"""How to make one number, or the whole page, again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from reproof.report.cards import Card
from reproof.report.section import Section
from reproof.report.shared import Shared


@dataclass(frozen=True)
class ReferenceExample:
    """A number of a reference run, and how to make it again."""

    title: str
    card: str
    measured: str
    run: str
    command: str


SECTION = Section("again", "Run a number again", order=60, heading="Run one number again")


def build(shared: Shared) -> dict[str, Any]:
    """Return a number as example, the page's own command, and the study."""
    example = _example(shared)
    return {
        "reference": _reference(shared),
        "example": example,
        "command": "" if example is None else _command(example),
        "rerun": shared.data.rerun,
        "settings": json.dumps(shared.data.settings, indent=1, ensure_ascii=False, default=str),
    }


def _reference(shared: Shared) -> ReferenceExample | None:
    """Return a headline that a reference run measured, with the command that counts it again; None without one."""
    commands = {run.title: run.about["command"] for run in shared.data.references}
    for paper in shared.data.papers:
        for claim in paper.claims:
            told = shared.references.best(claim.claim_id) if claim.claim_id in paper.headlines else None
            if told is not None and told.files:
                link = shared.paper_tables.judged.link(claim, "")
                command = f"{commands[told.run]} --force {told.files[0]}"
                measured = f"{told.told} {told.interval}".strip()
                return ReferenceExample(
                    link.text, shared.cards.anchor(claim.claim_id), measured, told.run, command
                )
    return None


def _command(card: Card) -> str:
    """Return the first command on a card."""
    facts = (fact for run in card.runs for fact in run.facts)
    return next((text for term, text in facts if term == "command"), "")


def _example(shared: Shared) -> Card | None:
    """Return a card whose number the page shows how to make again: of a judged claim if there is one."""
    tables = (table for paper in shared.data.papers for table in shared.paper_tables.tables(paper))
    lines = (line for table in tables for group in table.groups for _, line in group.rows)
    cells = (cell for line in lines for cell in line if cell is not None and cell.measured is not None)
    if cell := next(cells, None):
        return shared.cards.cards[cell.card]
    return next((card for card in shared.cards.cards.values() if card.runs), None)
