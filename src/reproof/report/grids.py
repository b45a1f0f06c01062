"""Tables of measurements: the cells that several sections lay out, and every defense against every attack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from reproof import wording
from reproof.claims.vocabulary import SEPARATOR
from reproof.figures import parameters
from reproof.report import numbers
from reproof.report.cards import Cards, source_title
from reproof.report.contents import MeasuredRow, ReportData, ShownModel, by_one_member, rows
from reproof.report.numbers import LinkedNumber
from reproof.settings.table_words import WORST_CASE as WORST
from reproof.settings.table_words import WORST_IN_SETTING, WORST_UNBOUNDED

COLUMN = ["setting", "source", "attack", "parameters"]
"""What makes a column of a grid."""
Column = tuple[str, ...]
"""Their values."""
Cells = dict[tuple[str, Column], list[MeasuredRow]]


@dataclass(frozen=True)
class Heading:
    """A header cell."""

    text: str
    columns: int = 1
    rows: int = 1
    sort: int | None = None
    """Position in the row of the cells that this heading sorts by; None where it sorts nothing."""


@dataclass(frozen=True)
class Grid:
    """A table of numbers: a row per model."""

    id: str
    title: str
    caption: str
    headings: list[list[Heading]]
    rows: list[tuple[str, str, list[list[LinkedNumber]]]]
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
    lines: list[list[Heading]] = [[] for _ in range(depth)]
    lines[0] += [Heading(heading.text, 1, depth, heading.sort) for heading in first]
    position = 0
    while position < len(paths):
        path = paths[position]
        if len(path) == 1:
            lines[0].append(Heading(path[0], 1, depth, len(first) + position))
            position += 1
            continue
        end = position
        while end < len(paths) and len(paths[end]) > 1 and paths[end][0] == path[0]:
            end += 1
        lines[0].append(Heading(path[0], end - position))
        for inner in range(position, end):
            rest = SEPARATOR.join(paths[inner][1:])
            lines[1].append(Heading(rest, 1, depth - 1, len(first) + inner))
        position = end
    return [line for line in lines if line]


UNSETTLED = {
    "failed_majorities": (
        "Failed majorities",
        "Number of images [95 % interval] on which an ensemble's members elect no class",
    ),
}
"""A metric of images without a decision -> its table's title and caption."""


