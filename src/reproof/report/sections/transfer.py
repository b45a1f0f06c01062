"""Images made on one network and shown to another: matrices of sources and targets, and fooling sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reproof import wording
from reproof.figures import parameters
from reproof.report.cards import slug, source_title
from reproof.report.contents import MeasuredRow, ReportData, ShownModel, rows
from reproof.report.grids import Grid, Grids, Heading, levels
from reproof.report.numbers import LinkedNumber
from reproof.report.section import Section
from reproof.report.shared import Shared
from reproof.settings.table_words import WORST_CASE as WORST
from reproof.settings.table_words import WORST_IN_SETTING

SECTION = Section(
    "transfer", "Transfer", order=50, folded=True, heading="Transfer between models", needs=("moved",)
)
WIDE = 8
"""So many targets stand in columns, as in the paper; of more, targets stand in rows."""
TRUE, ADVERSARIAL = "fooling_set_clean_accuracy", "fooling_set_accuracy"
Experiment = tuple[str, str, str]
"""Data set, attack and parameters."""


@dataclass(frozen=True)
class MatrixCell:
    """What a target does with a source's images; `own`: source and target are one model, the attack is white-box."""

    number: LinkedNumber | None
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
    rows: list[tuple[str, list[MatrixCell]]]
    starts: frozenset[int] = frozenset()
    """Positions of the cells before which another source begins."""


def build(shared: Shared) -> dict[str, Any]:
    """Return matrices of several sources, fooling sets, and a grid of what was made on one source."""
    found = Transfers(shared.data, shared.grids)
    return {
        "matrices": found.matrices(),
        "fooling_sets": found.fooling_sets(),
        "single_sources": found.single_sources(),
    }


