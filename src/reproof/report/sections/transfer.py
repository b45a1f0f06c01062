"""Images made on one network and shown to another: matrices of sources and targets, and fooling sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reproof import wording
from reproof.report.cards import Cards, slug, source_title
from reproof.report.contents import Model, ReportData, Row
from reproof.report.sections.grids import Grids, Heading, Number

WIDE = 8
"""So many targets stand in columns, as in the paper; of more, targets stand in rows."""
TRUE, ADVERSARIAL = "fooling_set_clean_accuracy", "fooling_set_accuracy"


@dataclass(frozen=True)
class Cell:
    """What a target does with a source's images; `own`: source and target are one model, the attack is white-box."""

    number: Number | None
    own: bool = False
    count: str = ""
    """How many images were right of how many: `31 of 37`."""


@dataclass(frozen=True)
class Matrix:
    """A table of sources and targets under one attack."""

    id: str
    title: str
    caption: str
    headings: list[list[Heading]]
    rows: list[tuple[str, list[Cell]]]
    starts: frozenset[int] = frozenset()
    """Positions of the cells before which another source begins."""


class Transfers:
    """Builds the matrices from the rows of summary.csv, making cards for what they show."""

    def __init__(self, data: ReportData, cards: Cards, grids: Grids):
        self._data = data
        self._cards = cards
        self._grids = grids
        self._titles = {model.name: model.title for model in data.models}
        self._order = {attack.name: position for position, attack in enumerate(data.attacks)}
        self._place = {model.name: position for position, model in enumerate(data.models)}

    def matrices(self) -> list[Matrix]:
        """Return one matrix per data set, attack and parameters that were made on two sources or more.

        A model that is a source stands among the targets too, where it was attacked white-box: the diagonal.
        """
        found = []
        for dataset, attack, parameters, rows in self._groups("accuracy"):
            moved = [row for row in rows if row["setting"] == "black_box"]
            sources = sorted({row["source"] for row in moved}, key=self._rank)
            if len(sources) > 1:
                own = [row for row in rows if _white_box(row) and row["model"] in sources]
                found.append(self._matrix(dataset, attack, parameters, sources, [*moved, *own]))
        return found

    def shown(self) -> frozenset[tuple[str, str, str]]:
        """Return data set, attack and parameters of the matrices."""
        return frozenset(
            (dataset, attack, parameters)
            for dataset, attack, parameters, rows in self._groups("accuracy")
            if len({row["source"] for row in rows if row["setting"] == "black_box"}) > 1
        )

    def fooling_sets(self) -> list[Matrix]:
        """Return one table per data set, attack and parameters: targets, and a pair of columns per source.

        Laid out like Seiler 2020, Tables II and III: accuracy on the clean images of the set, and on their
        adversarial ones, each with its count; only images that fool all the sources are in a set.
        """
        clean = {(*key[:3], _pair(row)): row for *key, rows in self._groups(TRUE) for row in rows}
        found = []
        for dataset, attack, parameters, rows in self._groups(ADVERSARIAL):
            sources = sorted({row["source"] for row in rows}, key=self._rank)
            cells = {_pair(row): row for row in rows}
            body = []
            for target in self._targets(rows):
                line = []
                for source in sources:
                    pair = (source, target.name)
                    line += [self._counted(clean.get((dataset, attack, parameters, pair)))]
                    line += [self._counted(cells.get(pair))]
                body.append((target.title, line))
            title = self._title(dataset, attack, parameters)
            found.append(
                Matrix(
                    slug("fooling", dataset, attack, parameters),
                    title,
                    f"Accuracy in percent [95 % interval] on the images that fool all models of a source: clean (true) "
                    f"and adversarial (adv.), with the count. {title}.",
                    _pairs([self._source(source) for source in sources]),
                    body,
                    frozenset(range(0, 2 * len(sources), 2)),
                )
            )
        return found

    def _groups(self, metric: str) -> list[tuple[str, str, str, list[Row]]]:
        """Return data set, attack, parameters and rows of a metric, in the order of the study's attacks."""
        groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
        for row in self._data.summary:
            if row["metric"] == metric and row["attack"] not in ("none", "worst_case"):
                groups[row["dataset"], row["attack"], row["parameters"]].append(row)
        order = sorted(
            groups,
            key=lambda key: (
                key[0],
                self._order.get(key[1], len(self._order)),
                key[1],
                _largest_first(key[2]),
            ),
        )
        return [(*key, groups[key]) for key in order]

    def _matrix(
        self, dataset: str, attack: str, parameters: str, sources: Sequence[str], rows: Sequence[Row]
    ) -> Matrix:
        targets = self._targets(rows)
        cells = {(row["source"] or row["model"], row["model"]): row for row in rows}
        title = self._title(dataset, attack, parameters)
        across = len(targets) <= WIDE
        lines: list[tuple[str, list[Cell]]]
        if across:
            lines = [(self._source(s), [self._cell(cells, s, t) for t in targets]) for s in sources]
        else:
            lines = [(t.title, [self._cell(cells, s, t) for s in sources]) for t in targets]
        corner = "Made on (rows), shown to (columns)" if across else "Shown to (rows), made on (columns)"
        names = [t.title for t in targets] if across else [self._source(s) for s in sources]
        headings = [Heading(name, sort=place) for place, name in enumerate([corner, *names])]
        return Matrix(
            slug("transfer", dataset, attack, parameters),
            title,
            f"Accuracy in percent [95 % interval] of each target on images made on each source. {title}. "
            "Underlined: source and target are one model, the attack is white-box.",
            [headings],
            lines,
        )

    def _targets(self, rows: Sequence[Row]) -> list[Model]:
        reached = {row["model"] for row in rows}
        return [model for model in self._data.models if model.name in reached]

    def _cell(self, cells: Mapping[tuple[str, str], Row], source: str, target: Model) -> Cell:
        row = cells.get((source, target.name))
        return Cell(self._grids.number(row) if row else None, own=source == target.name)

    def _counted(self, row: Row | None) -> Cell:
        if row is None:
            return Cell(None)
        return Cell(self._grids.number(row), count=f"{row['correct']} of {row['total']}")

    def _rank(self, source: str) -> tuple[int, tuple[int, ...], str]:
        """Return an order in which single models come before groups, each in the order of the study."""
        names = source.split("+")
        return len(names), tuple(self._place.get(name, len(self._place)) for name in names), source

    def _source(self, source: str) -> str:
        names = source.split("+")
        words = source_title(source, self._titles)
        return f"{len(names)} models together: {words}" if len(names) > 1 else words

    def _title(self, dataset: str, attack: str, parameters: str) -> str:
        words = self._grids.attack_title(attack)
        if parameters:
            words += f" at {wording.parameters(parameters)}"
        return f"{words} on {wording.dataset(dataset)}"


def _white_box(row: Row) -> bool:
    return row["setting"] == "white_box" and row["source"] in ("", row["model"])


def _pair(row: Row) -> tuple[str, str]:
    return row["source"], row["model"]


def _pairs(sources: Sequence[str]) -> list[list[Heading]]:
    """Return two header rows: a source over a pair of columns."""
    first = [Heading("Target", 1, 2, 0), *(Heading(source, 2) for source in sources)]
    second = [
        Heading(words, sort=1 + 2 * position + side)
        for position in range(len(sources))
        for side, words in enumerate(("True", "Adv."))
    ]
    return [first, second]


def _largest_first(parameters: str) -> tuple[float, str]:
    """Return an order in which larger budgets come first, and more decibels, which are smaller budgets, last."""
    value = wording.number(parameters.rpartition("=")[2]) if "=" in parameters else None
    name = parameters.partition("=")[0]
    return ((value or 0.0) if name == "psnr" else -(value or 0.0)), parameters
