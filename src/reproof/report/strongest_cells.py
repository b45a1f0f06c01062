"""What the papers' tables get beside their own cells: what is left under the strongest attack of the study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reproof import wording
from reproof.claims.claim import Claim
from reproof.report.cards import Cards
from reproof.report.contents import MeasuredRow
from reproof.report.judged_claims import JudgedClaims
from reproof.report.numbers import LinkedNumber


@dataclass(frozen=True)
class StrongestCell:
    """What is left of one network under every attack of the study within one budget."""

    number: LinkedNumber
    label: str
    """Which budget, or which network, where the cell's neighbours in its row or column have several."""


class StrongestCells:
    """Finds what stands at the end of a line of claims, making cards for it."""

    def __init__(self, cards: Cards, judged: JudgedClaims, titles: Mapping[str, str]):
        self._cards = cards
        self._judged = judged
        self._titles = titles

    def of_groups(
        self,
        rows: Sequence[Sequence[str]],
        columns: Sequence[str],
        cells: Mapping[tuple[str, str], Claim],
        prose: bool,
    ) -> tuple[list[list[list[StrongestCell]]], list[list[list[StrongestCell]]]]:
        """Return, group by group, the last cell of each row, and the cells of a last row; one of the two is empty.

        Papers print a network with one budget either along a row or down a group's column; the new cells stand
        at the end of whichever has fewer of them. What several groups have in common stands below the last of them.
        A table without a measured budget gets none. rows: the labels of each group's rows.
        """
        across = [
            [[cells[row, column] for column in columns if (row, column) in cells] for row in names]
            for names in rows
        ]
        down = [
            [[cells[row, column] for row in names if (row, column) in cells] for column in columns]
            for names in rows
        ]
        widest = max((len(self._budgets(line)) for group in across for line in group), default=0)
        longest = max((len(self._budgets(line)) for group in down for line in group), default=0)
        if widest > 0 and (prose or widest <= longest):
            return [[self._of_line(line) for line in group] for group in across], []
        below = [[self._of_line(line) for line in group] for group in down]
        told: list[list[StrongestCell]] = []
        for position in reversed(range(len(below))):
            if not any(below[position]) or below[position] == told:
                below[position] = []
            told = below[position] or told
        return [], below

    def _budgets(self, claims: Iterable[Claim]) -> dict[tuple[str, str], MeasuredRow]:
        """Return model and epsilon of every measured accuracy in a budget, each once, with what is left there."""
        found: dict[tuple[str, str], MeasuredRow] = {}
        for claim in claims:
            if claim.epsilon and claim.metric == "accuracy" and (left := self._judged.strongest(claim)):
                found.setdefault((left.model, claim.epsilon), left)
        return found

    def _of_line(self, claims: Sequence[Claim]) -> list[StrongestCell]:
        budgets = self._budgets(claims)
        several_epsilons = len({claim.epsilon for claim in claims if claim.epsilon}) > 1
        several_models = len({model for model, _ in budgets}) > 1
        unit = next((claim.unit for claim in claims if claim.epsilon), "percent")
        found = []
        for (model, epsilon), row in budgets.items():
            words = [wording.parameters(f"epsilon={epsilon}")] if several_epsilons else []
            words += [self._titles.get(model, model)] if several_models else []
            found.append(StrongestCell(self._number(row, unit), ", ".join(words)))
        return found

    def _number(self, row: MeasuredRow, unit: str) -> LinkedNumber:
        after = "" if unit == "percent" else wording.UNITS["percent"][1]
        card = self._cards.of_summary(row)
        return card.number(row.value, row.low, row.high, "percent", after)
