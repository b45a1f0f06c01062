from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from reproof import registry
from reproof.data.dataset import DataDescription, to_unit
from reproof.defenses.defensive_features import DefensiveFeatureNetwork, DefensiveFeatures, Settings
from reproof.errors import StudyError
from reproof.models.classifier import Classifier
from reproof.models.defense import Progress
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train
from tests.ours import cases_here, here, needs, networks
from tests.tiny_classifier import (
    DESCRIPTION,
    LinearClassifier,
    PlainDefense,
    TinyClassifier,
    build_tiny,
    make_data,
)

FIRST = Progress(0, 7, 0)
PHOTOGRAPHS = DataDescription(3, 32, 32, 10, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
DIGITS = DataDescription(1, 29, 31, 10, (0.1,), (0.3,))
EVERY_ARCHITECTURE: list[tuple[str, dict[str, Any]]] = [
    *[(name, {}) for name in networks()],
    *cases_here(
        "architectures",
        [
            ("resnet", {"depth": 18, "stem": "imagenet"}),
            ("resnet", {"depth": 34, "stem": "imagenet", "width": 1 / 32}),
            ("resnet", {"depth": 50, "stem": "imagenet", "block": "bottleneck", "width": 1 / 32}),
            ("resnet", {"depth": 11, "block": "bottleneck", "hidden": 64}),
            ("vgg", {"depth": 11, "batch_norm": False, "global_average_pooling": False, "width": 1 / 32}),
        ],
    ),
]


class Ladder(Classifier):
    """Three maps of 8 x 8, 4 x 4 and 2 x 2 pixels with 1, 2 and 3 channels, and a vector behind them."""

    def __init__(self, data: DataDescription = DESCRIPTION):
        super().__init__(data)
        self.first = nn.Conv2d(1, 1, 1)
        self.second = nn.Conv2d(1, 2, 2, stride=2)
        self.third = nn.Conv2d(2, 3, 2, stride=2)
        self.hidden = nn.Sequential(nn.Linear(12, 5), nn.BatchNorm1d(5), nn.ReLU())
        self.classify = nn.Linear(5, data.classes)
        self.feature_shapes = {"first": (1, 8, 8), "second": (2, 4, 4), "third": (3, 2, 2), "vector": (5,)}

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        first = self.first(self.normalise(images))
        second = self.second(first)
        third = self.third(second)
        vector = self.hidden(third.flatten(1))
        maps = {"first": first, "second": second, "third": third}
        return self.classify(vector), {**maps, "vector": vector}


class Bare(LinearClassifier):
    """Its weights belong to no layer, and one of its features is a map."""

    def __init__(self) -> None:
        super().__init__(DESCRIPTION, torch.ones(3, 64), torch.zeros(3))
        self.convolve = nn.Conv2d(1, 2, 3, padding=1)
        self.feature_shapes = {"map": (2, 8, 8), "pixels": (64,)}

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits, features = super().logits_and_features(images)
        return logits, {"map": self.convolve(images), **features}


def ladder(**options: Any) -> DefensiveFeatureNetwork:
    torch.manual_seed(0)
    network = DefensiveFeatures(Settings(**options)).build(Ladder(), DESCRIPTION).classifier
    assert isinstance(network, DefensiveFeatureNetwork)
    return network


def wrapped(name: str, stanza: dict[str, Any], data: DataDescription, **options: Any) -> Classifier:
    declared = registry.load("architectures", name)
    torch.manual_seed(0)
    network = declared.build(declared.Settings(**{"width": 1 / 16} | stanza), data)
    return DefensiveFeatures(Settings(**options)).build(network, data).classifier


def draw(data: DataDescription, count: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, data.channels, data.height, data.width, generator=generator)


def pooled_by_hand(maps: Tensor, size: int) -> Tensor:
    """Return the largest value of each of size x size equal windows."""
    step = maps.shape[2] // size
    rows = [maps[:, :, i * step : (i + 1) * step].amax(dim=2) for i in range(size)]
    halves = torch.stack(rows, dim=2)
    columns = [halves[..., j * step : (j + 1) * step].amax(dim=3) for j in range(size)]
    return torch.stack(columns, dim=3)


def transposed_by_hand(maps: Tensor, layer: nn.Module) -> Tensor:
    """Return a 1 x 1 transposed convolution: every pixel's channels times weight (in, out)."""
    assert isinstance(layer, nn.ConvTranspose2d)
    result = torch.einsum("ncij,co->noij", maps, layer.weight[:, :, 0, 0])
    return result if layer.bias is None else result + layer.bias.view(1, -1, 1, 1)


def parts(block: nn.Module) -> list[nn.Module]:
    return list(block.children())


class TestEquation1:
    @pytest.mark.parametrize("pooling", ["after", "before"])
    def test_plain_blocks_by_hand(self, pooling: str) -> None:
        network = ladder(block="plain", pooling=pooling).eval()
        images = draw(DESCRIPTION)
        first, second, third, *_ = network.network.features(images).values()
        expected = [third]
        for maps, block in zip((first, second), network.blocks, strict=True):
            (layer,) = parts(block)
            if pooling == "after":
                expected.append(pooled_by_hand(transposed_by_hand(maps, layer), 2))
            else:
                expected.append(transposed_by_hand(pooled_by_hand(maps, 2), layer))
        joined = torch.cat(expected, dim=1)
        logits, features = network.logits_and_features(images)
        torch.testing.assert_close(features["defensive"], joined)
        average = joined.sum(dim=(2, 3)) / 4
        torch.testing.assert_close(features["penultimate"], average)
        assert isinstance(network.classify, nn.Linear)
        torch.testing.assert_close(logits, average @ network.classify.weight.T + network.classify.bias)

    def test_pooling_before_or_after_differ(self) -> None:
        before, after = ladder(block="plain", pooling="before"), ladder(block="plain")
        before.load_state_dict(after.state_dict())
        images = draw(DESCRIPTION)
        assert not torch.allclose(before.eval()(images), after.eval()(images))

    def test_a_normalised_block_is_a_deconvolution_batch_norm_and_relu(self) -> None:
        network = ladder().train()
        block = network.blocks[1]
        layer, norm, relu = parts(block)
        assert isinstance(norm, nn.BatchNorm2d)
        assert isinstance(relu, nn.ReLU)
        maps = torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(2))
        raw = transposed_by_hand(maps, layer)
        centred = raw - raw.mean(dim=(0, 2, 3), keepdim=True)
        scaled = centred / (centred.square().mean(dim=(0, 2, 3), keepdim=True) + norm.eps).sqrt()
        torch.testing.assert_close(block(maps), scaled.clamp(min=0))

    def test_blocks_give_out_what_comes_in(self) -> None:
        network = ladder()
        assert network.feature_shapes == {
            "first": (1, 8, 8),
            "second": (2, 4, 4),
            "third": (3, 2, 2),
            "defensive": (3 + 1 + 2, 2, 2),
            "penultimate": (6,),
        }

    def test_their_channels_are_a_setting(self) -> None:
        network = ladder(channels=7)
        assert network.feature_shapes["defensive"] == (3 + 7 + 7, 2, 2)
        assert network(draw(DESCRIPTION)).shape == (4, 3)

    @pytest.mark.parametrize("kernel", [1, 3, 5])
    def test_a_larger_kernel_keeps_the_maps_size(self, kernel: int) -> None:
        network = ladder(kernel=kernel)
        layer = parts(network.blocks[0])[0]
        assert isinstance(layer, nn.ConvTranspose2d)
        assert layer.kernel_size == (kernel, kernel)
        assert network.blocks[0](torch.ones(2, 1, 8, 8)).shape == (2, 1, 8, 8)

    def test_blocks_keep_the_variance_of_what_comes_in(self) -> None:
        """He's rule: rectified inputs leave as much energy as they brought, before the ReLU twice as much."""
        maps = torch.randn(4, 2, 64, 64, generator=torch.Generator().manual_seed(2))
        for block, gain in (("normalised", 2.0), ("plain", 1.0)):
            ratios = []
            for seed in range(100):
                torch.manual_seed(seed)
                network = DefensiveFeatureNetwork(
                    Settings.model_validate({"block": block, "channels": 64}), Ladder(), DESCRIPTION
                )
                with torch.no_grad():
                    out = parts(network.blocks[1])[0](maps)
                ratios.append(float(out.square().mean() / maps.square().mean()))
            assert sum(ratios) / len(ratios) == pytest.approx(gain, rel=0.1)

    @needs("architectures/lenet")
    def test_uneven_maps_are_pooled_adaptively(self) -> None:
        network = wrapped("lenet", {"width": 1}, DIGITS).eval()
        _, features = network.logits_and_features(draw(DIGITS))
        assert features["conv1"].shape[2:] == (14, 15)
        assert features["defensive"].shape[1:] == (16 + 6, 5, 5)


