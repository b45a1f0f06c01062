"""Which images withstand every attack in a budget, image by image. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reproof.errors import ArtifactError
from reproof.measuring.outcomes import Bools, Integers, Outcomes, Place, Trial
from reproof.settings.parameters import Parameters, written
from reproof.settings.table_words import WORST_CASE, WORST_IN_SETTING


def budgets(outcomes: Outcomes) -> list[tuple[str, float]]:
    """Return every norm and epsilon in which a model was attacked, sorted; of one in two prints the shorter."""
    found = [(t.norm, t.epsilon) for t in outcomes.trials if t.norm and t.epsilon is not None]
    return list(dict.fromkeys(sorted(found, key=lambda one: (*one, len(written(one[1])), written(one[1])))))


def worst_case_place(norm: str, epsilon: float, setting: str = "") -> Place:
    """Return setting, source, attack and parameters of a budget's worst case in the tables.

    setting: the one whose attacks alone are meant; empty for all.
    """
    budget = str(Parameters.of(norm=norm, epsilon=epsilon))
    return (setting, "", WORST_IN_SETTING, budget) if setting else ("all", "", WORST_CASE, budget)


def shared_images(outcomes: Outcomes, norm: str, epsilon: float, setting: str = "") -> Integers:
    """Return the images that all attacks of the norm within epsilon share, sorted; ArtifactError for none."""
    inside = _within(outcomes, norm, epsilon, setting)
    shared = _shared(inside)
    if not len(shared):
        names = ", ".join(trial.name for trial in inside)
        raise ArtifactError(f"model {outcomes.model} seed {outcomes.seed}: no image is shared by {names}")
    return shared


def worst_case(outcomes: Outcomes, norm: str, epsilon: float, setting: str = "") -> Bools:
    """Return which of the images that all attacks of the norm within epsilon share withstand them all.

    setting: the one whose attacks alone are meant; empty for all.
    """
    images = shared_images(outcomes, norm, epsilon, setting)
    return _stood(outcomes, _within(outcomes, norm, epsilon, setting), images)


def settings_within(outcomes: Outcomes, norm: str, epsilon: float) -> list[str]:
    """Return the settings in which a model was attacked within a budget, sorted."""
    return sorted({trial.setting for trial in _within(outcomes, norm, epsilon)})


def worst_case_unbounded(outcomes: Outcomes) -> Bools:
    """Return which of the images that all attacks without an epsilon share withstand them all; empty for none."""
    free = _unbounded(outcomes)
    return _stood(outcomes, free, _shared(free))


def only_refused(outcomes: Outcomes, norm: str, epsilon: float, setting: str = "") -> Bools:
    """Return which images of `worst_case` no attack made wrong and accepted, nor were so clean; some made it refused.

    What an attacker gets who may choose the attack for each image: the others that do not withstand all attacks are
    answered wrongly under at least one of them.
    """
    images = shared_images(outcomes, norm, epsilon, setting)
    return _only_refused(outcomes, _within(outcomes, norm, epsilon, setting), images)


def only_refused_unbounded(outcomes: Outcomes) -> Bools:
    """Return the same of `worst_case_unbounded`."""
    free = _unbounded(outcomes)
    return _only_refused(outcomes, free, _shared(free))


def _unbounded(outcomes: Outcomes) -> list[Trial]:
    return [trial for trial in outcomes.trials if trial.unbounded]


def _within(outcomes: Outcomes, norm: str, epsilon: float, setting: str = "") -> list[Trial]:
    return [
        trial
        for trial in outcomes.trials
        if trial.norm == norm and trial.epsilon is not None and trial.epsilon <= epsilon
        if not setting or trial.setting == setting
    ]


def _shared(trials: Sequence[Trial]) -> Integers:
    shared = trials[0].images if trials else np.array([], dtype="i8")
    for trial in trials[1:]:
        shared = np.intersect1d(shared, trial.images, assume_unique=True)
    return shared


def _stood(outcomes: Outcomes, trials: Sequence[Trial], images: Integers) -> Bools:
    stood = outcomes.clean_on(images)
    for trial in trials:
        stood = stood & trial.correct[np.searchsorted(trial.images, images)]
    return stood


def _only_refused(outcomes: Outcomes, trials: Sequence[Trial], images: Integers) -> Bools:
    refused = outcomes.clean_refused_on(images)
    mistaken = ~outcomes.clean_on(images) & ~refused
    for trial in trials:
        rows = np.searchsorted(trial.images, images)
        refused = refused | trial.refused[rows]
        mistaken = mistaken | (~trial.correct & ~trial.refused)[rows]
    return refused & ~mistaken
