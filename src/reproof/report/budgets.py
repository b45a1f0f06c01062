"""Which budget stands for a data set where the page has room for one: the papers' own, and what it leaves."""

from __future__ import annotations

import pandas as pd

from reproof.figures import parameters
from reproof.report.contents import ReportData
from reproof.report.grids import Grids
from reproof.report.numbers import LinkedNumber
from reproof.settings.table_words import WORST_CASE as WORST

GREY = 0.5
"""The epsilon at which every pixel can be made grey, and no image need be recognisable any more."""


class ShownBudgets:
    """The budget that is shown of each data set, and what every model keeps under all attacks within it."""

    def __init__(self, data: ReportData, grids: Grids):
        self._grids = grids
        summary = data.summary
        self._worst = summary[(summary["attack"] == WORST) & (summary["metric"] == "accuracy")]
        claims = [claim for paper in data.papers for claim in paper.claims if claim.metric == "accuracy"]
        printed = {parameters.epsilon(claim.parameters) for claim in claims}
        self.shown: dict[str, str] = {}
        """Data set -> the parameters of the worst case that is shown of it, as in the tables."""
        for dataset in dict.fromkeys(model.dataset for model in data.models):
            worst = self._worst[self._worst["dataset"] == dataset]
            if not worst.empty:
                own = {parameters.epsilon(claim.parameters) for claim in claims if claim.dataset == dataset}
                self.shown[dataset] = _best(worst, own, printed)

    def strongest(self) -> dict[str, LinkedNumber]:
        """Return, by model, what is left under every attack within its data set's shown budget."""
        return self._grids.by_model(
            self._worst[self._worst["parameters"] == self._worst["dataset"].map(self.shown)]
        )


def _best(worst: pd.DataFrame, own: set[float], printed: set[float]) -> str:
    """Return the worst case to show: the largest L-infinity budget that papers print and most models met.

    What is printed of this data set (own) comes before what is printed of others, and that before what no paper
    prints. A budget at which nothing is left of any model tells no class from another, and comes behind. From GREY
    on every image can be made grey, so that only attacks are probed: last of all.
    """
    met = worst["parameters"].value_counts(sort=False)
    left = set(worst.loc[worst["value"] > 0, "parameters"])

    def order(text: str) -> tuple[bool, bool, bool, bool, bool, bool, float]:
        size = parameters.epsilon(text)
        linf, usual = parameters.norm(text) == "linf", bool(2 * met[text] >= met.max())
        return linf, size < GREY, usual, text in left, size in own, size in printed, size

    return max(map(str, met.index), key=order)
