"""The strongest attack of the study: which part of it took each image of each model, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reproof import wording
from reproof.report.cards import Card, slug
from reproof.report.contents import ShownModel, TrailFile, rows
from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section(
    "strongest",
    "Strongest attack",
    order=40,
    folded=True,
    heading="What the strongest attack leaves of this run’s models",
    needs=("parts",),
)
TRANSFER = "transfer from "
"""What the name of a part begins with that shows images of another model."""


@dataclass(frozen=True)
class Row:
    """A model under the composed attack."""

    title: str
    right: int
    """Images that are right without an attack; several seeds' are added up."""
    taken: tuple[tuple[str, int], ...]
    """The parts that took an image, in their order, and how many each took."""
    idle: tuple[str, ...]
    """The parts that were tried on what was left and took none."""
    left: int
    card: Card


@dataclass(frozen=True)
class Table:
    """The models of a data set under the attack at one budget."""

    id: str
    title: str
    rows: tuple[Row, ...]


def build(shared: Shared) -> dict[str, Any]:
    """Return a table of each data set, attack and budget."""
    return {"tables": list(_tables(shared))}


def _tables(shared: Shared) -> Iterator[Table]:
    parts = shared.data.parts
    models = {model.name: model for model in shared.data.models}
    for (dataset, attack, parameters), here in parts.groupby(["dataset", "attack", "parameters"], sort=False):
        words = wording.parameters(str(parameters))
        yield Table(
            slug("strongest", dataset, attack, parameters),
            f"{shared.cards.attack_title(str(attack))} at {words} on {wording.dataset(str(dataset))}",
            tuple(
                _row(shared, models[name], words, here[here["model"] == name])
                for name in models
                if (here["model"] == name).any()
            ),
        )


def _row(shared: Shared, model: ShownModel, budget: str, own: pd.DataFrame) -> Row:
    tried = [(_words(row.part, shared), row.met, row.taken) for row in rows(own.sort_values("place"))]
    facts = [("budget", budget), *((part, f"met {met} images, took {taken}") for part, met, taken in tried)]
    card = shared.cards.of_file(
        ["strongest", model.name, budget],
        f"{model.title}, part by part of the strongest attack",
        facts,
        TrailFile("table", shared.data.tables.get("parts", "")),
    )
    return Row(
        model.title,
        tried[0][1],
        tuple((part, taken) for part, _, taken in tried if taken),
        tuple(part for part, met, taken in tried if met and not taken),
        tried[-1][1] - tried[-1][2],
        card,
    )


def _words(part: str, shared: Shared) -> str:
    """Return a part's name for people: `joint, targeted margin`, `transfer from Undefended, second`."""
    source = part.removeprefix(TRANSFER)
    return part.replace("_", " ") if source == part else f"{TRANSFER}{shared.data.titles.get(source, source)}"
