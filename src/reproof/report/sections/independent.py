"""What others measured of the papers' defenses, beside what the papers claim of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reproof import wording
from reproof.claims.independent import IndependentMeasurement, nearest_claim
from reproof.claims.paper import Paper
from reproof.report import others
from reproof.report.judged_claims import CellLink, JudgedClaims
from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section("independent", "What others found", order=18, folded=True, needs=("independent",))


@dataclass(frozen=True)
class Row:
    """One measurement, beside one claim of the paper."""

    network: str
    model: str
    """Whose model it is, and why."""
    attack: str
    clean: str
    robust: str
    source: str
    address: str
    """Where the source is read; empty where it names no file, issue or preprint."""
    note: str
    doubt: str
    claim: CellLink | None
    claim_parameters: str
    """The claim's attack and parameters where they are not the measurement's own; empty where they are."""
    copied: str


@dataclass(frozen=True)
class Group:
    """The measurements of one defense on one data set."""

    title: str
    rows: tuple[Row, ...]


def build(shared: Shared) -> dict[str, Any]:
    """Return each paper's table, of those on whose defenses others measured something, and the names of the rest."""
    names, judged = shared.data.paper_names, shared.paper_tables.judged
    shown = _papers(shared)
    return {
        "papers": [
            (paper.key, names[paper.key], _groups(paper, shared.data.independent, judged)) for paper in shown
        ],
        "without": [name for key, name in names.items() if key not in {paper.key for paper in shown}],
    }


def _papers(shared: Shared) -> list[Paper]:
    found = shared.data.independent
    return [paper for paper in shared.data.papers if any(one.of_paper(paper) for one in found)]


def _groups(
    paper: Paper, measured: Sequence[IndependentMeasurement], judged: JudgedClaims
) -> tuple[Group, ...]:
    rows: dict[tuple[str, str], list[Row]] = {}
    for found in measured:
        if found.of_paper(paper):
            rows.setdefault((found.defense, found.dataset), []).append(_row(paper, found, judged))
    return tuple(
        Group(f"{_title(wording.defense(defense))}, {wording.dataset(dataset)}", tuple(inside))
        for (defense, dataset), inside in rows.items()
    )


def address(source: str) -> str:
    """Return where `OWNER/NAME, issue NUMBER`, `OWNER/NAME (COMMIT), FILE` or `arXiv:NUMBER` in a source is read."""
    if found := re.search(r"([\w-]+/[\w.-]+), issue (\d+)$", source):
        return f"https://github.com/{found[1]}/issues/{found[2]}"
    if found := re.search(r"([\w-]+/[\w.-]+) \(([0-9a-f]{7,40})\), (\S+)$", source):
        return f"https://github.com/{found[1]}/blob/{found[2]}/{found[3]}"
    found = re.search(r"arXiv:(\d{4}\.\d{4,5})", source)
    return f"https://arxiv.org/abs/{found[1]}" if found else ""


def _title(words: str) -> str:
    return words[:1].upper() + words[1:]


def _row(paper: Paper, found: IndependentMeasurement, judged: JudgedClaims) -> Row:
    headlines = [
        claim for claim in paper.claims if claim.claim_id in paper.headlines and found.same_as(claim)
    ]
    claim = nearest_claim(found, headlines) or nearest_claim(found, paper.claims)
    same = paper.key == found.same_model if claim is None else found.same_as(claim)
    link, parameters = None, ""
    if claim is not None:
        link = judged.link(claim, paper.key)
        parameters = ", ".join(
            part
            for part in (wording.attack(claim.attack), wording.parameters(claim.parameters))
            if part and part != wording.attack("none")
        )
    return Row(
        _title(found.architecture),
        _title(others.model(found, same, judged.names)),
        others.attack(found),
        found.clean and wording.printed(found.clean, found.unit),
        found.robust and wording.printed(found.robust, found.unit),
        found.source,
        address(found.source),
        found.note,
        "" if found.checked else others.NOT_CHECKED,
        link,
        parameters,
        judged.origin(claim) if claim is not None else "",
    )