class TestHead:
    def test_layers_behind_the_last_map_are_gone(self) -> None:
        network = ladder()
        left = {name.split(".")[0] for name, _ in network.network.named_parameters()}
        assert left == {"first", "second", "third"}
        assert not any(isinstance(module, nn.Linear | nn.BatchNorm1d) for module in network.network.modules())

    def test_the_maps_are_those_of_the_network_itself(self) -> None:
        images = draw(DESCRIPTION)
        before = Ladder().eval()
        torch.manual_seed(0)
        plain = Ladder().eval()
        assert not torch.equal(before.features(images)["third"], plain.features(images)["third"])
        kept = {name: maps.clone() for name, maps in plain.features(images).items()}
        found = ladder().eval().features(images)
        assert all(torch.equal(found[name], kept[name]) for name in ("first", "second", "third"))

    def test_building_leaves_the_mode_and_the_running_statistics(self) -> None:
        for training in (True, False):
            network = TinyClassifier(batch_norm=True).train(training)
            built = DefensiveFeatures(Settings()).build(network, DESCRIPTION).classifier
            assert network.training is training
            norm = next(m for m in built.modules() if isinstance(m, nn.BatchNorm2d))
            assert norm.training is training
            assert norm.num_batches_tracked is not None
            assert norm.num_batches_tracked.item() == 0

    def test_weights_of_no_layer_are_frozen(self) -> None:
        network = DefensiveFeatures(Settings()).build(Bare(), DESCRIPTION).classifier
        trained = {name for name, p in network.named_parameters() if p.requires_grad}
        assert trained == {
            "network.convolve.weight",
            "network.convolve.bias",
            "classify.weight",
            "classify.bias",
        }

    def test_what_was_frozen_stays_frozen(self) -> None:
        network = Ladder()
        network.second.requires_grad_(False)
        built = DefensiveFeatures(Settings()).build(network, DESCRIPTION).classifier
        frozen = {name for name, p in built.named_parameters() if not p.requires_grad}
        assert frozen == {"network.second.weight", "network.second.bias"}

    def test_it_can_be_built_where_gradients_are_off(self) -> None:
        with torch.no_grad():
            network = ladder()
        assert len(list(network.network.parameters())) == 6


