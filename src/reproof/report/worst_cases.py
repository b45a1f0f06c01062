"""What is left of each network under all attacks together within one budget, found by a claim's verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from reproof.claims.claim import Claim
from reproof.report.contents import MeasuredRow
from reproof.settings.parameters import Parameters
from reproof.settings.table_words import WORST_CASE, WORST_IN_SETTING


class WorstCases:
    """Rows of one run's summary: the worst case under all attacks, and under those of one setting."""

    def __init__(self, summary: Iterable[MeasuredRow]):
        self._rows: Mapping[tuple[str, str, str, Parameters], MeasuredRow] = {
            (row.study, row.model, row.setting, Parameters.parse(row.parameters)): row
            for row in summary
            if row.attack in (WORST_CASE, WORST_IN_SETTING) and row.metric == "accuracy"
        }

    def of(self, verdict: Any, claim: Claim) -> dict[str, MeasuredRow]:
        """Return what is left of a verdict's model within the claim's budget: by setting, the claim's and `all`."""
        epsilon = Parameters.parse(claim.parameters).number("epsilon")
        if epsilon is None:
            return {}
        budget = Parameters.of(norm="linf", epsilon=epsilon)
        judged = {claim.setting: verdict.strongest_value, "all": verdict.overall_value}
        found = {
            setting: self._rows.get((verdict.study, verdict.model, setting, budget))
            for setting, value in judged.items()
            if pd.notna(value)
        }
        return {setting: left for setting, left in found.items() if left is not None}
