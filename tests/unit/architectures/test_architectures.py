"""Layers, sizes and logits of the networks, against the papers' tables and independent implementations."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
import torchvision
from pydantic import ValidationError
from torch import Tensor, nn

from reproof import registry
from reproof.architectures import cnn6, lenet, resnet, vgg, wide_resnet
from reproof.data.dataset import DataDescription
from reproof.errors import StudyError
from reproof.models import layers, preactivation
from reproof.models.classifier import Classifier
from reproof.settings.values import scaled

TABLE_1 = {"depth": 110, "block": "bottleneck", "hidden": 1024}


def describe(channels: int, height: int, width: int | None = None, classes: int = 10) -> DataDescription:
    return DataDescription(channels, height, width or height, classes, (0.5,) * channels, (0.25,) * channels)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def layers_of(module: nn.Module, kind: type[nn.Module]) -> list[Any]:
    return [part for part in module.modules() if isinstance(part, kind)]


def copy_weights(target: nn.Module, source: nn.Module, skip: set[str]) -> None:
    """Copy every tensor in order; the two networks declare their layers in the same one."""
    ours = {k: v for k, v in target.state_dict().items() if k not in {"mean", "std"}}
    theirs = {k: v for k, v in source.state_dict().items() if k not in skip}
    assert [v.shape for v in ours.values()] == [v.shape for v in theirs.values()]
    target.load_state_dict(dict(zip(ours, theirs.values(), strict=True)), strict=False)


def randomise_statistics(module: nn.Module) -> None:
    for norm in layers_of(module, nn.BatchNorm2d):
        nn.init.normal_(norm.running_mean, std=0.1)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.1)


def standardise(images: Tensor) -> Tensor:
    return (images - 0.5) / 0.25


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


class TestLeNet:
    def test_parameters_of_lenet_5(self) -> None:
        """LeCun 1998: C1 156, F6 10,164; C3 connected to all maps 2,416; C5 48,120; ten outputs 850."""
        model = lenet.build(lenet.Settings(), describe(1, 28))
        assert [count(part) for part in model.children()] == [156, 2416, 48120, 10164, 850]

    def test_shapes_of_lenet_5(self) -> None:
        model = lenet.build(lenet.Settings(), describe(1, 28))
        assert model.feature_shapes == {
            "conv1": (6, 14, 14),
            "conv2": (16, 5, 5),
            "fc1": (120,),
            "fc2": (84,),
        }

    def test_too_small_images_are_refused(self) -> None:
        with pytest.raises(StudyError, match="12 x 12"):
            lenet.build(lenet.Settings(), describe(1, 8))
        assert lenet.build(lenet.Settings(), describe(1, 12)).feature_shapes["conv2"] == (16, 1, 1)


class TestCNN6:
    def test_parameters_by_hand(self) -> None:
        """Weights + biases + one slope per channel or unit (Mustafa, Table 1, 28 x 28, one channel)."""
        blocks = [
            (1 * 25 * 32 + 32 + 32) + (32 * 25 * 32 + 32 + 32),
            (32 * 25 * 64 + 64 + 64) + (64 * 25 * 64 + 64 + 64),
            (64 * 25 * 128 + 128 + 128) + (128 * 25 * 128 + 128 + 128),
            128 * 3 * 3 * 512 + 512 + 512,
            512 * 64 + 64 + 64,
            64 * 10 + 10,
        ]
        model = cnn6.build(cnn6.Settings(), describe(1, 28))
        assert [count(part) for part in model.children()] == blocks
        assert count(model) == 1_419_690

    def test_shapes_of_table_1(self) -> None:
        model = cnn6.build(cnn6.Settings(), describe(1, 28))
        assert model.feature_shapes == {
            "layer1": (32, 14, 14),
            "layer2": (64, 7, 7),
            "layer3": (128, 3, 3),
            "layer4": (512,),
            "layer5": (64,),
        }

    def test_width_reaches_every_layer(self) -> None:
        model = cnn6.build(cnn6.Settings(width=0.25), describe(1, 28))
        assert [shape[0] for shape in model.feature_shapes.values()] == [8, 16, 32, 128, 16]

    def test_logits_against_plain_operations(self) -> None:
        torch.manual_seed(0)
        model = cnn6.build(cnn6.Settings(width=0.25), describe(1, 28)).double()
        for prelu in layers_of(model, nn.PReLU):
            nn.init.uniform_(prelu.weight, -0.5, 0.5)
        images = torch.rand(3, 1, 28, 28, dtype=torch.float64)
        parameters = iter([value for key, value in model.state_dict().items() if key not in {"mean", "std"}])
        maps = standardise(images)
        for _ in range(3):
            for _ in range(2):
                maps = nn.functional.conv2d(maps, next(parameters), next(parameters), padding=2)
                maps = torch.where(maps >= 0, maps, maps * next(parameters).view(1, -1, 1, 1))
            n, c, h, w = maps.shape
            maps = maps[:, :, : h // 2 * 2, : w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2).amax((3, 5))
        vector = maps.reshape(3, -1)
        for _ in range(2):
            vector = vector @ next(parameters).T + next(parameters)
            vector = torch.where(vector >= 0, vector, vector * next(parameters))
        expected = vector @ next(parameters).T + next(parameters)
        torch.testing.assert_close(model(images), expected, rtol=1e-9, atol=1e-9)

    def test_too_small_images_are_refused(self) -> None:
        with pytest.raises(StudyError, match="8 x 8"):
            cnn6.build(cnn6.Settings(), describe(1, 7, 28))


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

    @pytest.mark.parametrize(
        ("stanza", "key", "title"),
        [
            ({"depth": 110}, "resnet110", "ResNet-110"),
            ({"depth": 110, "blocks": 18}, "resnet110", "ResNet-110"),
            (TABLE_1, "resnet110_bottleneck_fc1024", "ResNet-110 (bottleneck, FC(1024))"),
            (
                {**TABLE_1, "blocks": 18, "hidden_relu": False},
                "resnet110_bottleneck_blocks18_fc1024_linear",
                "ResNet-110 (bottleneck, blocks 18, FC(1024) without ReLU)",
            ),
            (
                {**TABLE_1, "stem_pool": True},
                "resnet110_bottleneck_pool_fc1024",
                "ResNet-110 (bottleneck, pooling after the stem, FC(1024))",
            ),
            ({"depth": 110, "blocks": 1}, "resnet110_blocks1", "ResNet-110 (blocks 1)"),
            ({"depth": 110, "blocks": [1, 2, 3]}, "resnet110_blocks1_2_3", "ResNet-110 (blocks 1, 2, 3)"),
            ({"depth": 33, "blocks": 5}, "resnet33_blocks5", "ResNet-33 (blocks 5)"),
            (
                {"depth": 110, "pre_activation": True},
                "resnet110_preactivation",
                "ResNet-110 (pre-activation)",
            ),
            ({"depth": 18, "stem": "imagenet"}, "resnet18", "ResNet-18"),
            ({"depth": 50, "stem": "imagenet", "block": "bottleneck"}, "resnet50", "ResNet-50"),
            (
                {"depth": 50, "stem": "imagenet", "block": "bottleneck", "stem_pool": True},
                "resnet50_7x7",
                "ResNet-50 (7 × 7 stem)",
            ),
            ({"depth": 50}, "resnet50_basic_cifar", "ResNet-50 (basic, cifar)"),
            (
                {"depth": 20, "stem": "imagenet", "blocks": 2},
                "resnet20_imagenet_blocks2",
                "ResNet-20 (imagenet, blocks 2)",
            ),
            ({"depth": 110, "width": 0.25}, "resnet110", "ResNet-110"),
            ({"depth": 110, "hidden_relu": False}, "resnet110", "ResNet-110"),
        ],
    )
    def test_whatever_sets_a_network_apart_is_in_its_key(
        self, stanza: dict[str, Any], key: str, title: str
    ) -> None:
        settings = resnet.Settings.model_validate(stanza)
        assert settings.key("resnet") == key
        assert resnet.Settings.title_of(key, "resnet") == title


class Pieces:
    """A network's tensors in order, spent by plain operations: an implementation beside the modules."""

    def __init__(self, network: nn.Module):
        state = network.state_dict()
        skipped = {"mean", "std"}
        self.tensors = [
            value for key, value in state.items() if key not in skipped and not key.endswith("tracked")
        ]

    def next(self) -> Tensor:
        return self.tensors.pop(0)

    def activate(self, maps: Tensor) -> Tensor:
        scale, shift, mean, variance = (self.next().view(1, -1, 1, 1) for _ in range(4))
        normal: Tensor = scale * (maps - mean) / (variance + 1e-5).sqrt() + shift
        return normal.clamp(min=0)

    def convolve(self, maps: Tensor, stride: int = 1) -> Tensor:
        weights = self.next()
        return nn.functional.conv2d(maps, weights, stride=stride, padding=weights.shape[-1] // 2)

    def classify(self, vector: Tensor) -> Tensor:
        return vector @ self.next().T + self.next()


def pre_activated(
    pieces: Pieces, maps: Tensor, stages: list[int], strides: list[int], same_shape: bool
) -> list[Tensor]:
    """He 2016b, Eq. 1 with h and F of Fig. 4e. strides: of a block's convolutions where it halves its maps.
    same_shape: the first stage keeps the stem's planes.
    """
    found = [pieces.activate(pieces.convolve(maps))]
    for index, count in enumerate(stages):
        maps = found[-1]
        for block in range(count):
            halves = index > 0 and block == 0
            projects = halves or (block == 0 and not same_shape)
            ready = maps if index == block == 0 else pieces.activate(maps)
            inner = pieces.convolve(ready, strides[0] if halves else 1)
            for stride in strides[1:]:
                inner = pieces.convolve(pieces.activate(inner), stride if halves else 1)
            maps = inner + (pieces.convolve(ready, 2 if halves else 1) if projects else maps)
        found.append(pieces.activate(maps) if index == len(stages) - 1 else maps)
    return found


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


class TestVGG:
    @pytest.mark.parametrize("depth", [11, 13, 16, 19])
    @pytest.mark.parametrize("batch_norm", [True, False])
    def test_parameters_of_torchvision(self, depth: int, batch_norm: bool) -> None:
        """Apart from the biases that batch norm makes idle."""
        with torch.device("meta"):
            theirs = getattr(torchvision.models, f"vgg{depth}{'_bn' if batch_norm else ''}")()
            settings = vgg.Settings(depth=depth, batch_norm=batch_norm, global_average_pooling=False)
            ours = vgg.build(settings, describe(3, 224, classes=1000))
        idle = sum(conv.bias.numel() for conv in layers_of(theirs, nn.Conv2d)) if batch_norm else 0
        assert count(ours) == count(theirs) - idle
        assert len(layers_of(ours, nn.Conv2d)) + len(layers_of(ours, nn.Linear)) == depth
        assert len(layers_of(ours, nn.BatchNorm2d)) == (depth - 3 if batch_norm else 0)
        assert ours.feature_shapes["layer5"] == (512, 7, 7)
        assert ours.feature_shapes["penultimate"] == (4096,)

    @pytest.mark.parametrize("depth", [11, 13, 16, 19])
    @pytest.mark.parametrize("batch_norm", [True, False])
    def test_logits_of_torchvision(self, depth: int, batch_norm: bool) -> None:
        """Convolutional part of torchvision, averaged and classified, on 64 x 64 (pooled to 2 x 2)."""
        torch.manual_seed(0)
        with torch.device("meta"):
            whole = getattr(torchvision.models, f"vgg{depth}{'_bn' if batch_norm else ''}")()
        stack: nn.Module = whole.features.to_empty(device="cpu")
        for conv in layers_of(stack, nn.Conv2d):
            nn.init.kaiming_normal_(conv.weight)
            nn.init.zeros_(conv.bias) if batch_norm else nn.init.normal_(conv.bias, std=0.1)
        randomise_statistics(stack)
        classify = nn.Linear(512, 10)
        theirs = nn.Sequential(stack, nn.AdaptiveAvgPool2d(1), nn.Flatten(), classify).eval()
        ours = vgg.build(vgg.Settings(depth=depth, batch_norm=batch_norm), describe(3, 64)).eval()
        idle = {
            k for k in theirs.state_dict() if batch_norm and k.endswith("bias") and is_convolution(theirs, k)
        }
        for norm in layers_of(stack, nn.BatchNorm2d):
            norm.num_batches_tracked.zero_()
        copy_weights(ours, theirs, skip=idle)
        images = torch.rand(2, 3, 64, 64)
        with torch.no_grad():
            expected, result = theirs(standardise(images)), ours(images)
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))

    def test_pooling_of_28_rounds_up(self) -> None:
        model = vgg.build(vgg.Settings(width=1 / 32), describe(1, 28))
        sizes = [shape[1:] for shape in model.feature_shapes.values()]
        assert sizes == [(14, 14), (7, 7), (4, 4), (2, 2), (1, 1), ()]

    def test_dropout_is_off_when_evaluating(self) -> None:
        torch.manual_seed(0)
        settings = vgg.Settings(depth=11, width=1 / 16, global_average_pooling=False)
        model = vgg.build(settings, describe(1, 28))
        images = torch.rand(4, 1, 28, 28)
        assert [layer.p for layer in layers_of(model, nn.Dropout)] == [0.5, 0.5]
        assert not torch.equal(model.train()(images), model(images))
        assert torch.equal(model.eval()(images), model(images))

    @pytest.mark.parametrize("stanza", [{"depth": 12}, {"dropout": 1}, {"batch_norm": 1}, {"width": -1}])
    def test_what_does_not_fit_is_refused(self, stanza: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=next(iter(stanza))):
            vgg.Settings.model_validate(stanza)

    def test_key(self) -> None:
        assert vgg.Settings(depth=16).key("vgg") == "vgg16"


