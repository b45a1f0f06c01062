"""DKD's network for CIFAR-10 (Mirzaeian 2021, Table 1): layers, sizes and logits."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from reproof.architectures import dkd_cifar10
from reproof.errors import StudyError
from tests.network_layers import (
    count,
    describe,
    draw_biases,
    weights,
)


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