class Grids:
    """Builds the tables, making cards for what they show."""

    def __init__(self, data: ReportData, cards: Cards):
        self.data = data
        self.cards = cards
        self._order = {attack.name: position for position, attack in enumerate(data.attacks)}

    def number(self, row: MeasuredRow) -> LinkedNumber:
        """Return a row of the summary as a number with its card."""
        card = self.cards.of_summary(row)
        return card.number(row.value, row.low, row.high, numbers.unit_of(row.metric))

    def by_model(self, frame: pd.DataFrame) -> dict[str, LinkedNumber]:
        """Return the number of each model's first row in a part of the summary."""
        return {row.model: self.number(row) for row in rows(frame.drop_duplicates("model"))}

    def place_of(self, attack: str) -> int:
        """Return an attack's place in the study's order; those that it does not list come last."""
        return self._order.get(attack, len(self._order))

    # Defenses against attacks.

    def matrices(self) -> list[Grid]:
        """Return, per data set, one grid for each budget and one for attacks without a budget."""
        summary = self.data.summary[~by_one_member(self.data.summary)]
        # What was made on the target itself stands in one column, whichever target that is.
        own = (summary["setting"] != "black_box") & ~summary["source"].isin(list(wording.SOURCES))
        summary = summary.assign(
            source=summary["source"].mask(own, ""),
            made_on=summary["source"],
            epsilon=summary["parameters"].map(parameters.epsilon_text),
            rest=summary["parameters"].map(parameters.without_epsilon),
        )
        grids = []
        for dataset in dict.fromkeys(model.dataset for model in self.data.models):
            models = [model for model in self.data.models if model.dataset == dataset]
            chosen = summary[summary["model"].isin([model.name for model in models])]
            grids += self._budgets(dataset, models, chosen)
            grids += self._without_budget(dataset, models, chosen)
            for metric in UNSETTLED:
                grids += self._unsettled(dataset, models, chosen, metric)
        return grids

    def _budgets(self, dataset: str, models: Sequence[ShownModel], summary: pd.DataFrame) -> list[Grid]:
        """Return a grid per budget, those with the most columns first."""
        attacked = summary[
            ~summary["attack"].isin(["none", WORST, WORST_IN_SETTING])
            & (summary["metric"] == "accuracy")
            & (summary["epsilon"] != "")
        ]
        columns = attacked[[*COLUMN, "epsilon", "rest"]].drop_duplicates()
        met = columns.groupby(["epsilon", "rest"], sort=False).size().reset_index(name="columns")
        met = met.assign(size=met["epsilon"].map(parameters.number))
        widest = met.sort_values(["columns", "size"], ascending=False, kind="stable")
        return [
            self._budget(dataset, models, summary, attacked, row.epsilon, row.rest) for row in rows(widest)
        ]

    def _budget(
        self,
        dataset: str,
        models: Sequence[ShownModel],
        summary: pd.DataFrame,
        attacked: pd.DataFrame,
        epsilon: str,
        rest: str,
    ) -> Grid:
        inside = attacked[(attacked["epsilon"] == epsilon) & (attacked["rest"] == rest)]
        columns, found = self._columns(inside), self._cells(inside)
        norm, accuracy = parameters.budget_norm(rest), summary[summary["metric"] == "accuracy"]
        worst = accuracy[(accuracy["attack"] == WORST) & (accuracy["epsilon"] == epsilon)]
        worst = worst[worst["rest"].map(parameters.budget_norm) == norm]
        clean = accuracy[accuracy["attack"] == "none"]
        first, last = (self.by_model(_as_summary(frame)) for frame in (clean, worst))
        body = []
        for model in models:
            cells = [_cell(first, model), *self._line(model, found, columns), _cell(last, model)]
            if any(cells[1:]):
                body.append((model.title, small_print(model), cells))
        labels = [
            SEPARATOR.join((self._setting_title(setting, source), self.cards.attack_title(attack)))
            for setting, source, attack, _ in columns
        ]
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

    def _without_budget(
        self, dataset: str, models: Sequence[ShownModel], summary: pd.DataFrame
    ) -> list[Grid]:
        free = summary[
            ~summary["attack"].isin(["none", WORST, WORST_IN_SETTING, WORST_UNBOUNDED])
            & summary["metric"].isin(["accuracy", "l2_mean"])
            & (summary["epsilon"] == "")
        ].sort_values("metric", kind="stable")
        if free.empty:
            return []
        worst = summary[(summary["attack"] == WORST_UNBOUNDED) & (summary["metric"] == "accuracy")]
        last = self.by_model(_as_summary(worst))
        columns, found = self._columns(free), self._cells(free)
        body = [
            (model.title, small_print(model), [*self._line(model, found, columns), _cell(last, model)])
            for model in models
            if (free["model"] == model.name).any()
        ]
        grid = Grid(
            f"matrix-{dataset}-free",
            f"Attacks without a budget on {wording.dataset(dataset)}",
            f"Accuracy in percent [95 % interval] on {wording.dataset(dataset)}, and below it the mean L2 "
            "distance of the successful examples: without an ε accuracy depends on how far an attack may go. The "
            "last column counts an image only if none of these attacks fooled it, with any of their parameters; "
            "they are no part of the worst case of a budget.",
            levels([*map(self._label, columns), "Worst case per image"], [Heading("Defense", sort=0)]),
            body,
            frozenset(_changes(columns)),
            worst=True,
        )
        return [grid]

    def _unsettled(
        self, dataset: str, models: Sequence[ShownModel], summary: pd.DataFrame, metric: str
    ) -> list[Grid]:
        """Return how often ensembles elect no class, without attack and under transfer."""
        found = summary[
            (summary["metric"] == metric)
            & ((summary["setting"] == "black_box") | (summary["attack"] == "none"))
        ]
        if found.empty:
            return []
        columns, cells = self._columns(found), self._cells(found)
        title, caption = UNSETTLED[metric]
        grid = Grid(
            f"matrix-{dataset}-{metric.replace('_', '-')}",
            f"{title} on {wording.dataset(dataset)}",
            f"{caption}, {wording.dataset(dataset)}.",
            levels(
                ["No attack" if column[2] == "none" else self._label(column) for column in columns],
                [Heading("Defense", sort=0)],
            ),
            [
                (model.title, small_print(model), self._line(model, cells, columns))
                for model in models
                if (found["model"] == model.name).any()
            ],
            frozenset(_changes(columns)),
            shaded=False,
        )
        return [grid]

    def _columns(self, frame: pd.DataFrame) -> list[Column]:
        """Return the columns that the rows of a frame stand in, in the page's order."""
        settings = {name: position for position, name in enumerate(wording.SETTINGS)}
        found = frame[COLUMN].drop_duplicates().itertuples(index=False, name=None)
        return sorted(
            found,
            key=lambda c: (
                settings.get(c[0], len(settings)),
                c[1],
                self.place_of(c[2]),
                c[2],
                parameters.numbers(c[3]),
            ),
        )

    def _cells(self, frame: pd.DataFrame) -> Cells:
        """Return what stands in each cell: model and column -> rows of the summary."""
        cells: Cells = {}
        places = frame[["model", *COLUMN]].itertuples(index=False, name=None)
        for (model, *column), row in zip(places, rows(_as_summary(frame)), strict=True):
            cells.setdefault((model, tuple(column)), []).append(row)
        return cells

    def _line(self, model: ShownModel, cells: Cells, columns: Iterable[Column]) -> list[list[LinkedNumber]]:
        """Return a model's cells under these columns; a distance is marked as one."""
        return [[self._marked(row) for row in cells.get((model.name, column), ())] for column in columns]

    def _marked(self, row: MeasuredRow) -> LinkedNumber:
        number = self.number(row)
        return replace(number, text=f"L2 {number.text}") if row.metric == "l2_mean" else number

    def _label(self, column: Column) -> str:
        setting, source, attack, text = column
        words = f"{self.cards.attack_title(attack)}, {wording.parameters(text)}".strip(", ")
        return SEPARATOR.join((self._setting_title(setting, source), words))

    def _setting_title(self, setting: str, source: str) -> str:
        title = wording.setting(setting)
        if source in wording.SOURCES:
            return f"{title}, {wording.SOURCES[source]}"
        return f"{title}, made on {source_title(source, self.data.titles)}" if source else title


def _cell(found: Mapping[str, LinkedNumber], model: ShownModel) -> list[LinkedNumber]:
    return [found[model.name]] if model.name in found else []


def _as_summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows as the summary has them, with their own source."""
    return frame.assign(source=frame["made_on"])


def _changes(columns: Sequence[Column]) -> list[int]:
    """Return the positions at which setting or source differ from the column before."""
    return [i for i, column in enumerate(columns) if i == 0 or column[:2] != columns[i - 1][:2]]


def small_print(model: ShownModel) -> str:
    """Return what a model is: its defense, what it trained on, its network."""
    return ", ".join(
        (
            wording.defense(model.defense),
            wording.training(model.training),
            wording.architecture(model.architecture),
        )
    )
