"""The red flags as the page shows them: a table of gates and models, and a sentence with its numbers for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reproof import wording
from reproof.report.cards import Card, Cards, slug
from reproof.report.contents import Flag, ReportData

STATES = {True: ("raised", "⚑"), False: ("passed", "✓"), None: ("not checked", "○")}
"""What a check found -> its word and its sign."""
FEW = 12
"""So many models' raised flags stand unfolded."""


@dataclass(frozen=True)
class Check:
    """One gate of one model."""

    id: str
    flag: Flag
    word: str
    sign: str


@dataclass(frozen=True)
class ModelChecks:
    """All gates of one model."""

    id: str
    title: str
    card: Card
    cells: tuple[Check | None, ...]
    """Under the table's columns; None where a gate was not stored."""
    checks: tuple[Check, ...]
    """Raised ones first, unchecked last."""
    counts: tuple[tuple[str, str, int], ...]
    """Word, sign, and how many checks: those that there are."""
    open: bool

    @property
    def raised(self) -> int:
        """Return how many flags are raised."""
        return sum(check.flag.raised is True for check in self.checks)


@dataclass(frozen=True)
class FlagView:
    """The section's table and its details."""

    columns: tuple[tuple[str, str, int], ...]
    """A gate's heading, what an honest model shows, and of how many models it is raised."""
    models: tuple[ModelChecks, ...]
    """In the study's order."""
    raised: int
    """How many models have a flag."""


def view(data: ReportData, cards: Cards) -> FlagView:
    """Return the checks by model, in the study's order, and by gate, in the order stored."""
    titles = {model.name: model.title for model in data.models}
    by_model: dict[str, dict[str, Check]] = {name: {} for name in titles}
    gates: dict[str, str] = {}
    for flag in data.flags:
        gate = flag.gate or flag.check
        gates.setdefault(gate, flag.check)
        check = Check(slug("flag", flag.model, gate), flag, *STATES[flag.raised])
        by_model.setdefault(flag.model, {})[gate] = check
    found = {name: checks for name, checks in by_model.items() if checks}
    flagged = sum(any(check.flag.raised for check in checks.values()) for checks in found.values())
    models = tuple(
        ModelChecks(
            slug("flags", name),
            titles.get(name, name),
            cards.of_flags(name, [check.flag for check in checks.values()]),
            tuple(checks.get(gate) for gate in gates),
            tuple(sorted(checks.values(), key=lambda check: list(STATES).index(check.flag.raised))),
            _counts(list(checks.values())),
            flagged <= FEW and any(check.flag.raised for check in checks.values()),
        )
        for name, checks in found.items()
    )
    columns = tuple(
        (
            wording.GATES.get(gate, gate),
            words,
            sum(gate in checks and checks[gate].flag.raised is True for checks in found.values()),
        )
        for gate, words in gates.items()
    )
    return FlagView(columns, models, flagged)


def _counts(checks: Sequence[Check]) -> tuple[tuple[str, str, int], ...]:
    counted = ((word, sign, sum(check.word == word for check in checks)) for word, sign in STATES.values())
    return tuple((word, sign, count) for word, sign, count in counted if count)
