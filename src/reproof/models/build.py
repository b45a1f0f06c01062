"""From a job's slice of the study to a network: built, or loaded from a trained model's file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from reproof import artifacts, registry
from reproof.data.dataset import DataDescription
from reproof.errors import ArtifactError
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense, Trainee


def build(network: Mapping[str, Any], data: DataDescription, seed: int) -> tuple[Defense[Any], Trainee]:
    """Return a defense and what it trains, initialised from the seed alone. network: plan's slice of a model."""
    architecture, entry = dict(network["architecture"]), dict(network["defense"])
    module = registry.load("architectures", architecture.pop("kind"))
    beneath = entry.pop("built_on", None)
    defense = _defense(entry)
    torch.manual_seed(seed)
    count = len(network.get("members", ())) or defense.settings.networks
    members: list[Classifier] = []
    for _ in range(count):
        member: Classifier = module.build(module.Settings(**architecture), data)
        members.append(member if beneath is None else _defense(beneath).build(member, data).classifier)
    classifier = members[0] if count == 1 else defense.join(members, data)
    return defense, defense.build(classifier, data)


def _defense(entry: Mapping[str, Any]) -> Defense[Any]:
    """Return the defense that a config entry describes: its kind, and its settings."""
    kind = entry["kind"]
    defense_class: type[Defense[Any]] = registry.load_class("defenses", kind, Defense)
    settings = {key: value for key, value in entry.items() if key != "kind"}
    return defense_class(registry.load("defenses", kind).Settings(**settings))


def load(network: Mapping[str, Any], data: DataDescription, path: Path) -> tuple[Defense[Any], Trainee]:
    """Return a trained model from its verified file; ArtifactError when the weights do not fit the study."""
    defense, trainee = build(network, data, seed=0)
    weights, _ = artifacts.read_tensors(path)
    try:
        trainee.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(
            f"{path} holds the weights of another network than the study describes. "
            f"Delete it (rm {path}) and run snakemake again. ({str(error).splitlines()[0]})"
        ) from error
    return defense, trainee.eval()
