"""Every plug-in of a family at the least size at which it is still itself: what contract tests run on."""

from __future__ import annotations

from typing import Any

import torch

from reproof import registry
from reproof.models.defense import Defense, Trainee
from reproof.settings.attack import AttackSettings
from reproof.settings.defense import DefenseSettings
from tests.tiny_classifier import DESCRIPTION, TinyClassifier, build_tiny

SHORT = {"width": 4, "latent": 8, "blocks": 2, "epochs": 3, "restarts": 2, "steps": 4, "critic_steps": 2}
"""What a purifier's own networks, their training and its searches are here, where it has such a setting: the defaults
take seconds."""


def declared(name: str) -> type[DefenseSettings]:
    """Return the settings of a defense."""
    settings = registry.settings_class("defenses", name)
    assert issubclass(settings, DefenseSettings)
    return settings


def make(name: str, **more: Any) -> Defense[Any]:
    """Return a defense. more: of the settings that SHORT names, other values."""
    found: type[Defense[Any]] = registry.load_class("defenses", name, Defense)
    short = {key: value for key, value in {**SHORT, **more}.items() if key in declared(name).model_fields}
    return found(declared(name)(**short if declared(name).purifies else {}))


def tiny(seed: int) -> TinyClassifier:
    """Return a network as it stands beside others: frozen, and in evaluation mode."""
    torch.manual_seed(seed)
    return TinyClassifier().requires_grad_(False).eval()


def attacked(defense: Defense[Any]) -> Trainee:
    """Return what an adaptive attacker meets: of a method that votes, an ensemble of three."""
    if not defense.settings.votes:
        return build_tiny(defense).eval().requires_grad_(False)
    joined = defense.join([tiny(seed) for seed in range(3)], DESCRIPTION)
    return defense.build(joined, DESCRIPTION).eval().requires_grad_(False)


def attack_settings(kind: str, epsilon: float = 0.1, **more: Any) -> AttackSettings:
    """Return the least settings of an attack: the `example` of a class that has one, with the epsilon where it takes one.

    more: other values of those settings that it has.
    """
    settings = registry.settings_class("attacks", kind)
    asked = settings.model_fields.get("epsilons")
    budget = {"epsilons": [epsilon]} if asked is not None and asked.is_required() else {}
    own = {key: value for key, value in more.items() if key in settings.model_fields}
    made = settings(**{**getattr(settings, "example", {}), **budget, **own})
    assert isinstance(made, AttackSettings)
    return made
