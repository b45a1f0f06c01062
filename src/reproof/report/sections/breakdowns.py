"""Classes and images: where an accuracy comes from, and what falls to every defense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reproof import wording
from reproof.figures import parameters
from reproof.report import numbers
from reproof.report.cards import Card
from reproof.report.contents import ShownModel, TrailFile, rows
from reproof.report.grids import Grid, Heading, levels
from reproof.report.numbers import LinkedNumber
from reproof.report.section import Section
from reproof.report.shared import Shared
from reproof.settings.table_words import WORST_CASE as WORST

SECTION = Section("classes", "Classes and images", order=44, folded=True)
CLASSES_SHOWN = 20
"""A data set of more classes shows those of which most, and of which least, is left: half of these each."""
IMAGES_LISTED = 200
"""Of more images, the list ends with a word on the file that holds all."""


@dataclass(frozen=True)
class ListedClass:
    """Images of one class."""

    label: str
    images: tuple[tuple[str, str], ...]
    """The image's number in the test split, and what else is to be said of it, in a few words."""


@dataclass(frozen=True)
class ImageList:
    """Images that fare alike."""

    id: str
    title: str
    count: int
    shown: int
    classes: tuple[ListedClass, ...]


@dataclass(frozen=True)
class Breakdown:
    """One data set at one budget."""

    dataset: str
    budget: str
    """In words: `L∞, ε = 0.3`."""
    classes: Grid | None
    sentences: tuple[str, ...]
    """What the images say together."""
    card: Card | None
    """What stands behind the sentences."""
    lists: tuple[ImageList, ...]


def build(shared: Shared) -> dict[str, Any]:
    """Return a breakdown of each data set of which something was counted."""
    return {"breakdowns": Breakdowns(shared).all()}


