"""What the parts of a composed attack say of each other: what a later part takes, the earlier ones have missed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from reproof.diagnostics.comparison import Comparison, Side, compare, side_of
from reproof.diagnostics.trials import Results, named, trial_of
from reproof.measuring.outcomes import Bools
from reproof.measuring.parts import parts_of

BLIND = ("score", "transfer")
"""How parts search that ask for no gradient of the model."""
PLAIN = ("cross-entropy", "margin", "targeted margin")
"""The parts that follow the gradients of the deployed logits, and of no attack loss of the defense."""


def is_composed(results: Results) -> bool:
    """Tell whether an attack has parts."""
    return any(parts_of(*each) for each in results)


def searched(results: Results, access: Collection[str]) -> bool:
    """Tell whether a part of the attack searched so, for any seed."""
    return any(how in access for each in results for how in parts_of(*each).values())


def against_search(trials: Sequence[Results]) -> list[Comparison]:
    """Compare what the parts that follow the model's gradients leave with what all parts of the attack leave."""
    return _against(trials, BLIND, (), "but by search and transfer")


def against_ensembles(trials: Sequence[Results]) -> list[Comparison]:
    """Compare what its parts by gradients leave with what they and the ensembles of attacks among its parts leave."""
    return _against(trials, (*BLIND, "ensemble"), BLIND, "by gradients alone")


def _against(
    trials: Sequence[Results], first: Collection[str], second: Collection[str], words: str
) -> list[Comparison]:
    """Compare without the parts that search as `first` says, and without those of `second`."""
    found = []
    for results in trials:
        if searched(results, set(first) - set(second)):
            found += compare(_without(results, first, words), _without(results, second, ""))
    return found


def plain_side(results: Results) -> Side:
    """Return what would be left had only those parts been run that follow the gradients of the deployed logits."""
    return _but(results, lambda part, how: part not in PLAIN, "by the logits' gradients alone")


def _without(results: Results, access: Collection[str], words: str) -> Side:
    """Return what would be left had the parts not been run that search so."""
    return _but(results, lambda part, how: how in access, words) if access else side_of(results)


def _but(results: Results, hides: Callable[[str, str], bool], words: str) -> Side:
    """Return what would be left without some parts. hides: takes a part's name, and how it searches."""
    trial = trial_of(results)
    robust = {}
    for one, seen in results:
        hidden = {part for part, how in parts_of(one, seen).items() if hides(part, how)}
        spared: Bools = np.array([part in hidden for part in one.taken_by], dtype=bool)
        robust[seen.seed] = (one.images, seen.clean_on(one.images) & (one.correct | spared))
    return Side(trial.name, f"{named(trial)} {words}".rstrip(), False, robust)
