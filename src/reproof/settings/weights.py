"""Weights that were trained elsewhere, as a study says them. Imports no torch."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from reproof.settings.baseline import TrainingAttack
from reproof.settings.values import Positive, Settings, Switch, UnitInterval


class WeightsSettings(Settings):
    """A file of weights that a model has instead of a training: safetensors, or a state dict of torch (.pt, .pth)."""

    path: str = Field(min_length=1)
    """The file, relative to the project's folder. A file of torch is read with `weights_only=True`: nothing in it is
    executed."""
    key: str | None = None
    """Where in the file the state dict stands (`state_dict`, `model.ema`), where there are several."""
    names: dict[str, str] = Field(default_factory=dict)
    """Regular expression -> what takes its place in the file's names, each in turn: `^layer1\\.`: `stages.0.`."""
    mean: tuple[UnitInterval, ...] | None = Field(None, min_length=1)
    """What it subtracts from each channel of images in [0, 1], of one of our architectures whose file lacks it."""
    std: tuple[Positive, ...] | None = Field(None, min_length=1)
    """What it divides each channel by afterwards."""
    whole: Switch = False
    """True: the file holds all that its defense trains (as `model.safetensors` under results/ does), class centres and
    the like too. Only then are the defense's own attack losses those of this model."""
    trained_on: TrainingAttack | Literal["clean"] = "clean"
    """Adversarial examples that it was trained on, as far as is known."""
    published_by: str = ""
    """Key of the paper whose authors published these weights: defense and training are the paper's own then, whatever
    they were. Data set, attacks and images are compared with its claims, and what it prints of the network: a published
    one that differs is judged at grade B."""

    @field_validator("names")
    @classmethod
    def _are_patterns(cls, names: dict[str, str]) -> dict[str, str]:
        for pattern, words in names.items():
            try:
                re.sub(pattern, words, "")
            except (re.error, IndexError) as error:
                raise ValueError(f"{pattern!r} -> {words!r} is no regular expression: {error}") from None
        return names

    @model_validator(mode="after")
    def _both(self) -> WeightsSettings:
        if len(self.std or ()) != len(self.mean or ()):
            raise ValueError("mean and std go together, a number of each for each channel")
        return self


def read_weights(value: Any) -> Any:
    """Return what a config entry says of weights: a file's name alone is its path."""
    return {"path": value} if isinstance(value, str) else value
