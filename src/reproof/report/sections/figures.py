"""The figures, those of a kind together, those first whose models differ most from the others."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reproof.claims.claim import Claim
from reproof.claims.paper import Paper, select
from reproof.figures import robustness
from reproof.report import numbers
from reproof.report.cards import Card, slug
from reproof.report.contents import DrawnFigure, ReportData, rows
from reproof.report.judged_claims import CellLink
from reproof.report.packing import place
from reproof.report.section import Section
from reproof.report.shared import Shared
from reproof.report.shown_verdict import ShownVerdict

SECTION = Section("figures", "Figures", order=38, folded=True)
KINDS = (
    ("cost", "Cost against robustness"),
    ("accuracy_against_epsilon", "Accuracy against ε"),
    ("latent_space", "Latent space"),
    ("training", "Training"),
    ("rounds", "Rounds of training"),
    ("centroid_paths", "Ways of the classes’ centroids"),
    ("separation", "Latent spaces of ensembles"),
    ("loss", "Loss around test images"),
    ("examples", "Examples"),
)
"""How a figure's name begins -> the heading of its kind."""
WIDE = ("Accuracy against ε",)
"""Kinds of figures with a panel for each model, which half a page is too narrow for."""
FIRST = 2
"""So many figures of a kind are shown when it is unfolded; the others unfold below them."""
FEW = 4
"""So many of ours are named beside a paper's figure."""
STATIC_BYTES = 150_000
"""Of each kind the first figure that is no larger is there without a script too."""


@dataclass(frozen=True)
class ShownFigure:
    """A figure and its place on the page."""

    drawn: DrawnFigure
    card: Card
    place: Markup

    @property
    def anchor(self) -> str:
        """Return what its place on the page is called after."""
        return slug(self.drawn.name)


@dataclass(frozen=True)
class FigureGroup:
    """Figures of one kind."""

    id: str
    title: str
    caption: str
    """What all of them say of themselves; empty where each says something else."""
    pairs: bool
    first: Sequence[ShownFigure]
    others: Sequence[ShownFigure]

    @property
    def count(self) -> int:
        """Return how many figures there are."""
        return len(self.first) + len(self.others)


def build(shared: Shared) -> dict[str, Any]:
    """Return the figures by kind, with the one that is drawn here."""
    groups: dict[str, list[DrawnFigure]] = {title: [] for _, title in KINDS}
    drawn = [*shared.data.figures, *_cost(shared.data)]
    for figure in drawn:
        title = next((title for start, title in KINDS if figure.name.startswith(start)), "More figures")
        groups.setdefault(title, []).append(figure)
    unlike = _unlike(shared)
    return {
        "of_papers": _of_papers(shared, drawn),
        "groups": [_group(shared, title, chosen, unlike) for title, chosen in groups.items() if chosen],
    }


@dataclass(frozen=True)
class PapersFigure:
    """A figure of a paper beside ours of the same."""

    paper: str
    name: str
    shows: str
    printed: Sequence[tuple[CellLink, str, ShownVerdict]]
    """A number that is printed of it, its best measurement with its unit, and the verdict."""
    statements: Sequence[tuple[str, str, str]]
    """What the paper says of it, and whether that holds in print and as measured."""
    drawn: Sequence[tuple[str, str]]
    """Our figures of the same: anchor and title."""
    more: int
    """How many more of them there are."""


def _of_papers(shared: Shared, drawn: Sequence[DrawnFigure]) -> list[PapersFigure]:
    """Return the papers' own figures of which this study has drawn the same."""
    judged = shared.paper_tables.judged
    statements = {row.statement_id: row for row in rows(shared.data.statements)}
    found = []
    for paper in shared.data.papers:
        words = {one.key: one.words for one in paper.statements}
        for figure in paper.figures:
            same = [one for one in drawn if one.name.startswith(figure.drawn)]
            claims = select(figure.claims, paper, [paper]) if figure.claims else []
            told = [
                (words[key], row.in_print, row.measured)
                for key in figure.statements
                if (row := statements.get(f"{paper.key}.{key}")) is not None
            ]
            if same:
                found.append(
                    PapersFigure(
                        judged.names[paper.key],
                        figure.name,
                        figure.shows,
                        [_printed(shared, paper, claim) for claim in claims if claim.value is not None],
                        told,
                        [(f"drawn-{slug(one.name)}", one.title) for one in same[:FEW]],
                        len(same[FEW:]),
                    )
                )
    return found


def _printed(shared: Shared, paper: Paper, claim: Claim) -> tuple[CellLink, str, ShownVerdict]:
    judged = shared.paper_tables.judged
    row, best = judged.evidence.row(claim), judged.evidence.of(claim)
    link = judged.link(claim, paper.key)
    if row is None or not row.grade:
        return link, "", ShownVerdict.of_word("not measured")
    return (
        link,
        numbers.measured(row, claim),
        ShownVerdict.of_row(row, claim, hampered=best is not None and best.hampered),
    )


def _group(
    shared: Shared, title: str, chosen: Sequence[DrawnFigure], unlike: Mapping[str, float]
) -> FigureGroup:
    order = sorted(
        chosen, key=lambda figure: -max((unlike[m] for m in unlike if _shows(figure, m)), default=0)
    )
    small = {figure.name: shared.inlined.inlined(figure) for figure in order}
    static = next((name for name, svg in small.items() if len(svg) <= STATIC_BYTES), "")
    shared.figures.append({name: svg for name, svg in small.items() if name != static})
    shown = [
        ShownFigure(
            figure,
            shared.cards.of_figure(figure),
            place(
                "figures",
                figure.name,
                small[static]
                if figure.name == static
                else Markup("<p class=needs>{}</p>").format(figure.path),
            ),
        )
        for figure in order
    ]
    alike = len({figure.caption for figure in chosen}) == 1 < len(chosen)
    return FigureGroup(
        f"figures-{slug(title.lower())}",
        title,
        chosen[0].caption if alike else "",
        len(chosen) > 3 and title not in WIDE,
        shown[:FIRST],
        shown[FIRST:],
    )


def _shows(figure: DrawnFigure, model: str) -> bool:
    return figure.name in (f"{start}_{model}" for start, _ in KINDS)


def _unlike(shared: Shared) -> dict[str, float]:
    """Return each model's distance from the median of what the strongest attack leaves."""
    left = {
        name: number.value for name, number in shared.budgets.strongest().items() if number.value is not None
    }
    middle = statistics.median(left.values()) if left else 0
    return {name: abs(value - middle) for name, value in left.items()}


def _cost(data: ReportData) -> list[DrawnFigure]:
    """Draw seconds against accuracy here, from the records: figures made earlier are to be reproducible."""
    seconds: dict[str, dict[str, float]] = {}
    for trail in data.trails:
        for file in trail.files:
            record = data.records.get(file.path, {})
            if file.stage == "model" and "seconds" in record and not record.get("device_shared"):
                seconds.setdefault(trail.model, {})[file.path] = float(record["seconds"])
    means = {model: sum(found.values()) / len(found) for model, found in seconds.items()}
    svg = robustness.cost_against_robustness(data.summary, data.titles, means)
    name = "cost_against_robustness"
    if svg is None or any(figure.name == name for figure in data.figures):
        return []
    return [DrawnFigure.from_svg(name, svg, data.tables.get("summary", ""))]
