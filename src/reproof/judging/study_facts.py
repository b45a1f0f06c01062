"""What a verdict depends on beside numbers: the study's models, and the settings of its attacks. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reproof.settings.baseline import CLEAN, UNDEFENDED

TOLERANCE = 0.02
"""How far outside the measured interval a claim may lie and still be reproduced: two points of accuracy."""
Meeting = tuple[str, str, str, str]
"""A model, and the setting, the source and the attack that it met."""


@dataclass(frozen=True)
class ModelFacts:
    """What a study gave a model; `width` is the network's share of the paper's channels."""

    model: str
    dataset: str
    architecture: str
    width: float
    epochs: int
    defense: str = UNDEFENDED
    training: str = CLEAN
    train_images: int | None = None
    seeds: int = 1


@dataclass(frozen=True)
class StudyFacts:
    """What a study says of itself, as far as verdicts and red flags ask."""

    models: Mapping[str, ModelFacts] = field(default_factory=dict)
    attacks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Config entry -> the settings of that attack, its kind among them."""
    suite_overrides: Mapping[Meeting, Mapping[str, Any]] = field(default_factory=dict)
    """The settings of an attack where a suite sets them otherwise than the config entry."""
    tolerance: float = TOLERANCE

    @classmethod
    def read(cls, stated: Mapping[str, Any]) -> StudyFacts:
        """Return what the tabulate job's slice of the study says (plan.jobs.Plan.tabulate), plain JSON values."""
        return cls(
            {name: ModelFacts(**facts) for name, facts in stated["budgets"].items()},
            stated["attacks"],
            {
                (one["model"], one["setting"], one["source"], one["attack"]): one["settings"]
                for one in stated["suite_overrides"]
            },
            stated["tolerance"],
        )
