"""Adaptive attacks held against the others: one whose own loss leads nowhere, or that is too short, proves nothing.

Which attacks are compared depends on the study alone, not on what they left: of each loss and budget the longest.
Of a model that may refuse an image, those that are wrong and accepted count: an attack past its detectors leaves more
images right than one that is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from reproof import wording
from reproof.diagnostics.comparison import Comparison, Side, compare, may_refuse, side_of, side_of_all
from reproof.diagnostics.lengths import Length, Settings, length_of, longest
from reproof.diagnostics.trials import Results, budget_of, is_own, kind_of, trial_of


def against_plain(
    trials: Sequence[Results], plain: Sequence[Results], settings: Settings
) -> list[Comparison]:
    """Compare attacks on a method's own loss with the same attack on the logits, at most as long; the former first.

    plain: the white-box attacks by gradients of the logits.
    """
    found = []
    for adaptive in _longest(trials, settings):
        trial = trial_of(adaptive)
        own = length_of(trial.kind, settings(trial), trial.parameters)
        alike = [
            results
            for results in plain
            if own is not None and budget_of(results) == budget_of(adaptive)
            if trial_of(results).kind == trial.kind and _no_longer(results, own, settings)
        ]
        if alike:
            found += compare(_side(adaptive), _side(longest(alike, settings)))
    return found


def against_ensembles(trials: Sequence[Results], settings: Settings) -> list[Comparison]:
    """Compare attacks on a method's own loss with the ensembles of attacks in their budget; the former first."""
    found = []
    for adaptive in _longest(trials, settings):
        ensembles = [
            results
            for results in trials
            if kind_of(trial_of(results)).ensemble
            and is_own(trial_of(results))
            and budget_of(results) == budget_of(adaptive)
        ]
        if len(ensembles) == 1:
            found += compare(_side(adaptive), _side(ensembles[0]))
        elif ensembles:
            trial = trial_of(adaptive)
            at = wording.budget(trial.epsilon or 0.0, trial.norm)
            words = f"all ensembles of attacks at {at} together"
            all_of_them = side_of_all(ensembles, words, or_refused=may_refuse(adaptive))
            found += compare(_side(adaptive), all_of_them)
    return found


def _side(results: Results) -> Side:
    """Return what an attack leaves; of a model that may refuse an image, what it does not make wrong and accepted."""
    return side_of(results, or_refused=may_refuse(results))


def _no_longer(results: Results, own: Length, settings: Settings) -> bool:
    """Tell whether an attack is the same but for its loss, and in nothing longer."""
    trial = trial_of(results)
    length = length_of(trial.kind, settings(trial), trial.parameters)
    if length is None or length.besides != own.besides:
        return False
    return all(count <= own.counts.get(name, 1) for name, count in length.counts.items())


def _longest(trials: Sequence[Results], settings: Settings) -> list[Results]:
    """Return the longest iterative attack by gradients of each loss and budget that is not the logits' alone."""
    found: dict[tuple[str, str, float], list[Results]] = defaultdict(list)
    for results in trials:
        trial, budget = trial_of(results), budget_of(results)
        adaptive = is_own(trial) and trial.setting == "adaptive" and trial.view not in ("", "logits")
        kind = kind_of(trial)
        if adaptive and budget is not None and kind.follows_gradients and kind.iterative:
            found[trial.view, *budget].append(results)
    return [longest(found[key], settings) for key in sorted(found)]