class Transfers:
    """Builds the matrices from the summary, making cards for what they show."""

    def __init__(self, data: ReportData, grids: Grids):
        self._data = data
        self._grids = grids
        self._place = {model.name: position for position, model in enumerate(data.models)}

    def matrices(self) -> list[Matrix]:
        """Return one matrix per data set, attack and parameters that were made on two sources or more.

        A model that is a source stands among the targets too, where it was attacked white-box: the diagonal.
        """
        found = []
        for experiment, moved, made in self._of_several_sources():
            own = made[_white_box(made) & made["model"].isin(moved["source"])]
            found.append(self._matrix(experiment, self._sources(moved), pd.concat([moved, own])))
        return found

    def shown(self) -> set[Experiment]:
        """Return what the matrices are about."""
        return {experiment for experiment, _, _ in self._of_several_sources()}

    def fooling_sets(self) -> list[Matrix]:
        """Return one table per data set, attack and parameters: targets, and a pair of columns per source.

        Laid out like Seiler 2020, Tables II and III: accuracy on the clean images of the set, and on their
        adversarial ones, each with its count; only images that fool all the sources are in a set.
        """
        clean = {
            (experiment, row.source, row.model): row
            for experiment, made in self._experiments(TRUE)
            for row in rows(made)
        }
        found = []
        for experiment, made in self._experiments(ADVERSARIAL):
            sources = self._sources(made)
            cells = {(experiment, row.source, row.model): row for row in rows(made)}
            body = []
            for target in self._targets(made):
                places = [(experiment, source, target.name) for source in sources]
                line = [self._counted(half.get(place)) for place in places for half in (clean, cells)]
                body.append((target.title, line))
            title = self._title(experiment)
            found.append(
                Matrix(
                    slug("fooling", *experiment),
                    title,
                    f"Accuracy in percent [95 % interval] on the images that fool all models of a source: clean (true) "
                    f"and adversarial (adv.), with the count. {title}.",
                    _pairs([self._source(source) for source in sources]),
                    body,
                    frozenset(range(0, 2 * len(sources), 2)),
                )
            )
        return found

    def _experiments(self, metric: str) -> Iterator[tuple[Experiment, pd.DataFrame]]:
        """Yield what a metric was measured of, with its rows, in the order of the study's attacks."""
        summary = self._data.summary
        made = summary[
            (summary["metric"] == metric) & ~summary["attack"].isin(["none", WORST, WORST_IN_SETTING])
        ]
        groups: dict[Any, pd.DataFrame] = dict(
            list(made.groupby(["dataset", "attack", "parameters"], sort=False))
        )

        def order(key: Experiment) -> tuple[Any, ...]:
            return key[0], self._grids.place_of(key[1]), key[1], parameters.largest_first(key[2])

        for experiment in sorted(groups, key=order):
            yield experiment, groups[experiment]

    def _of_several_sources(self) -> Iterator[tuple[Experiment, pd.DataFrame, pd.DataFrame]]:
        for experiment, made in self._experiments("accuracy"):
            moved = made[made["setting"] == "black_box"]
            if moved["source"].nunique() > 1:
                yield experiment, moved, made

    def _matrix(self, experiment: Experiment, sources: Sequence[str], made: pd.DataFrame) -> Matrix:
        targets = self._targets(made)
        cells = {(row.source or row.model, row.model): row for row in rows(made)}

        def cell(source: str, target: ShownModel) -> MatrixCell:
            row = cells.get((source, target.name))
            return MatrixCell(self._grids.number(row) if row else None, own=source == target.name)

        title = self._title(experiment)
        across = len(targets) <= WIDE
        if across:
            lines = [(self._source(s), [cell(s, t) for t in targets]) for s in sources]
        else:
            lines = [(t.title, [cell(s, t) for s in sources]) for t in targets]
        corner = "Made on (rows), shown to (columns)" if across else "Shown to (rows), made on (columns)"
        names = [t.title for t in targets] if across else [self._source(s) for s in sources]
        return Matrix(
            slug("transfer", *experiment),
            title,
            f"Accuracy in percent [95 % interval] of each target on images made on each source. {title}. "
            "Underlined: source and target are one model, the attack is white-box.",
            [[Heading(name, sort=place) for place, name in enumerate([corner, *names])]],
            lines,
        )

    def _targets(self, made: pd.DataFrame) -> list[ShownModel]:
        reached = set(made["model"])
        return [model for model in self._data.models if model.name in reached]

    def _sources(self, made: pd.DataFrame) -> list[str]:
        """Return the sources: single models before groups, each in the order of the study."""

        def rank(source: str) -> tuple[int, tuple[int, ...], str]:
            names = source.split("+")
            return len(names), tuple(self._place.get(name, len(self._place)) for name in names), source

        return sorted(made["source"].unique(), key=rank)

    def _counted(self, row: MeasuredRow | None) -> MatrixCell:
        if row is None:
            return MatrixCell(None)
        return MatrixCell(self._grids.number(row), count=f"{row.correct} of {row.total}")

    def _source(self, source: str) -> str:
        names = source.split("+")
        words = source_title(source, self._data.titles)
        return f"{len(names)} models together: {words}" if len(names) > 1 else words

    def _title(self, experiment: Experiment) -> str:
        dataset, attack, text = experiment
        words = self._grids.cards.attack_title(attack)
        if text:
            words += f" at {wording.parameters(text)}"
        return f"{words} on {wording.dataset(dataset)}"

    # Made on one source only.

    def single_sources(self) -> list[Grid]:
        """Return, per data set, sources and attacks at their largest budget against targets.

        What the matrices show is left out.
        """
        summary = self._data.summary[self._data.summary["metric"] == "accuracy"]
        experiments = zip(summary["dataset"], summary["attack"], summary["parameters"], strict=True)
        shown = self.shown()
        summary = summary[[experiment not in shown for experiment in experiments]]
        moved = self._data.moved.loc[lambda frame: frame.index.isin(summary.index)]
        grids = []
        for dataset in dict.fromkeys(model.dataset for model in self._data.models):
            here = moved[moved["dataset"] == dataset]
            if here.empty:
                continue
            budgets = here.groupby("attack")["parameters"].agg(
                lambda texts: max(texts, key=parameters.numbers)
            )
            here = here[here["parameters"] == here["attack"].map(budgets)]
            home = summary[_white_box(summary) & summary["model"].isin(here["source"])]
            home = home[(home["dataset"] == dataset) & (home["parameters"] == home["attack"].map(budgets))]
            grids.append(
                self._grid(
                    dataset, {str(attack): text for attack, text in budgets.items()}, pd.concat([here, home])
                )
            )
        return grids

    def _grid(self, dataset: str, budgets: dict[str, str], made: pd.DataFrame) -> Grid:
        """Return sources and attacks against targets. budgets: attack -> the parameters that are shown of it."""
        targets = self._targets(made)
        cells = {(row.source or row.model, row.attack, row.model): row for row in rows(made)}
        body = []
        for attack in sorted(budgets, key=self._grids.place_of):
            title = f"{self._grids.cards.attack_title(attack)}, {wording.parameters(budgets[attack])}".strip(
                ", "
            )
            for source in self._data.models:
                found = [cells.get((source.name, attack, target.name)) for target in targets]
                if any(found):
                    line = [[self._grids.number(row)] if row else [] for row in found]
                    body.append((title, f"made on {source.title}", line))
        return Grid(
            f"transfer-{dataset}",
            f"Transfer on {wording.dataset(dataset)}",
            "Accuracy in percent of each target (columns) on images made on a source (rows), "
            f"{wording.dataset(dataset)}. Where source and target are one model, the attack is white-box.",
            levels([model.title for model in targets], [Heading("Attack and source", sort=0)]),
            body,
        )


def _white_box(frame: pd.DataFrame) -> pd.Series[bool]:
    own = (frame["source"] == "") | (frame["source"] == frame["model"])
    return (frame["setting"] == "white_box") & own


def _pairs(sources: Sequence[str]) -> list[list[Heading]]:
    """Return two header rows: a source over a pair of columns."""
    first = [Heading("Target", 1, 2, 0), *(Heading(source, 2) for source in sources)]
    second = [
        Heading(words, sort=1 + 2 * position + side)
        for position in range(len(sources))
        for side, words in enumerate(("True", "Adv."))
    ]
    return [first, second]
