"""Layers, sizes and logits of DKD's two networks (Mirzaeian 2021, Table 1)."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from reproof.architectures import dkd_cifar10, dkd_mnist
from reproof.data.dataset import DataDescription
from reproof.errors import StudyError
from reproof.models.classifier import Classifier


def describe(channels: int, height: int, width: int | None = None) -> DataDescription:
    return DataDescription(channels, height, width or height, 10, (0.5,) * channels, (0.25,) * channels)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def weights(model: Classifier) -> list[Tensor]:
    return [value for key, value in model.state_dict().items() if key not in {"mean", "std"}]


def draw_biases(model: Classifier) -> None:
    """Leave no bias 0, so that one that is left out is noticed."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.uniform_(parameter, -0.2, 0.2)


class TestMnist:
    def test_parameters_by_hand(self) -> None:
        model = dkd_mnist.build(dkd_mnist.Settings(), describe(1, 28))
        assert [count(part) for part in model.children()] == [
            (9 * 1 * 32 + 32) + (9 * 32 * 32 + 32),
            (9 * 32 * 64 + 64) + (9 * 64 * 64 + 64),
            64 * 4 * 4 * 200 + 200,
            200 * 200 + 200,
            200 * 10 + 10,
        ]
        assert count(model) == 312_202

    def test_shapes_of_table_1(self) -> None:
        model = dkd_mnist.build(dkd_mnist.Settings(), describe(1, 28))
        assert model.feature_shapes == {
            "conv1": (32, 12, 12),
            "conv2": (64, 4, 4),
            "fc1": (200,),
            "fc2": (200,),
        }

    def test_digits_of_16_pixels_are_the_smallest(self) -> None:
        model = dkd_mnist.build(dkd_mnist.Settings(width=0.25), describe(1, 16))
        assert model.feature_shapes == {"conv1": (8, 6, 6), "conv2": (16, 1, 1), "fc1": (50,), "fc2": (50,)}
        assert model(torch.rand(2, 1, 16, 16)).shape == (2, 10)
        for height, width in ((15, 28), (28, 15)):
            with pytest.raises(StudyError, match=f"16 x 16 pixels or more, not {height} x {width}"):
                dkd_mnist.build(dkd_mnist.Settings(), describe(1, height, width))

    def test_logits_against_plain_operations(self) -> None:
        torch.manual_seed(0)
        model = dkd_mnist.build(dkd_mnist.Settings(width=0.25), describe(3, 29, 31)).double()
        draw_biases(model)
        images = torch.rand(3, 3, 29, 31, dtype=torch.float64)
        drawn = iter(weights(model))
        maps = (images - 0.5) / 0.25
        for _ in range(2):
            for _ in range(2):
                maps = functional.conv2d(maps, next(drawn), next(drawn)).clamp(min=0)
            n, c, h, w = maps.shape
            maps = maps[:, :, : h // 2 * 2, : w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2).amax((3, 5))
        vector = maps.reshape(3, -1)
        for _ in range(2):
            vector = (vector @ next(drawn).T + next(drawn)).clamp(min=0)
        logits, features = model.logits_and_features(images)
        torch.testing.assert_close(features["conv2"], maps, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(features["fc2"], vector, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(logits, vector @ next(drawn).T + next(drawn), rtol=1e-9, atol=1e-9)
        assert next(drawn, None) is None


class TestCifar10:
    def test_parameters_by_hand(self) -> None:
        model = dkd_cifar10.build(dkd_cifar10.Settings(), describe(3, 32))
        assert [count(part) for part in model.children()] == [
            (9 * 3 * 96 + 96) + 2 * (9 * 96 * 96 + 96),
            (9 * 96 * 192 + 192) + 2 * (9 * 192 * 192 + 192),
            (9 * 192 * 192 + 192) + 2 * (192 * 192 + 192),
            192 * 10 + 10,
        ]

    def test_shapes_of_table_1(self) -> None:
        model = dkd_cifar10.build(dkd_cifar10.Settings(), describe(3, 32))
        assert model.feature_shapes == {
            "conv1": (96, 16, 16),
            "conv2": (192, 8, 8),
            "conv3": (192, 8, 8),
            "penultimate": (192,),
        }

    def test_small_images(self) -> None:
        model = dkd_cifar10.build(dkd_cifar10.Settings(width=0.25), describe(1, 16))
        assert [shape[0] for shape in model.feature_shapes.values()] == [24, 48, 48, 48]
        assert model(torch.rand(2, 1, 16, 16)).shape == (2, 10)
        with pytest.raises(StudyError, match="4 x 4 pixels or more, not 3 x 8"):
            dkd_cifar10.build(dkd_cifar10.Settings(), describe(1, 3, 8))

    def test_logits_against_plain_operations(self) -> None:
        torch.manual_seed(0)
        model = dkd_cifar10.build(dkd_cifar10.Settings(width=0.1), describe(3, 13, 14)).double()
        draw_biases(model)
        images = torch.rand(2, 3, 13, 14, dtype=torch.float64)
        drawn = iter(weights(model))
        maps = (images - 0.5) / 0.25
        for padding, pooled in (
            *[(1, False), (1, False), (1, True)] * 2,
            *[(1, False), (0, False), (0, False)],
        ):
            maps = functional.conv2d(maps, next(drawn), next(drawn), padding=padding).clamp(min=0)
            n, c, h, w = maps.shape
            if pooled:
                maps = maps[:, :, : h // 2 * 2, : w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2).amax((3, 5))
        assert maps.shape[2:] == (3, 3)
        vector = maps.sum(dim=(2, 3)) / 9
        logits, features = model.logits_and_features(images)
        torch.testing.assert_close(features["conv3"], maps, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(features["penultimate"], vector, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(logits, vector @ next(drawn).T + next(drawn), rtol=1e-9, atol=1e-9)
        assert next(drawn, None) is None


@pytest.mark.parametrize("architecture", [dkd_mnist, dkd_cifar10])
def test_latent_features_are_never_negative(architecture: Any) -> None:
    """The last feature comes after its ReLU (and any pooling): there a cosine cannot fall below 0."""
    assert isinstance(architecture, ModuleType)
    torch.manual_seed(0)
    model = architecture.build(architecture.Settings(width=0.25), describe(1, 16))
    with torch.no_grad():
        _, features = model.logits_and_features(torch.rand(8, 1, 16, 16))
    last = list(features.values())[-1]
    assert float(last.min()) >= 0
    assert float(last.max()) > 0
    cosine = functional.cosine_similarity(last[:4], last[4:])
    assert bool((cosine >= 0).all())
