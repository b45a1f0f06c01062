"""The page's section on classes and images: where an accuracy comes from, and what falls to every defense."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from reproof import wording
from reproof.report.cards import Card, Cards
from reproof.report.contents import Model, ReportData, Row, Step
from reproof.report.sections.grids import Grid, Grids, Heading, Number, levels

CLASSES_SHOWN = 20
"""A data set of more classes shows those of which most, and of which least, is left: half of these each."""
GREY = 0.5
"""The epsilon at which every pixel can be made grey, and no image need be recognisable any more."""
IMAGES_LISTED = 200
"""Of more images, the list ends with a word on the file that holds all."""


@dataclass(frozen=True)
class Listed:
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
    classes: tuple[Listed, ...]


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


class Breakdowns:
    """Builds the section, making cards for what it shows."""

    def __init__(self, data: ReportData, cards: Cards, grids: Grids):
        self.data = data
        self.cards = cards
        self.grids = grids
        self._titles = {model.name: model.title for model in data.models}
        self.budgets = {
            dataset: budget
            for dataset in dict.fromkeys(model.dataset for model in data.models)
            if (budget := self._budget(dataset)) is not None
        }
        """Data set -> the parameters of the worst case that is shown of it, as in the tables."""

    def strongest(self) -> dict[str, Number]:
        """Return, by model, what is left under every attack within its data set's shown budget."""
        return {
            row["model"]: self.grids.number(row)
            for row in self.data.summary
            if _is_worst_case(row) and row["parameters"] == self.budgets.get(row["dataset"])
        }

    def views(self) -> list[Breakdown]:
        """Return the section's parts, a data set each; those of which nothing was counted are left out."""
        views = []
        for dataset, budget in self.budgets.items():
            classes = self._classes(dataset, budget)
            images = self._images(dataset, budget)
            networks = max((int(row["networks"]) for row in images), default=0)
            met = [row for row in images if int(row["networks"]) == networks]
            if classes is None and not met:
                continue
            sentences = self._sentences(dataset, budget, met, networks)
            views.append(
                Breakdown(
                    wording.dataset(dataset),
                    wording.parameters(budget),
                    classes,
                    sentences,
                    self._card_of_images(dataset, budget, met, networks) if met else None,
                    tuple(self._lists(dataset, met, networks)),
                )
            )
        return views

    # Which budget.

    def _budget(self, dataset: str) -> str | None:
        """Return the worst case to show: the largest L-infinity budget that papers print and most models met.

        What is printed of this data set comes before what is printed of others, and that before what no paper
        prints. A budget at which nothing is left of any model tells no class from another, and comes behind. From GREY
        on every image can be made grey, so that only attacks are probed: last of all.
        """
        met = Counter(
            row["parameters"]
            for row in self.data.summary
            if _is_worst_case(row) and row["dataset"] == dataset
        )
        claims = [claim for paper in self.data.papers for claim in paper.claims if claim.metric == "accuracy"]
        left = {
            row["parameters"]
            for row in self.data.summary
            if _is_worst_case(row) and row["dataset"] == dataset and float(row["value"]) > 0
        }
        own = {claim.epsilon for claim in claims if claim.dataset == dataset}
        printed = {claim.epsilon for claim in claims}

        def order(parameters: str) -> tuple[bool, bool, bool, bool, bool, bool, float]:
            epsilon = wording.parameter(parameters, "epsilon")
            linf, size = wording.parameter(parameters, "norm") == "linf", float(epsilon or 0)
            usual = 2 * met[parameters] >= max(met.values())
            return linf, size < GREY, usual, parameters in left, epsilon in own, epsilon in printed, size

        return max(met, key=order, default=None)

    # Classes.

    def _class_name(self, dataset: str, label: str) -> str:
        names = self.data.class_names.get(dataset, ())
        return names[int(label)] if int(label) < len(names) else label

    def _classes(self, dataset: str, budget: str) -> Grid | None:
        rows = [row for row in self.data.classes if row["dataset"] == dataset]
        worst = {
            (row["model"], row["label"]): row
            for row in rows
            if row["attack"] == "worst_case" and row["parameters"] == budget
        }
        if not worst:
            return None
        clean = {(row["model"], row["label"]): row for row in rows if row["attack"] == "none"}
        labels, left_out = _shown(worst)
        overall = self.strongest()
        body = []
        for model in self.data.models:
            own = {label: row for (name, label), row in worst.items() if name == model.name}
            if not own:
                continue
            card = self._card_of_classes(model, budget, own, clean)
            cells = [[_number(own[label], card)] if label in own else [] for label in labels]
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
        self, model: Model, budget: str, own: dict[str, Row], clean: dict[tuple[str, str], Row]
    ) -> Card:
        facts = [("budget", wording.parameters(budget)), ("seed", ", ".join(map(str, self.data.seeds)))]
        for label in sorted(own, key=int):
            before = clean.get((model.name, label))
            words = _left(own[label])
            if before is not None:
                words += f"; without attack {before['correct']} of {before['total']}"
            facts.append((f"class {self._class_name(model.dataset, label)}", words))
        return self.cards.of_file(
            ["classes", model.name],
            f"{model.title}, each class in the worst case",
            facts,
            Step("table", self.data.tables.get("per_class", "")),
        )

    # Images.

    def _images(self, dataset: str, budget: str) -> list[Row]:
        norm, epsilon = (wording.parameter(budget, name) for name in ("norm", "epsilon"))
        return [
            row
            for row in self.data.images
            if (row["dataset"], row["norm"], row["epsilon"]) == (dataset, norm, epsilon)
        ]

    def _sentences(self, dataset: str, budget: str, met: Sequence[Row], networks: int) -> tuple[str, ...]:
        if not met:
            return ("No network of a defense was attacked in this budget.",)
        names = {model.name for model in self.data.models if model.dataset == dataset}
        seeds = f", {len(self.data.seeds)} seeds each" if len(self.data.seeds) > 1 else ""
        everybody = "the one network" if networks == 1 else f"all {networks} networks"
        none = [row for row in met if _fate(row) == "none"]
        lost = sum(int(row["lost"]) == networks for row in none)
        wrong = sum(int(row["misclassified"]) == networks for row in none)
        alone = Counter(row["holder"] for row in met if row["holder"] in names)
        sentences = [
            f"{len(met):,} images met every attack within {wording.parameters(budget)} on {everybody} of the defenses "
            f"of {wording.dataset(dataset)}{seeds}; undefended networks are not counted here.",
            f"Held by none: {len(none):,}, of which all lose {lost:,} that they classify correctly without attack, and "
            f"all misclassify {wrong:,} already without attack.",
            f"Held by all: {sum(_fate(row) == 'all' for row in met):,}.",
        ]
        if alone and networks > 1:
            told = ", ".join(f"{self._titles[name]} {count:,}" for name, count in alone.most_common())
            sentences.append(f"Held by one defense alone: {sum(alone.values()):,} ({told}).")
        return tuple(sentences)

    def _card_of_images(self, dataset: str, budget: str, met: Sequence[Row], networks: int) -> Card:
        held = Counter(int(row["held"]) for row in met)
        facts = [
            ("budget", wording.parameters(budget)),
            ("images", f"{len(met):,}"),
            ("networks", str(networks)),
            *((f"held by {count}", f"{held[count]:,} images") for count in sorted(held)),
        ]
        return self.cards.of_file(
            ["images", dataset],
            f"Images of {wording.dataset(dataset)} by how many networks hold them",
            facts,
            Step("table", self.data.tables.get("per_image", "")),
        )

    def _lists(self, dataset: str, met: Sequence[Row], networks: int) -> list[ImageList]:
        lists = []
        for fate, title in (("none", "No defense holds"), ("all", "Every defense holds")):
            rows = [row for row in met if _fate(row) == fate]
            if rows:
                lists.append(self._list(dataset, fate, title, rows, networks))
        return lists

    def _list(self, dataset: str, fate: str, title: str, rows: Sequence[Row], networks: int) -> ImageList:
        rows = sorted(rows, key=lambda row: (-int(row["lost"]), int(row["label"]), int(row["image"])))
        shown = sorted(rows[:IMAGES_LISTED], key=lambda row: int(row["label"]))
        found: dict[str, list[tuple[str, str]]] = {}
        for row in shown:
            partly = fate == "none" and int(row["lost"]) < networks
            words = f"lost by {row['lost']}" if partly else ""
            found.setdefault(self._class_name(dataset, row["label"]), []).append((row["image"], words))
        return ImageList(
            f"images-{dataset}-{fate}",
            title,
            len(rows),
            len(shown),
            tuple(Listed(label, tuple(images)) for label, images in found.items()),
        )