class Breakdowns:
    """Builds the section, making cards for what it shows."""

    def __init__(self, shared: Shared):
        self.data = shared.data
        self.cards = shared.cards
        self._budgets = shared.budgets

    def all(self) -> list[Breakdown]:
        """Return the section's parts, a data set each; those of which nothing was counted are left out."""
        found = []
        for dataset, budget in self._budgets.shown.items():
            classes = self._classes(dataset, budget)
            images = self._images(dataset, budget)
            networks = 0 if images.empty else int(images["networks"].max())
            met = images[images["networks"] == networks]
            if classes is None and met.empty:
                continue
            found.append(
                Breakdown(
                    wording.dataset(dataset),
                    wording.parameters(budget),
                    classes,
                    self._sentences(dataset, budget, met, networks),
                    None if met.empty else self._card_of_images(dataset, budget, met, networks),
                    tuple(self._lists(dataset, met, networks)),
                )
            )
        return found

    # Classes.

    def _class_name(self, dataset: str, label: int) -> str:
        names = self.data.class_names.get(dataset, ())
        return names[label] if label < len(names) else str(label)

    def _classes(self, dataset: str, budget: str) -> Grid | None:
        here = self.data.classes[self.data.classes["dataset"] == dataset]
        worst = here[(here["attack"] == WORST) & (here["parameters"] == budget)]
        if worst.empty:
            return None
        clean = here[here["attack"] == "none"]
        labels, left_out = _shown(worst)
        overall = self._budgets.strongest()
        body = []
        for model in self.data.models:
            own = worst[worst["model"] == model.name]
            if own.empty:
                continue
            card = self._card_of_classes(model, budget, own, clean[clean["model"] == model.name])
            by_label = {row.label: row for row in rows(own)}
            cells = [[_number(by_label[label], card)] if label in by_label else [] for label in labels]
            cells.append([overall[model.name]] if model.name in overall else [])
            body.append((model.title, "", cells))
        words = f"{wording.parameters(budget)} on {wording.dataset(dataset)}"
        names = [self._class_name(dataset, label) for label in labels]
        return Grid(
            f"classes-{dataset}",
            f"Classes, {words}",
            f"Percent of each class that is left under every attack within {words}, with the number of its images"
            + (f"; {left_out} classes between the least and the most robust are left out" if left_out else "")
            + ". The last column is all classes together: the worst case per image.",
            levels([*names, "All classes"], [Heading("Defense", sort=0)]),
            body,
            worst=True,
        )

    def _card_of_classes(
        self, model: ShownModel, budget: str, own: pd.DataFrame, clean: pd.DataFrame
    ) -> Card:
        facts = [("budget", wording.parameters(budget)), ("seed", ", ".join(map(str, self.data.seeds)))]
        before = {row.label: row for row in rows(clean)}
        for row in rows(own.sort_values("label")):
            words = _left(row)
            if row.label in before:
                words += f"; without attack {before[row.label].correct} of {before[row.label].total}"
            facts.append((f"class {self._class_name(model.dataset, row.label)}", words))
        return self.cards.of_file(
            ["classes", model.name],
            f"{model.title}, each class in the worst case",
            facts,
            TrailFile("table", self.data.tables.get("per_class", "")),
        )

    # Images.

    def _images(self, dataset: str, budget: str) -> pd.DataFrame:
        images, epsilon = self.data.images, parameters.epsilon(budget)
        alike = [text for text in images["epsilon"].unique() if parameters.number(text) == epsilon]
        return images[
            (images["dataset"] == dataset)
            & (images["norm"] == parameters.norm(budget))
            & images["epsilon"].isin(alike)
        ]

    def _sentences(self, dataset: str, budget: str, met: pd.DataFrame, networks: int) -> tuple[str, ...]:
        if met.empty:
            return ("No network of a defense was attacked in this budget.",)
        seeds = f", {len(self.data.seeds)} seeds each" if len(self.data.seeds) > 1 else ""
        everybody = "the one network" if networks == 1 else f"all {networks} networks"
        none, held = met[met["held"] == 0], met[met["held"] == networks]
        lost, wrong = (int((none[name] == networks).sum()) for name in ("lost", "misclassified"))
        sentences = [
            f"{len(met):,} images met every attack within {wording.parameters(budget)} on {everybody} of the defenses "
            f"of {wording.dataset(dataset)}{seeds}; undefended networks are not counted here.",
            f"Held by none: {len(none):,}, of which all lose {lost:,} that they classify correctly without attack, and "
            f"all misclassify {wrong:,} already without attack.",
            f"Held by all: {len(held):,}.",
        ]
        names = [model.name for model in self.data.models if model.dataset == dataset]
        alone = met.loc[met["holder"].isin(names), "holder"].value_counts()
        if len(alone) and networks > 1:
            told = ", ".join(f"{self.data.titles[str(name)]} {count:,}" for name, count in alone.items())
            sentences.append(f"Held by one defense alone: {alone.sum():,} ({told}).")
        return tuple(sentences)

    def _card_of_images(self, dataset: str, budget: str, met: pd.DataFrame, networks: int) -> Card:
        held = met["held"].value_counts().sort_index()
        facts = [
            ("budget", wording.parameters(budget)),
            ("images", f"{len(met):,}"),
            ("networks", str(networks)),
            *((f"held by {count}", f"{images:,} images") for count, images in held.items()),
        ]
        return self.cards.of_file(
            ["images", dataset],
            f"Images of {wording.dataset(dataset)} by how many networks hold them",
            facts,
            TrailFile("table", self.data.tables.get("per_image", "")),
        )

    def _lists(self, dataset: str, met: pd.DataFrame, networks: int) -> list[ImageList]:
        lists = []
        for fate, held, title in (("none", 0, "No defense holds"), ("all", networks, "Every defense holds")):
            alike = met[met["held"] == held]
            if not alike.empty:
                lists.append(self._list(dataset, fate, title, alike, networks))
        return lists

    def _list(self, dataset: str, fate: str, title: str, alike: pd.DataFrame, networks: int) -> ImageList:
        order = alike.sort_values(["lost", "label", "image"], ascending=[False, True, True])
        shown = order.head(IMAGES_LISTED)
        classes = []
        for label, own in shown.groupby("label"):
            images = tuple(
                (str(row.image), f"lost by {row.lost}" if fate == "none" and row.lost < networks else "")
                for row in rows(own)
            )
            classes.append(ListedClass(self._class_name(dataset, int(str(label))), images))
        return ImageList(f"images-{dataset}-{fate}", title, len(alike), len(shown), tuple(classes))


def _shown(worst: pd.DataFrame) -> tuple[Sequence[int], int]:
    """Return the labels to show, in order, and how many are left out."""
    counts = worst.groupby("label")[["correct", "total"]].sum()
    if len(counts) <= CLASSES_SHOWN:
        return list(counts.index), 0
    share = (counts["correct"] / counts["total"]).sort_values(kind="stable")
    half = CLASSES_SHOWN // 2
    return [*share.index[:half], *share.index[-half:]], len(counts) - CLASSES_SHOWN


def _number(row: Any, card: Card) -> LinkedNumber:
    value = row.correct / row.total
    of = f"{row.correct} of {row.total}"
    return LinkedNumber(wording.measure(value), of, value, card.id, card.ordinal, card.stale)


def _left(row: Any) -> str:
    share = wording.measure(row.correct / row.total)
    return f"{share} % {numbers.interval(row.low, row.high)}: {row.correct} of {row.total} images"