def is_convolution(module: nn.Module, key: str) -> bool:
    return isinstance(module.get_submodule(key.rpartition(".")[0]), nn.Conv2d)


@pytest.mark.parametrize(
    ("name", "expected"), [("cnn6", "cnn6"), ("lenet", "lenet"), ("wide_resnet", "wide_resnet")]
)
def test_an_architecture_without_variants_keeps_its_files_name(name: str, expected: str) -> None:
    settings: Any = registry.settings_class("architectures", name)()
    assert settings.key(name) == expected


def receptive_field(model: Classifier, feature: str, size: int) -> tuple[int, int]:
    """Return height and width of the pixels that the middle unit of a map depends on."""
    image = torch.rand(1, 1, size, size, requires_grad=True)
    maps = model.eval().features(image)[feature]
    maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].square().sum().backward()
    assert image.grad is not None
    rows, columns = torch.nonzero(image.grad[0, 0], as_tuple=True)
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


@pytest.mark.parametrize(
    ("feature", "reach"),
    [
        # r' = r + (kernel - 1) * jump, the jump doubling at each pooling: 5, 9, then the pool's 10
        ("layer1", 10),
        # from 10 at jump 2: 18, 26, then the pool's 28
        ("layer2", 28),
        # from 28 at jump 4: 44, 60, then the pool's 64
        ("layer3", 64),
    ],
)
def test_receptive_fields_of_cnn6(feature: str, reach: int) -> None:
    """A max pooling lets one of its pixels through only, so that average pooling stands in for it."""
    torch.manual_seed(0)
    model = cnn6.build(cnn6.Settings(width=1 / 16), describe(1, 96))
    for block in (model.get_submodule(f"layer{i}") for i in (1, 2, 3)):
        assert isinstance(block, nn.Sequential)
        block[-1] = nn.AvgPool2d(2)
    assert receptive_field(model, feature, 96) == (reach, reach)