@pytest.mark.parametrize(("name", "stanza"), EVERY_ARCHITECTURE)
class TestEveryArchitecture:
    def test_the_loss_reaches_every_parameter(self, name: str, stanza: dict[str, Any]) -> None:
        network = wrapped(name, stanza, PHOTOGRAPHS).train()
        logits = network(draw(PHOTOGRAPHS))
        torch.autograd.backward(nn.functional.cross_entropy(logits, torch.arange(4)))
        assert [key for key, p in network.named_parameters() if p.grad is None] == []
        assert all(p.requires_grad for p in network.parameters())

    def test_features_are_named_and_shaped_and_the_last_one_is_classified(
        self, name: str, stanza: dict[str, Any]
    ) -> None:
        network = wrapped(name, stanza, DIGITS).eval()
        assert isinstance(network, DefensiveFeatureNetwork)
        assert isinstance(network.classify, nn.Linear)
        with torch.no_grad():
            logits, features = network.logits_and_features(draw(DIGITS))
            shapes = {key: tuple(value.shape[1:]) for key, value in features.items()}
            assert list(shapes.items()) == list(network.feature_shapes.items())
            torch.testing.assert_close(network.classify(features["penultimate"]), logits)
        *maps, joined, _ = network.feature_shapes.values()
        assert joined == (sum(shape[0] for shape in maps), *maps[-1][1:])
        assert len(network.blocks) == len(maps) - 1


