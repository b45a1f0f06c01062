"""A model and all that was seen of it, as the checklist asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from reproof.diagnostics.sanity_check import RedFlag
from reproof.diagnostics.trials import Results, is_noise, named, trial_of
from reproof.measuring.outcomes import Outcomes
from reproof.settings.baseline import UNDEFENDED
from reproof.settings.source_names import parts

Answer = Literal["yes", "partly", "no", "does not apply"]
ANSWERS: tuple[Answer, ...] = ("yes", "partly", "no", "does not apply")


@dataclass(frozen=True)
class Subject:
    """What the study says of a model, as far as the checklist asks."""

    dataset: str
    architecture: str
    defense: str
    training: str
    """As in the tables."""
    added_training: str
    """Adversarial examples that the study adds to the defense; empty where it adds none."""
    classes: int
    views: tuple[str, ...] = ()
    """Attack losses: what an adaptive attacker maximises."""
    surrogates: tuple[str, ...] = ()
    """Those of them that stand in for what cannot be differentiated."""
    purifies: bool = False
    """Whether it changes images before the network sees them."""
    members: int = 0
    """Trained networks that vote in it; 0 for a single network."""

    @property
    def components(self) -> frozenset[str]:
        """Return what was added to an undefended network, each of which can be left out alone."""
        added = set(parts(self.defense)) - {UNDEFENDED}
        return frozenset(added | ({self.added_training} if self.added_training else set()))

    @property
    def place(self) -> tuple[str, str]:
        """Return data set and architecture."""
        return self.dataset, self.architecture


@dataclass(frozen=True)
class Facts:
    """What the study says."""

    models: Mapping[str, Subject]
    attacks: Mapping[str, Mapping[str, Any]]
    """Config entry -> its settings, with `kind`."""
    threats: Mapping[str, str]
    """Threat -> its setting: white_box, adaptive, black_box."""


Found = tuple[Answer, str]


@dataclass(frozen=True)
class Case:
    """A model and all that was seen of it."""

    name: str
    subject: Subject
    seeds: Sequence[Outcomes]
    trials: Mapping[str, Results]
    flags: Mapping[str, RedFlag]
    facts: Facts
    all_cases: Mapping[str, Case]

    def chosen(self, *settings: str) -> list[Results]:
        """Return the trials of these settings, random noise left out."""
        return [r for r in self.trials.values() if trial_of(r).setting in settings and not is_noise(r)]

    def setting_of(self, results: Results, name: str) -> Any:
        """Return a setting of the trials' config entry; None where it has no such setting."""
        return self.facts.attacks.get(trial_of(results).attack, {}).get(name)


def facts(stated: Mapping[str, Any], attacks: Mapping[str, Mapping[str, Any]]) -> Facts:
    """Return what a job's slice of the study says. stated: `models` and `threats`, as plain JSON values."""
    models = {
        name: Subject(**{**words, "views": tuple(words["views"]), "surrogates": tuple(words["surrogates"])})
        for name, words in stated["models"].items()
    }
    return Facts(models, attacks, stated["threats"])


def in_budget(one: Outcomes, norm: str, epsilon: float) -> bool:
    """Tell whether a model was attacked in a norm within an epsilon."""
    return any(t.norm == norm and t.epsilon is not None and t.epsilon <= epsilon for t in one.trials)


def robust_count(results: Results) -> tuple[int, int]:
    """Return how many images are right both clean and under the attack, and of how many."""
    stood = sum(int((one.clean_on(trial.images) & trial.correct).sum()) for trial, one in results)
    return stood, sum(len(trial.images) for trial, _ in results)


def robust_accuracy(results: Results) -> float:
    """Return the share of images that are right both clean and under the attack."""
    stood, total = robust_count(results)
    return stood / total


def correct_under(results: Results) -> tuple[int, int]:
    """Return how many images are right under the attack, whatever they were before, and of how many."""
    return sum(int(trial.correct.sum()) for trial, _ in results), sum(len(t.images) for t, _ in results)


def accuracy_under(results: Results) -> float:
    """Return the accuracy under the attack."""
    correct, total = correct_under(results)
    return correct / total


def distance_of(results: Results) -> float | None:
    """Return the mean L2 distance of the images that the attack fooled; None where it fooled none."""
    fooled = [trial.l2[one.clean_on(trial.images) & ~trial.correct] for trial, one in results]
    together = np.concatenate(fooled)
    return float(together.mean()) if len(together) else None


def paired_counts(first: Results, second: Results) -> tuple[int, int, int, int, int] | None:
    """Return how many images stand under each, under the one alone, the other alone, and how many both have."""
    others = {one.seed: trial for trial, one in second}
    left = right = only_left = only_right = total = 0
    for trial, one in first:
        if one.seed not in others:
            continue
        other = others[one.seed]
        shared = np.intersect1d(trial.images, other.images, assume_unique=True)
        clean = one.clean_on(shared)
        stands = clean & trial.correct[np.searchsorted(trial.images, shared)]
        other_stands = clean & other.correct[np.searchsorted(other.images, shared)]
        left, right = left + int(stands.sum()), right + int(other_stands.sum())
        only_left += int((stands & ~other_stands).sum())
        only_right += int((other_stands & ~stands).sum())
        total += len(shared)
    return (left, right, only_left, only_right, total) if total else None


def leaves(results: Results) -> str:
    """Return in words how many images stand."""
    stood, total = robust_count(results)
    return f"{named(trial_of(results))} leaves a robust accuracy of {stood} of {total} images"


def answered(flag: RedFlag) -> Answer:
    """Return `partly` where a check has too few images to tell, or leaves attacks out."""
    if flag.state == "passed" and not flag.left_out:
        return "yes"
    return "no" if flag.state in ("raised", "not checked") else "partly"
