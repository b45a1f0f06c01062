"""Wide ResNets: layers, sizes and logits, against the paper and plain operations."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from reproof import registry
from reproof.architectures import wide_resnet
from reproof.models import preactivation
from tests.network_layers import (
    Pieces,
    count,
    describe,
    layers_of,
    pre_activated,
    randomise_statistics,
    standardise,
)


class TestWideResNet:
    @pytest.mark.parametrize(
        ("depth", "widening", "published"),
        [
            (40, 1, 0.6),
            (40, 2, 2.2),
            (40, 4, 8.9),
            (40, 8, 35.7),
            (28, 10, 36.5),
            (28, 12, 52.5),
            (22, 8, 17.2),
            (16, 8, 11.0),
            (16, 10, 17.1),
        ],
    )
    def test_parameters_are_the_published_millions(
        self, depth: int, widening: float, published: float
    ) -> None:
        """Zagoruyko 2016, Table 4, to its last digit."""
        with torch.device("meta"):
            settings = wide_resnet.Settings(depth=depth, widening=widening)
            model = wide_resnet.build(settings, describe(3, 32))
        assert round(count(model) / 1e6, 1) == published

    @pytest.mark.parametrize(("depth", "widening"), [(10, 1), (28, 10), (40, 2)])
    def test_layers_with_weights(self, depth: int, widening: float) -> None:
        settings = wide_resnet.Settings(depth=depth, widening=widening, width=1 / 16)
        model = wide_resnet.build(settings, describe(3, 32))
        blocks = layers_of(model, preactivation.PreActivationBlock)
        shortcuts = sum(len(layers_of(block.shortcut, nn.Conv2d)) for block in blocks)
        # 6 n + 4 counts the first convolution, 6 n in blocks and three shortcuts, and not the classifier.
        assert shortcuts == (2 if widening == 1 else 3)
        assert len(layers_of(model, nn.Conv2d)) - shortcuts + len(layers_of(model, nn.Linear)) == depth - 2
        assert len(blocks) == 3 * (depth - 4) // 6

    def test_shapes_of_table_1(self) -> None:
        with torch.device("meta"):
            model = wide_resnet.build(wide_resnet.Settings(), describe(3, 32))
        assert model.feature_shapes == {
            "layer1": (16, 32, 32),
            "layer2": (160, 32, 32),
            "layer3": (320, 16, 16),
            "layer4": (640, 8, 8),
            "layer5": (640,),
        }

    def test_width_reaches_every_layer_and_widening_all_but_the_first(self) -> None:
        assert wide_resnet.Settings(depth=10, widening=4).sizes == (16, 64, 128, 256)
        assert wide_resnet.Settings(depth=10, widening=4, width=0.25).sizes == (4, 16, 32, 64)

    @pytest.mark.parametrize("widening", [1, 2])
    def test_logits_and_features_against_plain_operations(self, widening: float) -> None:
        torch.manual_seed(0)
        settings = wide_resnet.Settings(depth=16, widening=widening, width=1 / 4, dropout=0.3)
        model = wide_resnet.build(settings, describe(3, 29)).double().eval()
        randomise_statistics(model)
        images = torch.rand(2, 3, 29, 29, dtype=torch.float64)
        pieces = Pieces(model)
        maps = pre_activated(pieces, standardise(images), [2, 2, 2], [2, 1], widening == 1)
        logits, features = model.logits_and_features(images)
        expected = [*maps, maps[-1].mean((2, 3))]
        torch.testing.assert_close(logits, pieces.classify(expected[-1]), rtol=1e-9, atol=1e-9)
        for one, feature in zip(expected, features.values(), strict=True):
            torch.testing.assert_close(feature, one, rtol=1e-9, atol=1e-9)
        assert pieces.tensors == []

    def test_dropout_stands_between_a_block_s_convolutions_while_training(self) -> None:
        torch.manual_seed(0)
        settings = wide_resnet.Settings(depth=10, widening=2, width=1 / 4, dropout=0.3)
        model = wide_resnet.build(settings, describe(1, 28))
        assert [layer.p for layer in layers_of(model, nn.Dropout)] == [0.3] * 3
        assert not layers_of(wide_resnet.build(wide_resnet.Settings(depth=10), describe(1, 28)), nn.Dropout)
        zeros: list[float] = []
        for block in layers_of(model, preactivation.PreActivationBlock):
            for convolution in layers_of(block.body, nn.Conv2d):
                convolution.register_forward_hook(
                    lambda _, inputs, __: zeros.append(float((inputs[0] == 0).float().mean()))
                )
        images = torch.rand(8, 1, 28, 28)
        model.train()(images)
        # Half is 0 after a ReLU on batch norm; of the other half, dropout takes 0.3: 0.65.
        assert zeros[1::2] == pytest.approx([0.65] * 3, abs=0.06)
        assert max(zeros[0::2]) < 0.56
        assert not torch.equal(model(images), model(images))
        assert torch.equal(model.eval()(images), model(images))

    @pytest.mark.parametrize(
        ("stanza", "expected"),
        [
            ({"depth": 4}, "6 n + 4"),
            ({"depth": 29}, "6 n + 4"),
            ({"widening": 0}, "greater than 0"),
            ({"dropout": 1}, "less than 1"),
            ({"width": -1}, "greater than 0"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, stanza: dict[str, Any], expected: str) -> None:
        for declared in (wide_resnet.Settings, registry.settings_class("architectures", "wide_resnet")):
            with pytest.raises(ValidationError, match=re.escape(expected)):
                declared.model_validate(stanza)