class TestTaps:
    @needs("architectures/resnet")
    def test_a_resnet_50_has_four_blocks_at_its_stages(self) -> None:
        stanza = {"depth": 50, "stem": "imagenet", "block": "bottleneck", "width": 1 / 32}
        network = wrapped("resnet", stanza, PHOTOGRAPHS)
        assert isinstance(network, DefensiveFeatureNetwork)
        assert len(network.blocks) == 4
        assert network.feature_shapes["defensive"] == (64 + 2 + 8 + 16 + 32, 4, 4)

    @needs("architectures/resnet")
    @pytest.mark.parametrize(
        ("name", "stanza"),
        [
            ("resnet", {"depth": 18, "stem": "imagenet"}),
            ("resnet", {"depth": 50, "stem": "imagenet", "block": "bottleneck", "width": 1 / 32}),
            ("resnet", {"depth": 14, "pre_activation": True}),
            ("wide_resnet", {"depth": 16, "widening": 2, "width": 1 / 8}),
        ],
    )
    def test_blocks_adds_every_residual_block(self, name: str, stanza: dict[str, Any]) -> None:
        images = draw(PHOTOGRAPHS)
        stages = wrapped(name, stanza, PHOTOGRAPHS).eval()
        blocks = wrapped(name, stanza, PHOTOGRAPHS, taps="blocks").eval()
        assert isinstance(blocks, DefensiveFeatureNetwork)
        at_stages, at_blocks = stages.features(images), blocks.features(images)
        maps = [key for key, value in at_stages.items() if value.dim() == 4 and key != "defensive"]
        assert all(torch.equal(at_stages[key], at_blocks[key]) for key in maps)
        assert {key: tuple(value.shape[1:]) for key, value in at_blocks.items()} == blocks.feature_shapes
        residual = sum(hasattr(module, "shortcut") for module in blocks.network.modules())
        assert len(blocks.blocks) == residual  # the stem's map and all but the last block's
        torch.autograd.backward(blocks.train()(images).square().sum())
        assert [key for key, p in blocks.named_parameters() if p.grad is None] == []

    @needs("architectures/resnet")
    def test_blocks_are_numbered_within_their_stage(self) -> None:
        network = wrapped("resnet", {"depth": 14}, PHOTOGRAPHS, taps="blocks")
        assert list(network.feature_shapes) == [
            *("layer1", "layer2.1", "layer2", "layer3.1", "layer3", "layer4.1", "layer4"),
            *("defensive", "penultimate"),
        ]

    @pytest.mark.parametrize("name", here("architectures", "cnn6", "lenet", "vgg"))
    def test_a_network_without_residual_blocks_is_refused(self, name: str) -> None:
        with pytest.raises(StudyError, match="no residual blocks"):
            wrapped(name, {}, PHOTOGRAPHS, taps="blocks")


class TestMethod:
    def test_the_loss_is_cross_entropy(self) -> None:
        defense = DefensiveFeatures(Settings())
        trainee = build_tiny(defense)
        images, labels = make_data().select("train", 9)
        loss = defense.loss(trainee, to_unit(images), labels, FIRST)
        expected = -trainee(to_unit(images)).log_softmax(dim=1)[torch.arange(9), labels]
        torch.testing.assert_close(loss, expected)

    def test_it_shapes_the_network_and_has_no_view(self) -> None:
        assert Settings.shapes_network
        assert Settings.attack_losses == ()
        assert 1.0 < Settings().relative_cost() < Settings(taps="blocks").relative_cost()

    def test_keys_tell_the_taps_apart(self) -> None:
        assert Settings().key("dfl") == "dfl"
        assert Settings(taps="blocks").key("dfl") == "dfl[blocks]"

    def test_another_defense_builds_on_it(self) -> None:
        classifier = DefensiveFeatures(Settings()).build(TinyClassifier(), DESCRIPTION).classifier
        outer = PlainDefense()
        trainee = outer.build(classifier, DESCRIPTION)
        training = TrainingSettings(epochs=1, batch_size=32, learning_rate=0.01)
        train(outer, trainee, make_data(), training, seed=0, progress=False)
        assert trainee.classifier is classifier

    def test_it_learns(self) -> None:
        defense = DefensiveFeatures(Settings())
        torch.manual_seed(0)
        trainee = defense.build(Ladder(), DESCRIPTION)
        training = TrainingSettings(epochs=20, batch_size=32, learning_rate=0.1)
        history = train(defense, trainee, make_data(), training, seed=0, progress=False)
        assert history[-1]["validation_accuracy"] > 0.6


class TestWrongSettings:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"kernel": 2}, "kernel should be odd, so that a map keeps its size; it is 2"),
            ({"channels": 0}, "greater than or equal to 1"),
            ({"taps": "convolutions"}, "'stages' or 'blocks'"),
            ({"tap": "stages"}, "did you mean 'taps'"),
        ],
    )
    def test_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Settings(**wrong)

    def test_a_network_without_maps_is_refused(self) -> None:
        network = LinearClassifier(DESCRIPTION, torch.ones(3, 64), torch.zeros(3))
        with pytest.raises(StudyError, match="needs a network with maps"):
            DefensiveFeatures(Settings()).build(network, DESCRIPTION)
