"""Robust against clean accuracy: every network of this run and of the reference runs, in one picture a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from markupsafe import Markup

from reproof import registry, wording
from reproof.claims.vocabulary import parts_of
from reproof.reference import Reference
from reproof.report import pictures
from reproof.report.budgets import ShownBudgets
from reproof.report.cards import slug
from reproof.report.contents import ReportData, ShownModel, rows
from reproof.report.pictures import ModelDot
from reproof.report.section import Section
from reproof.report.shared import Shared
from reproof.settings.baseline import UNDEFENDED
from reproof.settings.table_words import NO_ATTACK, WORST_CASE

SECTION = Section("plane", "Clean and robust", order=41, heading="Robust accuracy against clean accuracy")
FIRST = 3
"""Networks that are named below a picture."""


@dataclass(frozen=True)
class Panel:
    """The networks of a run on one data set, within the budget that the page shows of it."""

    title: str
    budget: str
    picture: Markup
    most: str
    """Of which networks most is left, in words."""
    undefended: str
    """What is left of undefended ones; empty where there is none."""


def build(shared: Shared) -> dict[str, Any]:
    """Return a picture of each run and data set; this run's first."""
    data = shared.data
    studies = [(data.title, data), *((run.title, _as_study(data, run)) for run in data.references)]
    return {"panels": [panel for title, study in studies for panel in _panels(title, study, shared)]}


def _as_study(data: ReportData, run: Reference) -> ReportData:
    """Return a reference run's networks and numbers in the place of this run's."""
    models = [
        ShownModel(
            name,
            model["title"],
            model["dataset"],
            model.get("architecture", ""),
            model.get("defense", ""),
            model.get("training", ""),
        )
        for name, model in run.about["models"].items()
    ]
    return replace(data, models=models, summary=run.tables["summary"])


def _panels(title: str, data: ReportData, shared: Shared) -> Iterator[Panel]:
    accuracy = data.summary[data.summary["metric"] == "accuracy"]
    clean = {row.model: row.value for row in rows(accuracy[accuracy["attack"] == NO_ATTACK])}
    worst = accuracy[accuracy["attack"] == WORST_CASE]
    for dataset, budget in ShownBudgets(data, shared.grids).shown.items():
        left = {row.model: row.value for row in rows(worst[worst["parameters"] == budget])}
        drawn = [
            ModelDot(model.title, _kind(model), clean[model.name], left[model.name])
            for model in data.models
            if model.dataset == dataset and model.name in clean and model.name in left
        ]
        if drawn:
            yield Panel(
                title
                if len({model.dataset for model in data.models}) == 1
                else f"{title}, {wording.dataset(dataset)}",
                wording.parameters(budget),
                pictures.plane(title, slug("plane", title, dataset), drawn),
                _most(drawn),
                _spread([dot.left for dot in drawn if dot.kind == "undefended"]),
            )


def _kind(model: ShownModel) -> Literal["undefended", "proposed", "compared"]:
    if model.defense == UNDEFENDED:
        return "undefended"
    declared = [registry.defense(kind) for kind in parts_of("defense", model.defense)]
    return "proposed" if any(one is not None and one.paper for one in declared) else "compared"


def _most(drawn: Sequence[ModelDot]) -> str:
    order = sorted(drawn, key=lambda dot: -dot.left)
    return ", ".join(f"{dot.title} ({100 * dot.left:.1f} %)" for dot in order[:FIRST])


def _spread(values: Sequence[float]) -> str:
    """Return the least and the largest of some accuracies: `0.0 % to 12.5 %`."""
    ends = [f"{100 * value:.1f} %" for value in (min(values), max(values))] if values else []
    return " to ".join(dict.fromkeys(ends))
