"""ResNets: layers, sizes and logits, against the papers and independent implementations."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import torchvision
from pydantic import ValidationError
from torch import nn

from reproof import registry
from reproof.architectures import resnet
from reproof.models import preactivation
from tests.network_layers import (
    Pieces,
    copy_weights,
    count,
    describe,
    layers_of,
    pre_activated,
    randomise_statistics,
    standardise,
)

TABLE_1 = {"depth": 110, "block": "bottleneck", "hidden": 1024}


class TestResNet:
    @pytest.mark.parametrize(
        ("name", "stanza"),
        [
            ("resnet18", {"depth": 18}),
            ("resnet34", {"depth": 34}),
            ("resnet50", {"depth": 50, "block": "bottleneck"}),
        ],
    )
    @pytest.mark.parametrize("stem_pool", [True, False])
    def test_logits_of_torchvision(self, name: str, stanza: dict[str, Any], stem_pool: bool) -> None:
        torch.manual_seed(0)
        theirs = getattr(torchvision.models, name)(num_classes=10)
        if not stem_pool:
            theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            theirs.maxpool = nn.Identity()
        randomise_statistics(theirs)
        settings = resnet.Settings(stem="imagenet", stem_pool=stem_pool, **stanza)
        ours = resnet.build(settings, describe(3, 32))
        copy_weights(ours, theirs, skip=set())
        assert count(ours) == count(theirs)
        images = torch.rand(2, 3, 32, 32)
        with torch.no_grad():
            expected = theirs.eval()(standardise(images))
            result = ours.eval()(images)
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))

    @pytest.mark.parametrize("depth", [50, 101, 152])
    def test_parameters_of_torchvision(self, depth: int) -> None:
        with torch.device("meta"):
            theirs = getattr(torchvision.models, f"resnet{depth}")()
            settings = resnet.Settings(depth=depth, block="bottleneck", stem="imagenet", stem_pool=True)
            ours = resnet.build(settings, describe(3, 224, classes=1000))
        assert count(ours) == count(theirs)
        assert ours.feature_shapes == {
            "layer1": (64, 56, 56),
            "layer2": (256, 56, 56),
            "layer3": (512, 28, 28),
            "layer4": (1024, 14, 14),
            "layer5": (2048, 7, 7),
            "penultimate": (2048,),
        }

    @pytest.mark.parametrize(
        ("stanza", "convolutions", "linears"),
        [
            ({"depth": 20}, 19, 1),
            ({"depth": 32}, 31, 1),
            ({"depth": 56}, 55, 1),
            ({"depth": 56, "block": "bottleneck"}, 55, 1),
            ({"depth": 110}, 109, 1),
            (TABLE_1, 1 + 3 * 36, 2),
            (TABLE_1 | {"blocks": 18}, 1 + 3 * 54, 2),
            ({"depth": 18, "stem": "imagenet"}, 17, 1),
            ({"depth": 34, "stem": "imagenet"}, 33, 1),
            ({"depth": 50, "stem": "imagenet", "block": "bottleneck"}, 49, 1),
        ],
    )
    def test_layers_with_weights(self, stanza: dict[str, Any], convolutions: int, linears: int) -> None:
        model = resnet.build(resnet.Settings(width=1 / 16, **stanza), describe(3, 32))
        shortcuts = sum(len(layers_of(block.shortcut, nn.Conv2d)) for block in layers_of(model, resnet.Block))
        assert len(layers_of(model, nn.Conv2d)) - shortcuts == convolutions
        assert len(layers_of(model, nn.Linear)) == linears

    @pytest.mark.parametrize(("depth", "published"), [(20, 0.27), (32, 0.46), (56, 0.85), (110, 1.7)])
    def test_parameters_near_the_published_millions(self, depth: int, published: float) -> None:
        """He 2016, Table 6, without the shortcuts' convolutions, which are this repository's deviation."""
        model = resnet.build(resnet.Settings(depth=depth), describe(3, 32))
        shortcuts = sum(count(block.shortcut) for block in layers_of(model, resnet.Block))
        assert (count(model) - shortcuts) / 1e6 == pytest.approx(published, rel=0.02)

    def test_parameters_of_mustafas_table_1(self) -> None:
        """A closed form over the printed rows: three convolutions a block, each with batch norm."""
        total = 3 * 16 * 9 + 2 * 16
        channels = 16
        for planes in (16, 32, 64):
            for _ in range(12):
                total += channels * planes + planes * planes * 9 + planes * planes * 4
                total += 2 * (planes + planes + 4 * planes)
                if channels != 4 * planes:
                    total += channels * planes * 4 + 2 * 4 * planes
                channels = 4 * planes
        total += 256 * 1024 + 1024 + 1024 * 10 + 10
        model = resnet.build(resnet.Settings(**TABLE_1), describe(3, 32))
        assert count(model) == total

    def test_shapes_of_mustafas_table_1(self) -> None:
        model = resnet.build(resnet.Settings(**TABLE_1), describe(3, 32))
        assert model.feature_shapes == {
            "layer1": (16, 32, 32),
            "layer2": (64, 32, 32),
            "layer3": (128, 16, 16),
            "layer4": (256, 8, 8),
            "layer5": (1024,),
        }

    def test_stem_pool_read_literally(self) -> None:
        model = resnet.build(resnet.Settings(stem_pool=True, **TABLE_1), describe(3, 32))
        assert [shape[1:] for shape in model.feature_shapes.values()] == [
            (16, 16),
            (16, 16),
            (8, 8),
            (4, 4),
            (),
        ]

    @pytest.mark.parametrize("relu", [True, False])
    def test_hidden_relu(self, relu: bool) -> None:
        torch.manual_seed(0)
        model = resnet.build(resnet.Settings(depth=8, hidden=32, hidden_relu=relu), describe(3, 28)).eval()
        smallest = float(model.features(torch.rand(8, 3, 28, 28))["layer5"].detach().min())
        assert (smallest == 0) if relu else (smallest < 0)

    def test_without_hidden_layer_the_vector_is_the_pooled_map(self) -> None:
        model = resnet.build(resnet.Settings(depth=8), describe(3, 28)).eval()
        features = model.features(torch.rand(2, 3, 28, 28))
        torch.testing.assert_close(features["layer5"], features["layer4"].flatten(2).mean(2))

    @pytest.mark.parametrize(
        ("stanza", "expected"),
        [
            ({"depth": 21}, "6 n + 2"),
            ({"depth": 2}, "6 n + 2"),
            ({"depth": 32, "block": "bottleneck"}, "9 n + 2"),
            ({"depth": 50, "stem": "imagenet"}, "18 or 34"),
            ({"depth": 18, "stem": "imagenet", "block": "bottleneck"}, "50, 101 or 152"),
            ({"blocks": [1, 2]}, "one number or 3"),
            ({"blocks": [1, 2, 3], "stem": "imagenet"}, "one number or 4"),
            ({"hidden": -1}, "greater than or equal to 0"),
            ({"width": 0}, "greater than 0"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, stanza: dict[str, Any], expected: str) -> None:
        for declared in (resnet.Settings, registry.settings_class("architectures", "resnet")):
            with pytest.raises(ValidationError, match=re.escape(expected)):
                declared.model_validate(stanza)

    def test_blocks_are_free(self) -> None:
        settings = resnet.Settings.model_validate({"depth": 26, "blocks": [1, 2, 3]})
        assert settings.stage_blocks == (1, 2, 3)
        model = resnet.build(settings, describe(1, 28))
        assert [len(stage) for stage in model.get_submodule("stages").children()] == [1, 2, 3]

    def test_key(self) -> None:
        assert resnet.Settings(**TABLE_1, blocks=18).key("resnet") == "resnet110"
        assert resnet.Settings(depth=18, stem="imagenet").key("resnet") == "resnet18"
        assert resnet.Settings(depth=110, pre_activation=True).key("resnet") == "resnet110"


class TestPreActivation:
    @pytest.mark.parametrize("depth", [110, 164, 1001])
    def test_parameters_near_the_published_millions(self, depth: int) -> None:
        """He 2016b, Tables 1 and 4: 1.7, 1.7 and 10.2 million. At 1001 layers the printed one is 1 % less."""
        block = "basic" if depth == 110 else "bottleneck"
        settings = resnet.Settings.model_validate({"depth": depth, "block": block, "pre_activation": True})
        with torch.device("meta"):
            millions = count(resnet.build(settings, describe(3, 32))) / 1e6
        assert millions == pytest.approx({110: 1.7, 164: 1.7, 1001: 10.2}[depth], rel=0.02)

    @pytest.mark.parametrize(
        ("stanza", "stages", "strides", "same_shape"),
        [
            ({"depth": 14}, [2, 2, 2], [2, 1], True),
            ({"depth": 20, "block": "bottleneck"}, [2, 2, 2], [1, 2, 1], False),
            ({"depth": 8, "blocks": 2, "block": "bottleneck"}, [2, 2, 2], [1, 2, 1], False),
            ({"depth": 18, "stem": "imagenet"}, [2, 2, 2, 2], [2, 1], True),
        ],
    )
    def test_logits_and_features_against_plain_operations(
        self, stanza: dict[str, Any], stages: list[int], strides: list[int], same_shape: bool
    ) -> None:
        torch.manual_seed(0)
        settings = resnet.Settings.model_validate({"width": 1 / 4, "pre_activation": True, **stanza})
        model = resnet.build(settings, describe(3, 29)).double().eval()
        randomise_statistics(model)
        images = torch.rand(2, 3, 29, 29, dtype=torch.float64)
        pieces = Pieces(model)
        maps = pre_activated(pieces, standardise(images), stages, strides, same_shape)
        logits, features = model.logits_and_features(images)
        torch.testing.assert_close(logits, pieces.classify(maps[-1].mean((2, 3))), rtol=1e-9, atol=1e-9)
        for expected, feature in zip(maps, features.values(), strict=False):
            torch.testing.assert_close(feature, expected, rtol=1e-9, atol=1e-9)
        assert pieces.tensors == []

    @pytest.mark.parametrize("pre_activation", [True, False])
    def test_the_identity_carries_a_map_through_unchanged(self, pre_activation: bool) -> None:
        """With bodies of zero, a block is the identity; a ReLU after the sum would lose what is negative."""
        settings = resnet.Settings(depth=20, width=1 / 4, pre_activation=pre_activation)
        model = resnet.build(settings, describe(3, 28)).eval()
        maps = torch.randn(2, 8, 6, 6)
        block = model.get_submodule("stages.1.2")
        for weights in layers_of(block, nn.Conv2d):
            nn.init.zeros_(weights.weight)
        assert torch.equal(block(maps), maps) is pre_activation

    def test_with_a_hidden_layer_it_is_mustafas_network_with_other_blocks(self) -> None:
        plain = resnet.Settings(width=1 / 4, **TABLE_1)
        moved = resnet.Settings(width=1 / 4, pre_activation=True, **TABLE_1)
        assert moved.layers(3, 32, 32, 10) == plain.layers(3, 32, 32, 10)
        model = resnet.build(moved, describe(3, 32))
        assert model.feature_shapes == resnet.build(plain, describe(3, 32)).feature_shapes
        assert len(layers_of(model, preactivation.PreActivationBlock)) == 36

    @pytest.mark.parametrize("pre_activation", [True, False])
    def test_exposed_blocks_change_no_logits(self, pre_activation: bool) -> None:
        torch.manual_seed(0)
        settings = resnet.Settings(depth=20, width=1 / 4, pre_activation=pre_activation)
        model = resnet.build(settings, describe(3, 28)).eval()
        images = torch.rand(2, 3, 28, 28)
        logits, before = model.logits_and_features(images)
        model.expose_blocks()
        same, features = model.logits_and_features(images)
        assert torch.equal(same, logits)
        assert all(torch.equal(features[name], feature) for name, feature in before.items())
        assert list(features)[:5] == ["layer1", "layer2.1", "layer2.2", "layer2", "layer3.1"]

    def test_only_the_activated_maps_are_free_of_negative_values(self) -> None:
        torch.manual_seed(0)
        model = resnet.build(resnet.Settings(depth=14, pre_activation=True), describe(3, 28)).train()
        features = model.features(torch.rand(8, 3, 28, 28))
        smallest = {name: float(feature.detach().min()) for name, feature in features.items()}
        assert {name for name, value in smallest.items() if value < 0} == {"layer2", "layer3"}
