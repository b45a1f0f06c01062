"""All claims in one list, each with the best evidence at hand: to be searched, filtered and sorted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reproof import wording
from reproof.claims.claim import Claim
from reproof.claims.paper import Paper
from reproof.report import numbers, shown_verdict
from reproof.report.contents import THIS_RUN
from reproof.report.packing import packed
from reproof.report.section import Section
from reproof.report.shared import Shared
from reproof.report.shown_verdict import HAMPERED, ShownVerdict
from reproof.report.verdict_words import VERDICTS

SECTION = Section("claims", "Find a claim", order=12, heading="Find a claim", needs=("papers",))
FILTERS = (
    ("paper", "Paper"),
    ("data", "Data set"),
    ("defense", "Defense"),
    ("attack", "Attack"),
    ("word", "Verdict"),
    ("grade", "Grade"),
)
"""A column by which claims are filtered, as the page's address names it, and what people call it."""
COLUMNS = (
    "paper",
    "data",
    "defense",
    "setting",
    "attack",
    "word",
    "grade",
    "mark",
    "place",
    "claimed",
    "measured",
    "left",
    "evidence",
    "cell",
    "card",
)
NO_GRADE = "none"


@dataclass(frozen=True)
class Evidence:
    """What the best measurement of a claim says: this run's, or a reference run's."""

    verdict: ShownVerdict
    measured: str
    left: str
    """What the strongest attack leaves, of the claim's setting or of all."""
    whose: str


def build(shared: Shared) -> dict[str, Any]:
    """Return the packed claims, by column, each text once, and what they can be filtered by."""
    rows = list(_rows(shared))
    columns: dict[str, Any] = {}
    for position, name in enumerate(COLUMNS):
        cells = [row[position] for row in rows]
        texts = list(dict.fromkeys(cells))
        places = {text: place for place, text in enumerate(texts)}
        columns[name] = {"texts": texts, "cells": [places[cell] for cell in cells]}
    symbols = {word: symbol for word, (symbol, _) in VERDICTS.items()}
    return {
        "count": len(rows),
        "copied": sum(
            claim.copied for paper in shared.data.papers for claim in paper.claims if claim.value is not None
        ),
        "filters": [(name, words, sorted(columns[name]["texts"])) for name, words in FILTERS],
        "pack": packed({"columns": columns, "symbols": symbols}),
    }


def _rows(shared: Shared) -> Iterator[tuple[str, ...]]:
    """Yield each claim with a number, as COLUMNS has it."""
    for paper in shared.data.papers:
        for claim in paper.claims:
            if claim.value is not None:
                yield _row(shared, paper, claim)


def _row(shared: Shared, paper: Paper, claim: Claim) -> tuple[str, ...]:
    judged = shared.paper_tables.judged
    best = _evidence(shared, claim)
    link = judged.link(claim, paper.key)
    return (
        judged.names[paper.key],
        wording.dataset(claim.dataset),
        wording.defense(claim.defense),
        wording.setting(claim.setting).lower() if claim.attack != "none" else "",
        wording.attack(claim.attack) if claim.attack != "none" else "no attack",
        best.verdict.word,
        best.verdict.grade or NO_GRADE,
        HAMPERED if HAMPERED in best.verdict.remarks else "",
        link.text,
        link.printed,
        best.measured,
        best.left,
        best.whose,
        link.id,
        shared.cards.anchor(claim.claim_id),
    )


def _evidence(shared: Shared, claim: Claim) -> Evidence:
    """Return the best evidence of a claim: what the best reference run says of it, or else what this run does."""
    judged = shared.paper_tables.judged
    told = shared.references.best(claim.claim_id) if judged.evidence.elsewhere(claim) else None
    if told is not None:
        return Evidence(
            told.verdict, f"{told.told} {told.interval}".strip(), _least(told.strongest), told.run
        )
    row = judged.row(claim.claim_id)
    measured, left = "", ""
    if row is not None and not pd.isna(row.measured):
        unit = numbers.judged_in(row, claim)
        between = numbers.interval(row.low, row.high, unit)
        measured = f"{numbers.measured(row, claim)} {between}".strip()
        left = _least(list(shown_verdict.strongest(row, claim)))
    return Evidence(judged.shown(claim), measured, left, THIS_RUN if measured else "")


def _least(strongest: Any) -> str:
    """Return what all settings together leave, else what the claim's setting does; empty where neither is known."""
    return str(strongest[-1][1]) if strongest else ""
