"""The page's tables of measurements: defenses against attacks, sources against targets."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from reproof import wording
from reproof.claims.vocabulary import SEPARATOR
from reproof.measuring.worst_case import WORST_UNBOUNDED
from reproof.report.cards import Cards, source_title, unit_of
from reproof.report.contents import Model, ReportData, Row


@dataclass(frozen=True)
class Heading:
    """A header cell."""

    text: str
    columns: int = 1
    rows: int = 1
    sort: int | None = None
    """Position in the row of the cells that this heading sorts by; None where it sorts nothing."""


@dataclass(frozen=True)
class Number:
    """A number in a cell, with its card."""

    text: str
    interval: str
    value: float | None
    card: str
    ordinal: int
    """The card's number, for paper."""
    stale: str = ""

    @property
    def heat(self) -> int:
        """Return 0 to 10, the step of the colour scale."""
        return 0 if self.value is None else min(10, max(0, round(10 * self.value)))


@dataclass(frozen=True)
class Grid:
    """A table of numbers: a row per model."""

    id: str
    title: str
    caption: str
    headings: list[list[Heading]]
    rows: list[tuple[str, str, list[list[Number]]]]
    """Title, small print, cells; a cell holds no number, one, or an accuracy and a distance."""
    starts: frozenset[int] = frozenset()
    """Positions of the cells before which another setting begins."""
    worst: bool = False
    """True: the last column is the worst case."""
    shaded: bool = True
    """True: cells are coloured by their numbers, which are accuracies."""


def levels(labels: Sequence[str], first: Sequence[Heading] = ()) -> list[list[Heading]]:
    """Return header rows for labels such as `White-Box · FGSM`: equal neighbours share a cell.

    first: headings of the columns before them; they reach over all rows.
    """
    paths = [label.split(SEPARATOR) for label in labels]
    depth = max((len(path) for path in paths), default=1)
    rows: list[list[Heading]] = [[] for _ in range(depth)]
    rows[0] += [Heading(heading.text, 1, depth, heading.sort) for heading in first]
    position = 0
    while position < len(paths):
        path = paths[position]
        if len(path) == 1:
            rows[0].append(Heading(path[0], 1, depth, len(first) + position))
            position += 1
            continue
        end = position
        while end < len(paths) and len(paths[end]) > 1 and paths[end][0] == path[0]:
            end += 1
        rows[0].append(Heading(path[0], end - position))
        for inner in range(position, end):
            rest = SEPARATOR.join(paths[inner][1:])
            rows[1].append(Heading(rest, 1, depth - 1, len(first) + inner))
        position = end
    return [row for row in rows if row]


UNSETTLED = {
    "failed_majorities": (
        "Failed majorities",
        "Number of images [95 % interval] on which an ensemble's members elect no class",
    ),
    "refused": (
        "Refused images",
        "Percent of images [95 % interval] that are answered with no class; elsewhere they count as errors",
    ),
}
"""Metrics of images without a decision -> their table's title and caption."""


