"""The red flags: a table of models and checks, and a sentence with its numbers for each check of each model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reproof import csv_tables
from reproof.diagnostics.sanity_check import CHECKS, TOO_COARSE, Power, State, state
from reproof.report.cards import Card, slug
from reproof.report.contents import rows
from reproof.report.hampered import by_run, hampered
from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section("flags", "Hampered attacks", order=46, heading="Red flags: which attacks were hampered")
STATES: Mapping[State, str] = {
    "raised": "⚑",
    "too few images to tell": "?",
    "passed": "✓",
    "not checked": "○",
}
"""What a check found -> its sign; raised ones are told first."""
USUAL = 0.5
"""A check that more than this share of the models fail, of those that it could be made of, is told once for all."""
FEW = 3
"""Fewer models than this are told one by one."""
REASONS = {
    "more_steps": "The papers’ attacks are short, most of them ten steps: a longer one finds more, and the worst case "
    "has it.",
    "unmoved_images": "At its smallest parameter an attack may move nothing: there it measures accuracy without an "
    "attack, and no worst case rests on it.",
}
"""Why a check that most models fail is no alarm by itself."""


@dataclass(frozen=True)
class Check:
    """One check of one model."""

    id: str
    gate: str
    words: str
    """What an honest model shows."""
    sentence: str
    """What was found, with its numbers."""
    noticed: str
    """Of one that was made and not raised: how large a difference it would have noticed."""
    state: State

    @property
    def sign(self) -> str:
        """Return the sign of what it found."""
        return STATES[self.state]


@dataclass(frozen=True)
class ModelChecks:
    """All checks of one model."""

    id: str
    title: str
    card: Card
    cells: tuple[Check | None, ...]
    """Under the table's columns; None where a check was not stored."""
    checks: tuple[Check, ...]
    """Raised ones first, unchecked last."""
    counts: tuple[tuple[str, str, int], ...]
    """State, sign, and how many checks: those that there are."""
    raised: int


@dataclass(frozen=True)
class UsualFlag:
    """A check that most models fail."""

    heading: str
    words: str
    raised: int
    checked: int
    """Of how many models it could be made."""
    reason: str


@dataclass(frozen=True)
class RareFlag:
    """A check that few models fail, and one that does."""

    title: str
    check: Check


@dataclass(frozen=True)
class FlagTable:
    """The section's table and its details."""

    columns: tuple[tuple[str, str, int], ...]
    """A check's heading, what an honest model shows, and of how many models it is raised."""
    models: tuple[ModelChecks, ...]
    """In the study's order."""
    raised: int
    """How many models have a flag."""
    too_coarse: int
    """Points above which a difference that may go unnoticed is too large."""
    usual: tuple[UsualFlag, ...]
    rare: tuple[RareFlag, ...]
    """The rarest check first."""


def build(shared: Shared) -> dict[str, Any]:
    """Return the checks of every model, and the attacks that they show to have been hampered, in every run."""
    index = hampered(shared.data)
    return {"flags": flag_table(shared), "hampered": index, "by_run": by_run(index, FEW)}


def flag_table(shared: Shared) -> FlagTable:
    """Return the checks by model, in the study's order, and by gate, in the order stored."""
    flags = shared.data.flags
    found = csv_tables.RED_FLAGS.rows(flags)
    flags = flags.assign(state=[state(row["raised"], row["detectable"]) for row in found])
    order = [name for name in shared.data.titles if (flags["model"] == name).any()]
    order += [name for name in flags["model"].unique() if name not in order]
    raised = flags[flags["state"] == "raised"]
    gates = list(flags["gate"].unique())
    columns = tuple(
        (
            CHECKS[gate].heading if gate in CHECKS else gate,
            shared.data.gates.get(gate, gate),
            int((raised["gate"] == gate).sum()),
        )
        for gate in gates
    )
    models = tuple(_model(shared, flags[flags["model"] == name], name, gates) for name in order)
    usual = [one for gate in gates if (one := _usual(shared, gate, flags[flags["gate"] == gate]))]
    said = {one.words for one in usual}
    counts = raised["gate"].value_counts()
    rare = [
        RareFlag(model.title, check)
        for model in models
        for check in model.checks
        if check.state == "raised" and check.words not in said
    ]
    return FlagTable(
        columns,
        models,
        raised["model"].nunique(),
        round(100 * TOO_COARSE),
        tuple(usual),
        tuple(sorted(rare, key=lambda one: counts[one.check.gate])),
    )


def _usual(shared: Shared, gate: str, found: pd.DataFrame) -> UsualFlag | None:
    """Return a check that most models fail, and not a few alone; None of any other."""
    checked = int((found["state"] != "not checked").sum())
    raised = int((found["state"] == "raised").sum())
    if raised < FEW or raised <= USUAL * checked:
        return None
    heading = CHECKS[gate].heading if gate in CHECKS else gate
    return UsualFlag(heading, shared.data.gates.get(gate, gate), raised, checked, REASONS.get(gate, ""))


def _model(shared: Shared, flags: pd.DataFrame, name: str, gates: list[str]) -> ModelChecks:
    words = shared.data.gates
    checks = {
        row.gate: Check(
            slug("flag", name, row.gate),
            row.gate,
            words.get(row.gate, row.gate),
            row.evidence,
            _noticed(row),
            row.state,
        )
        for row in rows(flags)
    }
    counts = flags["state"].value_counts()
    raised = int(counts.get("raised", 0))
    return ModelChecks(
        slug("flags", name),
        shared.data.titles.get(name, name),
        shared.cards.of_flags(name, flags),
        tuple(checks.get(gate) for gate in gates),
        tuple(sorted(checks.values(), key=lambda check: list(STATES).index(check.state))),
        tuple((state, sign, int(counts[state])) for state, sign in STATES.items() if state in counts),
        raised,
    )


def _noticed(row: Any) -> str:
    """Return what a check that was not raised would have noticed; nothing of others."""
    if row.state in ("raised", "not checked") or pd.isna(row.detectable):
        return ""
    return Power(row.detectable, row.images).words
