"""What networks are made of, and what some of them have alike."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from reproof import registry
from reproof.models import layers
from reproof.settings.values import scaled
from tests.network_layers import (
    describe,
)
from tests.ours import here


class TestLayers:
    @pytest.mark.parametrize(
        ("size", "width", "expected"),
        [(64, 1, 64), (64, 0.25, 16), (16, 0.01, 1), (6, 0.25, 2), (84, 0.5, 42)],
    )
    def test_scaled(self, size: int, width: float, expected: int) -> None:
        assert scaled(size, width) == expected

    @pytest.mark.parametrize(("fan", "size"), [("fan_in", 8), ("fan_out", 64)])
    def test_he_initialisation(self, fan: Any, size: int) -> None:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(8, 64, 5), nn.Linear(3, 3))
        linear = network[1].weight.clone()
        layers.initialise_convolutions(network, fan, slope=0.25)
        expected = math.sqrt(2 / ((1 + 0.25**2) * size * 25))
        assert float(network[0].weight.detach().std()) == pytest.approx(expected, rel=0.03)
        assert float(network[0].bias.detach().abs().max()) == 0
        assert torch.equal(network[1].weight, linear)


@pytest.mark.parametrize("name", here("architectures", "cnn6", "lenet", "wide_resnet"))
def test_an_architecture_without_variants_keeps_its_files_name(name: str) -> None:
    settings: Any = registry.settings_class("architectures", name)()
    assert settings.key(name) == name


@pytest.mark.parametrize("name", here("architectures", "dkd_mnist", "dkd_cifar10"))
def test_latent_features_are_never_negative(name: str) -> None:
    """The last feature comes after its ReLU (and any pooling): there a cosine cannot fall below 0."""
    architecture = registry.load("architectures", name)
    torch.manual_seed(0)
    model = architecture.build(architecture.Settings(width=0.25), describe(1, 16))
    with torch.no_grad():
        _, features = model.logits_and_features(torch.rand(8, 1, 16, 16))
    last = list(features.values())[-1]
    assert float(last.min()) >= 0
    assert float(last.max()) > 0
    cosine = functional.cosine_similarity(last[:4], last[4:])
    assert bool((cosine >= 0).all())