class Grids:
    """Builds the tables, making cards for what they show."""

    def __init__(self, data: ReportData, cards: Cards):
        self.data = data
        self.cards = cards
        self._order = {attack.name: position for position, attack in enumerate(data.attacks)}
        self._attack_titles = {attack.name: attack.title for attack in data.attacks if attack.title}
        self._titles = {model.name: model.title for model in data.models}

    def number(self, row: Row) -> Number:
        """Return a row of summary.csv as a number with its card."""
        card = self.cards.of_summary(row)
        value, low, high = (wording.number(row[key]) for key in ("value", "low", "high"))
        unit = unit_of(row["metric"])
        return Number(
            wording.measure(value, unit),
            wording.interval(low, high, unit),
            value,
            card.id,
            card.ordinal,
            card.stale,
        )

    # Defenses against attacks.

    def matrices(self) -> list[Grid]:
        """Return, per data set, one grid for each budget and one for attacks without a budget."""
        grids = []
        for dataset in dict.fromkeys(model.dataset for model in self.data.models):
            models = [model for model in self.data.models if model.dataset == dataset]
            names = {model.name for model in models}
            rows = [row for row in self.data.summary if row["model"] in names and not _by_one_member(row)]
            budgets: dict[tuple[str, str], set[tuple[str, ...]]] = {}
            for row in rows:
                if row["attack"] not in ("none", "worst_case") and row["metric"] == "accuracy":
                    epsilon = wording.parameter(row["parameters"], "epsilon")
                    if epsilon is not None:
                        rest = " ".join(i for i in row["parameters"].split() if i != f"epsilon={epsilon}")
                        budgets.setdefault((epsilon, rest), set()).add(self._column(row))
            widest = sorted(budgets, key=lambda key: (-len(budgets[key]), -float(key[0])))
            grids += [self._matrix(dataset, models, rows, *budget) for budget in widest]
            free = self._free_matrix(dataset, models, rows)
            grids += [free] if free else []
            grids += [
                grid for metric in UNSETTLED if (grid := self._unsettled(dataset, models, rows, metric))
            ]
        return grids

    def _unsettled(
        self, dataset: str, models: Sequence[Model], rows: Sequence[Row], metric: str
    ) -> Grid | None:
        """Return how often ensembles elect no class, or models give no answer, without attack and under transfer."""
        found = [
            row
            for row in rows
            if row["metric"] == metric and (row["setting"] == "black_box" or row["attack"] == "none")
        ]
        columns = self._sorted_columns(found)
        title, caption = UNSETTLED[metric]
        body = []
        for model in models:
            own = {self._column(row): row for row in found if row["model"] == model.name}
            if own:
                cells = [[self.number(own[column])] if column in own else [] for column in columns]
                body.append((model.title, _small_print(model), cells))
        if not body:
            return None
        labels = [
            "No attack"
            if attack == "none"
            else SEPARATOR.join(
                (
                    self._setting_title(setting, source),
                    f"{self.attack_title(attack)}, {wording.parameters(parameters)}".strip(", "),
                )
            )
            for setting, source, attack, parameters in columns
        ]
        return Grid(
            f"matrix-{dataset}-{metric.replace('_', '-')}",
            f"{title} on {wording.dataset(dataset)}",
            f"{caption}, {wording.dataset(dataset)}.",
            levels(labels, [Heading("Defense", sort=0)]),
            body,
            frozenset(_changes(columns)),
            shaded=False,
        )

    def _column(self, row: Row) -> tuple[str, ...]:
        own = row["setting"] != "black_box" and row["source"] not in wording.SOURCES
        return (row["setting"], "" if own else row["source"], row["attack"], row["parameters"])

    def _sorted_columns(self, rows: Iterable[Row]) -> list[tuple[str, ...]]:
        settings = {name: position for position, name in enumerate(wording.SETTINGS)}
        return sorted(
            {self._column(row) for row in rows},
            key=lambda c: (
                settings.get(c[0], len(settings)),
                c[1],
                self._order.get(c[2], len(self._order)),
                c[2],
                _numbers(c[3]),
            ),
        )

    def attack_title(self, name: str) -> str:
        """Return an attack's name for people."""
        return self._attack_titles.get(name) or wording.attack(name)

    def _setting_title(self, setting: str, source: str) -> str:
        title = wording.setting(setting)
        if source in wording.SOURCES:
            return f"{title}, {wording.SOURCES[source]}"
        return f"{title}, made on {source_title(source, self._titles)}" if source else title

    def _matrix(
        self, dataset: str, models: Sequence[Model], rows: Sequence[Row], epsilon: str, rest: str
    ) -> Grid:
        def inside(row: Row) -> bool:
            return row["metric"] == "accuracy" and set(row["parameters"].split()) == {
                *rest.split(),
                f"epsilon={epsilon}",
            }

        attacked = [row for row in rows if inside(row) and row["attack"] != "worst_case"]
        columns = self._sorted_columns(attacked)
        labels = [
            SEPARATOR.join((self._setting_title(setting, source), self.attack_title(attack)))
            for setting, source, attack, _ in columns
        ]
        # The attacks are L-infinity attacks where their parameters name no norm: that budget first.
        worst = sorted(
            (
                row
                for row in rows
                if row["attack"] == "worst_case"
                and wording.parameter(row["parameters"], "epsilon") == epsilon
            ),
            key=lambda row: wording.parameter(row["parameters"], "norm") != "linf",
        )
        body = []
        for model in models:
            own = {self._column(row): row for row in attacked if row["model"] == model.name}
            clean = [
                r
                for r in rows
                if r["model"] == model.name and r["attack"] == "none" and r["metric"] == "accuracy"
            ]
            cells = [[self.number(row) for row in clean[:1]]]
            cells += [[self.number(own[column])] if column in own else [] for column in columns]
            cells.append([self.number(row) for row in worst if row["model"] == model.name][:1])
            if any(cells[1:]):
                body.append((model.title, _small_print(model), cells))
        budget = wording.parameters(f"{rest} epsilon={epsilon}".strip())
        return Grid(
            f"matrix-{dataset}-{budget.replace(' ', '')}",
            f"{budget} on {wording.dataset(dataset)}",
            f"Accuracy in percent [95 % interval] at {budget} on {wording.dataset(dataset)}.",
            levels(["No attack", *labels, "Worst case per image"], [Heading("Defense", sort=0)]),
            body,
            frozenset(1 + position for position in _changes(columns)),
            worst=True,
        )

    def _free_matrix(self, dataset: str, models: Sequence[Model], rows: Sequence[Row]) -> Grid | None:
        free = [
            row
            for row in rows
            if row["attack"] not in ("none", "worst_case", WORST_UNBOUNDED)
            and row["metric"] in ("accuracy", "l2_mean")
            and wording.parameter(row["parameters"], "epsilon") is None
        ]
        if not free:
            return None
        worst = {row["model"]: row for row in rows if row["attack"] == WORST_UNBOUNDED}
        columns = self._sorted_columns(free)
        labels = [
            SEPARATOR.join(
                (
                    self._setting_title(s, source),
                    f"{self.attack_title(a)}, {wording.parameters(p)}".strip(", "),
                )
            )
            for s, source, a, p in columns
        ]
        body = []
        for model in models:
            own: dict[tuple[str, ...], list[Number]] = {}
            for row in sorted((r for r in free if r["model"] == model.name), key=lambda r: r["metric"]):
                number = self.number(row)
                if row["metric"] != "accuracy":
                    number = replace(number, text=f"L2 {number.text}")
                own.setdefault(self._column(row), []).append(number)
            if own:
                cells = [own.get(column, []) for column in columns]
                cells.append([self.number(worst[model.name])] if model.name in worst else [])
                body.append((model.title, _small_print(model), cells))
        return Grid(
            f"matrix-{dataset}-free",
            f"Attacks without a budget on {wording.dataset(dataset)}",
            f"Accuracy in percent [95 % interval] on {wording.dataset(dataset)}, and below it the mean L2 "
            "distance of the successful examples: without an ε accuracy depends on how far an attack may go. The "
            "last column counts an image only if none of these attacks fooled it, with any of their parameters; "
            "they are no part of the worst case of a budget.",
            levels([*labels, "Worst case per image"], [Heading("Defense", sort=0)]),
            body,
            frozenset(_changes(columns)),
            worst=True,
        )

    # Sources against targets.

    def transfers(self, apart: Container[tuple[str, str, str]] = ()) -> list[Grid]:
        """Return, per data set, sources and attacks at their largest budget against targets.

        apart: data set, attack and parameters of what is shown elsewhere.
        """
        accuracies = [
            row
            for row in self.data.summary
            if row["metric"] == "accuracy" and (row["dataset"], row["attack"], row["parameters"]) not in apart
        ]
        grids = []
        for dataset in dict.fromkeys(model.dataset for model in self.data.models):
            own = [row for row in accuracies if row["dataset"] == dataset]
            moved = [
                row
                for row in own
                if row["attack"] != "none" and (row["setting"] == "black_box" or _by_one_member(row))
            ]
            largest: dict[str, str] = {}
            for row in moved:
                if _numbers(row["parameters"]) >= _numbers(largest.get(row["attack"], "")):
                    largest[row["attack"]] = row["parameters"]
            shown = {
                (row["source"], row["attack"], row["model"]): row
                for row in moved
                if row["parameters"] == largest[row["attack"]]
            }
            sources = {source for source, _, _ in shown}
            for row in own:
                home = row["setting"] == "white_box" and row["source"] in ("", row["model"])
                home = home and row["parameters"] == largest.get(row["attack"])
                if home and row["model"] in sources:
                    shown[row["model"], row["attack"], row["model"]] = row
            if shown:
                grids.append(self._transfer(dataset, largest, shown))
        return grids

    def _transfer(
        self, dataset: str, largest: Mapping[str, str], shown: Mapping[tuple[str, str, str], Row]
    ) -> Grid:
        reached = {target for _, _, target in shown}
        targets = [model for model in self.data.models if model.name in reached]
        body = []
        for attack in sorted(largest, key=lambda name: self._order.get(name, len(self._order))):
            title = f"{self.attack_title(attack)}, {wording.parameters(largest[attack])}".strip(", ")
            for source in self.data.models:
                rows = [shown.get((source.name, attack, target.name)) for target in targets]
                if any(rows):
                    cells = [[self.number(row)] if row else [] for row in rows]
                    body.append((title, f"made on {source.title}", cells))
        return Grid(
            f"transfer-{dataset}",
            f"Transfer on {wording.dataset(dataset)}",
            "Accuracy in percent of each target (columns) on images made on a source (rows), "
            f"{wording.dataset(dataset)}. Where source and target are one model, the attack is white-box.",
            levels([model.title for model in targets], [Heading("Attack and source", sort=0)]),
            body,
        )


def _changes(columns: Sequence[tuple[str, ...]]) -> list[int]:
    """Return the positions at which setting or source differ from the column before."""
    return [i for i, column in enumerate(columns) if i == 0 or column[:2] != columns[i - 1][:2]]


def _by_one_member(row: Row) -> bool:
    """Say whether the images were made on one named member of the ensemble that they are shown to."""
    return row["setting"] == "white_box" and row["source"] not in ("", row["model"], *wording.SOURCES)


def _small_print(model: Model) -> str:
    return ", ".join(
        (
            wording.defense(model.defense),
            wording.training(model.training),
            wording.architecture(model.architecture),
        )
    )


def _numbers(parameters: str) -> tuple[float, ...]:
    found = []
    for item in parameters.split():
        _, _, value = item.partition("=")
        try:
            found.append(float(value))
        except ValueError:
            continue
    return tuple(found)
