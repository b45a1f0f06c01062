"""Twelve kinds of honest networks, trained from four seeds each: no sanity check may accuse any of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reproof.models.classifier import Classifier
from tests.ours import here, needs
from tests.unit.attacking.test_masked_networks import ATTACKS, BUDGETS, STRONGEST, Small, digits, fit, flags


class Layers(Classifier):
    """Some layers in a row, then a linear one."""

    def __init__(self, *layers: nn.Module):
        data = digits().description
        super().__init__(data)
        self.body = nn.Sequential(*layers, nn.Flatten())
        width = self.body(torch.zeros(2, data.channels, data.height, data.width)).shape[1]
        self.classify = nn.Linear(width, data.classes)
        self.feature_shapes = {"last": (width,)}

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        last = self.body(self.normalise(images))
        return self.classify(last), {"last": last}


class Residual(nn.Module):
    """Adds what two convolutions make of a map to it."""

    def __init__(self, channels: int):
        super().__init__()
        self.inside = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, values: Tensor) -> Tensor:
        return nn.functional.relu(values + self.inside(values))


def convolution(before: int, after: int, stride: int = 1) -> nn.Module:
    return nn.Conv2d(before, after, 3, padding=1, stride=stride)


def normalised() -> Classifier:
    return Layers(
        convolution(1, 12),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        convolution(12, 16, 2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
    )


def pooled() -> Classifier:
    return Layers(
        convolution(1, 16), nn.ReLU(), nn.MaxPool2d(2), convolution(16, 24), nn.ReLU(), nn.MaxPool2d(2)
    )


def smooth() -> Classifier:
    return Layers(convolution(1, 12, 2), nn.GELU(), convolution(12, 16), nn.GELU(), nn.Flatten(), nn.Linear(256, 48), nn.GELU())  # fmt: skip


def dropping() -> Classifier:
    return Layers(
        convolution(1, 12, 2), nn.ELU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(192, 48), nn.ELU()
    )


HONEST: dict[str, tuple[Callable[[], Classifier], dict[str, Any]]] = {
    "small": (lambda: Small(digits()), {}),
    "trained on PGD examples within 0.1": (lambda: Small(digits()), {"epsilon": 0.1}),
    "trained on PGD examples within 0.2": (lambda: Small(digits()), {"epsilon": 0.2}),
    "smoothed labels": (lambda: Small(digits()), {"smoothing": 0.2}),
    "noise in training": (pooled, {"noise": 0.2}),
    "linear": (lambda: Layers(), {}),
    "tanh": (lambda: Layers(nn.Flatten(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh()), {}),
    "batch norm": (normalised, {}),
    "max pooling, weight decay": (pooled, {"decay": 1e-3}),
    "GELU": (smooth, {}),
    "ELU and dropout": (dropping, {}),
    "residual": (lambda: Layers(convolution(1, 12, 2), Residual(12), Residual(12)), {}),
}
PAPERS: dict[str, Any] = {"kind": "bim", "epsilons": BUDGETS, "steps": 10, "step_size": 0.1}
"""Ten steps of a tenth of epsilon, as the papers attack: it hardly reaches the edge of its ball."""
ALL: dict[str, dict[str, Any]] = (
    {f"{name}_own" if name == "pgd" else name: stanza for name, stanza in ATTACKS.items()}
    | dict.fromkeys(here("attacks", "bim"), PAPERS)
    | dict.fromkeys(here("attacks", "strongest"), STRONGEST)
)
"""The papers' attack is the only one that has the name of its kind."""


def honest(name: str, seed: int) -> Classifier:
    torch.manual_seed(100 + seed)
    build, training = HONEST[name]
    return fit(build(), **training)


@pytest.mark.slow
@pytest.mark.release
@needs("attacks/random_noise", "attacks/square")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_network_raises_none(name: str, seed: int, tmp_path: Path) -> None:
    found = flags(honest(name, seed), tmp_path, ALL)
    assert {gate: flag.evidence for gate, flag in found.items() if flag.raised} == {}
