"""What a verdict depends on beside numbers: the study's models, and the settings of its attacks. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reproof.settings.baseline import CLEAN, UNDEFENDED

Meeting = tuple[str, str, str, str]
"""A model, and the setting, the source and the attack that it met."""


@dataclass(frozen=True)
class ModelFacts:
    """A model of a study, by the names of claims, and all settings that made it."""

    model: str
    dataset: str
    architecture: str
    defense: str = UNDEFENDED
    training: str = CLEAN
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Setting, named as in a paper's protocol (claims.protocol.Experiment) -> its value, as JSON has it."""
    chosen: tuple[str, ...] = ()
    """Those of the settings that are not at their default."""
    stands_for: tuple[str, ...] = ()
    """Patterns of the ids of the claims that it is meant for, where several models of a study fit."""
    half_of: str = ""
    """The model that it is, trained half as long; empty for a model of its own."""
    seed_offset: int = 0
    """What is added to the study's seeds for it."""
    weights: str = ""
    """Who trained it, where that was not this study: the paper that published its weights, or ELSEWHERE."""

    def is_twin_of(self, other: ModelFacts) -> bool:
        """Say whether it is another model again: the same experiment with the same seed has the same weights."""
        return bool(self.settings) and replace(self, model=other.model, stands_for=other.stands_for) == other

    def is_copy_of(self, other: ModelFacts) -> bool:
        """Say whether it is another model again from other first weights: a source or a member, made for others."""
        later = self.seed_offset > other.seed_offset
        return later and replace(self, seed_offset=other.seed_offset).is_twin_of(other)

    @property
    def epochs(self) -> float | None:
        """Return how long it trained; None where that is not known, or its members do not agree."""
        value = self.settings.get("training.epochs")
        return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True)
class StudyFacts:
    """What a study says of itself, as far as verdicts and red flags ask."""

    models: Mapping[str, ModelFacts] = field(default_factory=dict)
    attacks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Config entry -> the settings of that attack, its kind among them."""
    suite_overrides: Mapping[Meeting, Mapping[str, Any]] = field(default_factory=dict)
    """The settings of an attack where a suite sets them otherwise than the config entry."""
    looks: int = 1
    """How often the study's verdicts are looked at before images are added: each look has its share of the error."""

    @classmethod
    def read(cls, stated: Mapping[str, Any]) -> StudyFacts:
        """Return what the tabulate job's slice of the study says (plan.jobs.Plan.tabulate), plain JSON values."""
        return cls(
            {
                name: ModelFacts(
                    **{
                        **facts,
                        "chosen": tuple(facts["chosen"]),
                        "stands_for": tuple(facts["stands_for"]),
                    }
                )
                for name, facts in stated["experiments"].items()
            },
            stated["attacks"],
            {
                (one["model"], one["setting"], one["source"], one["attack"]): one["settings"]
                for one in stated["suite_overrides"]
            },
            stated["looks"],
        )

    def attack(self, meeting: Meeting) -> Mapping[str, Any]:
        """Return the settings of an attack as a model met it; nothing where there is no attack."""
        return self.suite_overrides.get(meeting, self.attacks.get(meeting[-1], {}))
