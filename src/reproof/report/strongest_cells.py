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
    """Of which settings' attacks; which budget or network too, where its row or column has several."""


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
        widest = max((self._several(line) for group in across for line in group), default=0)
        longest = max((self._several(line) for group in down for line in group), default=0)
        if widest > 0 and (prose or widest <= longest):
            return [[self._of_line(line) for line in group] for group in across], []
        below = [[self._of_line(line) for line in group] for group in down]
        told: list[list[StrongestCell]] = []
        for position in reversed(range(len(below))):
            if not any(below[position]) or below[position] == told:
                below[position] = []
            told = below[position] or told
        return [], below

    def _several(self, claims: Iterable[Claim]) -> int:
        """Return how many networks and budgets were measured of some claims, whatever the setting."""
        return len({key[:2] for key in self._budgets(claims)})

    def _budgets(self, claims: Iterable[Claim]) -> dict[tuple[str, str, str], MeasuredRow]:
        """Return model, epsilon and setting of every measured accuracy in a budget, with what is left there.

        Each stands once: the claims' own settings, and `all`, of which the models' rows come last.
        """
        found: dict[tuple[str, str, str], MeasuredRow] = {}
        for claim in claims:
            if claim.epsilon and claim.metric == "accuracy":
                for setting, left in self._judged.strongest(claim).items():
                    found.setdefault((left.model, claim.epsilon, setting), left)
        return dict(sorted(found.items(), key=lambda item: item[0][2] == "all"))

    def _of_line(self, claims: Sequence[Claim]) -> list[StrongestCell]:
        budgets = self._budgets(claims)
        several_epsilons = len({claim.epsilon for claim in claims if claim.epsilon}) > 1
        several_models = len({model for model, _, _ in budgets}) > 1
        unit = next((claim.unit for claim in claims if claim.epsilon), "percent")
        found = []
        for (model, epsilon, setting), row in budgets.items():
            settings = [setting]
            if setting == "all":  # said once, where one setting leaves as little as all of them together
                same = [key for key in budgets if key[:2] == (model, epsilon) and _same(budgets[key], row)]
                settings = [name for _, _, name in same]
            elif (overall := budgets.get((model, epsilon, "all"))) is not None and _same(overall, row):
                continue
            words = [wording.listed(map(_setting, settings))]
            words += [wording.parameters(f"epsilon={epsilon}")] if several_epsilons else []
            words += [self._titles.get(model, model)] if several_models else []
            found.append(StrongestCell(self._number(row, unit), ", ".join(words)))
        return found

    def _number(self, row: MeasuredRow, unit: str) -> LinkedNumber:
        after = "" if unit == "percent" else wording.UNITS["percent"][1]
        card = self._cards.of_summary(row)
        return card.number(row.value, row.low, row.high, "percent", after)


def _setting(name: str) -> str:
    return "all settings" if name == "all" else wording.setting(name).lower()


def _same(one: MeasuredRow, other: MeasuredRow) -> bool:
    return bool((one.correct, one.total, one.value) == (other.correct, other.total, other.value))
