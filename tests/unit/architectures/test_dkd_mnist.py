"""DKD's network for MNIST (Mirzaeian 2021, Table 1): layers, sizes and logits."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from reproof.architectures import dkd_mnist
from reproof.errors import StudyError
from tests.network_layers import (
    count,
    describe,
    draw_biases,
    weights,
)


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