def _is_worst_case(row: Row) -> bool:
    return row["attack"] == "worst_case" and row["metric"] == "accuracy"


def _fate(row: Row) -> str:
    """Return `none` or `all` where no network, or every one, holds an image; empty between."""
    return "none" if row["held"] == "0" else "all" if row["held"] == row["networks"] else ""


def _shown(worst: dict[tuple[str, str], Row]) -> tuple[list[str], int]:
    """Return the labels to show, in order, and how many are left out."""
    labels = sorted({label for _, label in worst}, key=int)
    if len(labels) <= CLASSES_SHOWN:
        return labels, 0
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for (_, label), row in worst.items():
        right[label] += int(row["correct"])
        total[label] += int(row["total"])
    ranked = sorted(labels, key=lambda label: (right[label] / total[label], int(label)))
    half = CLASSES_SHOWN // 2
    return [*ranked[:half], *ranked[-half:]], len(labels) - CLASSES_SHOWN


def _number(row: Row, card: Card) -> Number:
    value = int(row["correct"]) / int(row["total"])
    return Number(
        wording.measure(value),
        f"{row['correct']} of {row['total']}",
        value,
        card.id,
        card.ordinal,
        card.stale,
    )


def _left(row: Row) -> str:
    low, high = wording.number(row["low"]), wording.number(row["high"])
    share = wording.measure(int(row["correct"]) / int(row["total"]))
    return f"{share} % {wording.interval(low, high)}: {row['correct']} of {row['total']} images"
