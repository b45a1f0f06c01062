"""Attacks that differ in their length alone: which of a study's are a shorter and a longer run of one attack.

A longer run takes more of what an attack's Settings declare to strengthen it (`strengthened_by`): steps, restarts,
queries, samples, searches. All else is the same: kind, loss, source, norm and budget, and every other setting. Attacks
without a budget are none of it: a longer one goes as far as it must, and finds nearer images rather than more.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reproof import wording
from reproof.diagnostics.comparison import Comparison, compare, may_refuse, side_of
from reproof.diagnostics.trials import Results, budget_of, kind_named, kind_of, trial_of
from reproof.measuring.outcomes import Trial
from reproof.settings.parameters import Parameters

CHECKS = ("more_steps", "more_restarts", "more_queries")
_NO_LENGTH = frozenset(("kind", "view", "step_size", "images", "random_start", "epsilons", "psnrs"))
"""Settings in which runs of one attack may differ and neither be the longer: points, images, and how a step is sized.
The point and the attack loss are compared by what the trial says of them."""
Settings = Callable[[Trial], Mapping[str, Any]]
"""Returns an attack's settings on a model; nothing where they are not known."""


@dataclass(frozen=True)
class Length:
    """How long an attack is, and what it is besides."""

    counts: Mapping[str, int]
    step_size: Any
    besides: str
    """All other settings, as JSON: equal where they are equal."""

    @property
    def cost(self) -> int:
        """Return the product of all that makes it long; a part that is left out, 0 of it, counts as the least."""
        return math.prod(max(1, count) for count in self.counts.values())

    def grows(self, other: Length) -> str | None:
        """Return the check that compares it with a longer run; None where the other one is no longer run of it."""
        if self.besides != other.besides:
            return None
        names = {*self.counts, *other.counts}
        growth = {name: other.counts.get(name, 1) - self.counts.get(name, 1) for name in names}
        more = {name for name, by in growth.items() if by > 0}
        other_steps = self.step_size != other.step_size and "steps" not in more
        if not more or min(growth.values()) < 0 or other_steps:
            return None
        if more == {"restarts"}:
            return "more_restarts"
        return "more_queries" if "queries" in more else "more_steps"


def length_of(kind: str, settings: Mapping[str, Any], parameters: str = "") -> Length | None:
    """Return how long an attack is; None where its file is gone, or nothing is known of its settings.

    parameters: those of one of its points, which stand for a setting that is swept; of another list the
    largest number counts.
    """
    strengthened_by = kind_named(kind).strengthened_by
    if not strengthened_by or not settings:
        return None
    point = Parameters.parse(parameters)
    swept = {name: float(number) for name in point.names if (number := point.number(name)) is not None}
    counts: dict[str, int] = {}
    besides: dict[str, Any] = {}
    for name, value in settings.items():
        if name in strengthened_by:
            if isinstance(value, list | tuple):
                counts[name] = int(swept.get(name, max(value)))
            elif value is not None and not isinstance(value, bool):
                counts[name] = int(value)
        elif name not in _NO_LENGTH and not (name == "constants" and "c" in swept):
            besides[name] = value
    besides["point"] = {name: value for name, value in swept.items() if name not in (*counts, "epsilon")}
    return Length(counts, settings.get("step_size"), json.dumps(besides, sort_keys=True, default=str))


def comparisons(trials: Iterable[Results], settings: Settings) -> dict[str, list[Comparison]]:
    """Return each check's comparisons: in every family of runs and budget the pair that is farthest apart in length.

    Which pair it is depends on the study alone, not on what the attacks left. The shorter one comes first. Of a model
    that may refuse an image, what is right and what is not wrong and accepted are compared each.
    """
    found: dict[str, list[Comparison]] = {check: [] for check in CHECKS}
    for _, runs in _families(trials, settings):
        pairs: dict[str, list[tuple[float, str, str, Results, Results]]] = defaultdict(list)
        for short, length in runs:
            for long, other in runs:
                if (check := length.grows(other)) is not None:
                    names = trial_of(short).name, trial_of(long).name
                    pairs[check].append((-other.cost / length.cost, *names, short, long))
        for check, apart in pairs.items():
            *_, short, long = min(apart, key=lambda pair: pair[:3])
            for or_refused in (False, True) if may_refuse(short) else (False,):
                sides = (side_of(run, or_refused=or_refused) for run in (short, long))
                found[check] += compare(*sides)
    return found


def unchecked(trials: Iterable[Results], settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return, under the check that would compare it, each iterative attack of which no longer or shorter run is there.

    Of an attack with several budgets one that is compared is enough. Attacks without a budget are among them.
    """
    compared: set[tuple[str, str]] = set()
    others: dict[tuple[str, str], str] = {}
    everything = list(trials)
    for _, runs in _families(everything, settings):
        for one, length in runs:
            if any(length.grows(other) or other.grows(length) for _, other in runs):
                compared.add(_entry(one))
    for results in everything:
        trial, kind = trial_of(results), kind_of(trial_of(results))
        if _searches(trial) and kind.iterative and not kind.ensemble and _entry(results) not in compared:
            told = length_of(trial.kind, settings(trial), trial.parameters)
            queries = told is not None and "queries" in told.counts
            others[_entry(results)] = "more_queries" if queries else "more_steps"
    return {
        check: tuple(f"{setting} {name}" for (setting, name), its in sorted(others.items()) if its == check)
        for check in CHECKS
    }


def longest(several: Sequence[Results], settings: Settings) -> Results:
    """Return the attack that takes most, of the same budget; of equal ones the first by name."""

    def cost(results: Results) -> tuple[int, str]:
        trial = trial_of(results)
        length = length_of(trial.kind, settings(trial), trial.parameters)
        return -(length.cost if length else 0), trial.name

    return min(several, key=cost)


def _families(
    trials: Iterable[Results], settings: Settings
) -> list[tuple[tuple[Any, ...], list[tuple[Results, Length]]]]:
    """Return the runs of one kind, loss, source and budget, each with its length."""
    families: dict[tuple[Any, ...], list[tuple[Results, Length]]] = defaultdict(list)
    for results in trials:
        trial = trial_of(results)
        length = length_of(trial.kind, settings(trial), trial.parameters)
        if _searches(trial) and budget_of(results) is not None and length is not None:
            key = (trial.kind, trial.view or "logits", trial.elsewhere, budget_of(results))
            families[key].append((results, length))
    return sorted(families.items(), key=lambda item: item[0])


def _searches(trial: Trial) -> bool:
    """Tell whether it is an attack on the model itself that searches for something."""
    return trial.setting in ("white_box", "adaptive") and not kind_of(trial).baseline


def _entry(results: Results) -> tuple[str, str]:
    trial = trial_of(results)
    return wording.setting(trial.setting).lower(), wording.attack_inside(trial.attack, trial.kind)
