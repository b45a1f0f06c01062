"""The figures, those of a kind together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reproof.figures import robustness
from reproof.report.cards import Card
from reproof.report.contents import DrawnFigure, ReportData
from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section("figures", "Figures", order=120)
KINDS = (
    ("accuracy_against_epsilon", "Accuracy against ε"),
    ("latent_space", "Latent space"),
    ("training", "Training"),
    ("rounds", "Rounds of training"),
    ("centroid_paths", "Ways of the classes’ centroids"),
    ("separation", "Latent spaces of ensembles"),
    ("loss", "Loss around test images"),
    ("cost", "Cost against robustness"),
    ("examples", "Examples"),
)
"""How a figure's name begins -> the heading of its kind."""
WIDE = ("Accuracy against ε",)
"""Kinds of figures with a panel for each model, which half a page is too narrow for."""


@dataclass(frozen=True)
class FigureGroup:
    """Figures of one kind."""

    title: str
    caption: str
    """What all of them say of themselves; empty where each says something else."""
    pairs: bool
    figures: Sequence[tuple[DrawnFigure, Card, Markup]]


def build(shared: Shared) -> dict[str, Any]:
    """Return the figures by kind, with the one that is drawn here."""
    groups: dict[str, list[DrawnFigure]] = {title: [] for _, title in KINDS}
    for figure in [*shared.data.figures, *_cost(shared.data)]:
        title = next((title for start, title in KINDS if figure.name.startswith(start)), "More figures")
        groups.setdefault(title, []).append(figure)
    return {
        "groups": [
            FigureGroup(
                title,
                chosen[0].caption if len({figure.caption for figure in chosen}) == 1 < len(chosen) else "",
                len(chosen) > 3 and title not in WIDE,
                [(figure, shared.cards.of_figure(figure), Markup(figure.svg)) for figure in chosen],
            )
            for title, chosen in groups.items()
            if chosen
        ]
    }


def _cost(data: ReportData) -> list[DrawnFigure]:
    """Draw seconds against accuracy here, from the records: figures made earlier are to be reproducible."""
    seconds: dict[str, dict[str, float]] = {}
    for trail in data.trails:
        for file in trail.files:
            if file.stage == "model" and "seconds" in data.records.get(file.path, {}):
                seconds.setdefault(trail.model, {})[file.path] = float(data.records[file.path]["seconds"])
    means = {model: sum(found.values()) / len(found) for model, found in seconds.items()}
    svg = robustness.cost_against_robustness(data.summary, data.titles, means)
    name = "cost_against_robustness"
    if svg is None or any(figure.name == name for figure in data.figures):
        return []
    return [DrawnFigure.from_svg(name, svg, data.tables.get("summary", ""))]
