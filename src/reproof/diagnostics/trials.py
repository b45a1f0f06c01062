"""The trials that are judged, and what the files of their attacks declare: no list here names an attack."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reproof import registry, wording
from reproof.measuring.outcomes import Outcomes, Trial

Results = list[tuple[Trial, Outcomes]]
"""The trials of one name, one for each seed."""


@dataclass(frozen=True)
class Kind:
    """What an attack's file declares about itself (AttackSettings), as far as its trials are judged by it.

    Of a file that is gone nothing is known but its name; such trials count where any attack does.
    """

    title: str
    family: str
    access: str = "none"
    targeted: bool = False
    iterative: bool = False
    randomised: bool = False
    baseline: bool = False
    ensemble: bool = False
    transforms: bool = False
    restarts: bool = False
    """Whether restarts are a setting of it."""
    strengthened_by: tuple[str, ...] = ()
    """Settings of which more makes it stronger."""

    @property
    def follows_gradients(self) -> bool:
        """Say whether it finds its images by gradients alone; an ensemble of attacks searches without them too."""
        return self.access == "gradient" and not self.ensemble

    @property
    def searches_blindly(self) -> bool:
        """Say whether it searches by a model's scores or classes; random noise asks for classes and searches not."""
        return self.access in ("score", "decision") and not self.baseline


def kind_of(trial: Trial) -> Kind:
    """Return what the file of a trial's attack declares."""
    return kind_named(trial.kind)


def kind_named(name: str) -> Kind:
    """Return what the file of an attack of this name declares."""
    return _kind(registry.places(), name)


@functools.cache
def _kind(_places: tuple[Path, ...], name: str) -> Kind:
    declared = registry.attack(name)
    if declared is None:
        return Kind(wording.attack(name), wording.attack(name))
    return Kind(
        **registry.told("attacks", [name])[name],
        restarts="restarts" in declared.model_fields,
        strengthened_by=declared.strengthened_by,
    )


def trial_of(results: Results) -> Trial:
    """Return the trial of the first seed, which names them all."""
    return results[0][0]


def titles(declared: Callable[[Kind], bool]) -> list[str]:
    """Return what the attacks that are built here and declare this of themselves are called, sorted."""
    kinds = [_kind(registry.places(), name) for name in registry.names("attacks")]
    return sorted(kind.title for kind in kinds if declared(kind))


def named(trial: Trial) -> str:
    """Return a trial for people: `white-box PGD at ε = 0.3`, `black-box FGSM at ε = 0.1 from vgg19`."""
    words = f"{wording.setting(trial.setting).lower()} {wording.attack_inside(trial.attack, trial.kind)}"
    if trial.parameters:
        words += f" at {wording.parameters(trial.parameters)}"
    if trial.elsewhere in wording.SOURCES:
        return f"{words} on {wording.SOURCES[trial.elsewhere]}"
    return f"{words} from {trial.elsewhere}" if trial.elsewhere else words


def budget_of(results: Results) -> tuple[str, float] | None:
    """Return norm and epsilon; None of attacks without a budget."""
    trial = trial_of(results)
    return None if trial.epsilon is None else (trial.norm, trial.epsilon)


def epsilon_of(results: Results) -> float:
    """Return the epsilon; 0 of attacks without a budget."""
    return trial_of(results).epsilon or 0.0


def size_of(results: Results) -> tuple[bool, float]:
    """Return what sorts budgets by how much they allow: those of L-infinity, of which 1 allows all, come last."""
    return trial_of(results).norm == "linf", epsilon_of(results)


def is_noise(results: Results) -> bool:
    """Tell whether it is random noise or the like, which searches for nothing."""
    return kind_of(trial_of(results)).baseline


def is_own(trial: Trial) -> bool:
    """Tell whether it attacks the deployed model itself, not a member of it or another model."""
    return trial.setting != "black_box" and not trial.elsewhere


def is_plain(trial: Trial) -> bool:
    """Tell whether it is a white-box attack by gradients of the deployed logits, not of a member's alone.

    An ensemble of attacks is none: it searches without gradients too, and so hides that these are masked.
    """
    follows = kind_of(trial).follows_gradients
    return trial.setting == "white_box" and follows and trial.view in ("", "logits") and is_own(trial)
