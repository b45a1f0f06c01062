"""What every architecture promises; a new file in the folder is tested without an edit here."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from reproof import registry
from reproof.data.dataset import DataDescription
from reproof.errors import StudyError
from reproof.models.classifier import Classifier
from reproof.settings.architecture import ArchitectureSettings
from tests.ours import cases_here, networks

SMALL = 1 / 16
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("resnet", {"depth": 11, "block": "bottleneck", "hidden": 64}),
    ("resnet", {"depth": 11, "block": "bottleneck", "hidden": 64, "hidden_relu": False, "stem_pool": True}),
    ("resnet", {"depth": 18, "stem": "imagenet"}),
    ("resnet", {"depth": 50, "stem": "imagenet", "block": "bottleneck", "blocks": 1, "stem_pool": True}),
    ("resnet", {"depth": 14, "pre_activation": True}),
    ("resnet", {"depth": 11, "block": "bottleneck", "hidden": 64, "pre_activation": True}),
    (
        "resnet",
        {"depth": 50, "stem": "imagenet", "block": "bottleneck", "blocks": 1, "stem_pool": True}
        | {"pre_activation": True},
    ),
    ("vgg", {"depth": 11, "batch_norm": False, "global_average_pooling": False, "width": 1 / 32}),
    ("vgg", {"depth": 13, "batch_norm": False}),
    ("vgg", {"depth": 11, "global_average_pooling": False, "width": 1 / 32}),
    ("wide_resnet", {"depth": 10, "widening": 1, "dropout": 0.3}),
]
CASES = [(name, {}) for name in networks()] + cases_here("architectures", VARIANTS)
SHAPES = [(1, 28, 28), (3, 28, 28), (1, 32, 32), (3, 32, 32), (1, 28, 36), (3, 28, 36), (1, 29, 31)]

every_case = pytest.mark.parametrize(
    ("name", "stanza"), CASES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(CASES)]
)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))


def describe(
    shape: tuple[int, int, int], classes: int = 7, mean: float = 0.3, std: float = 0.4
) -> DataDescription:
    channels, height, width = shape
    means = tuple(mean + 0.1 * c for c in range(channels))
    stds = tuple(std + 0.1 * c for c in range(channels))
    return DataDescription(channels, height, width, classes, means, stds)


def parse(name: str, stanza: dict[str, Any]) -> ArchitectureSettings:
    declared = registry.settings_class("architectures", name)
    small = {"width": SMALL} if "width" in declared.model_fields else {}
    settings = declared.model_validate(small | stanza)
    assert isinstance(settings, ArchitectureSettings)
    return settings


def build(name: str, stanza: dict[str, Any], data: DataDescription, seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    classifier = registry.load("architectures", name).build(parse(name, stanza), data)
    assert isinstance(classifier, Classifier)
    return classifier


def draw(count: int, shape: tuple[int, int, int], seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    contrast = torch.rand(count, 1, 1, 1, generator=generator)
    return torch.rand(count, *shape, generator=generator) * contrast


@every_case
def test_features_that_are_declared_are_those_of_the_network(name: str, stanza: dict[str, Any]) -> None:
    declared, network = parse(name, stanza), build(name, stanza, describe((1, 28, 28)))
    assert declared.features == tuple(network.feature_shapes)
    assert declared.residual == (type(network).expose_blocks is not Classifier.expose_blocks)


@pytest.mark.parametrize("name", networks())
def test_smallest_images_that_are_declared_are_the_smallest_that_can_be_classified(name: str) -> None:
    side = parse(name, {}).smallest_side
    network = build(name, {}, describe((1, side, side))).eval()
    assert network(torch.rand(1, 1, side, side)).isfinite().all()
    if side > 1:
        with pytest.raises(StudyError, match="pixels"):
            build(name, {}, describe((1, side - 1, side)))


@every_shape
@every_case
def test_logits_and_features_have_the_declared_shapes(
    name: str, stanza: dict[str, Any], shape: tuple[int, int, int]
) -> None:
    classifier = build(name, stanza, describe(shape)).eval()
    with torch.no_grad():
        logits, features = classifier.logits_and_features(draw(2, shape))
    assert logits.shape == (2, 7)
    assert logits.dtype == torch.float32
    assert {key: tuple(value.shape[1:]) for key, value in features.items()} == classifier.feature_shapes
    assert list(features) == list(classifier.feature_shapes)
    assert all(len(value) == 2 and bool(value.isfinite().all()) for value in features.values())
    assert len(list(classifier.feature_shapes.values())[-1]) == 1


@every_case
def test_forward_and_features_are_the_one_pass(name: str, stanza: dict[str, Any]) -> None:
    classifier = build(name, stanza, describe((1, 28, 28))).eval()
    images = draw(3, (1, 28, 28))
    logits, features = classifier.logits_and_features(images)
    assert torch.equal(classifier(images), logits)
    again = classifier.features(images)
    assert all(torch.equal(again[key], value) for key, value in features.items())


@every_case
def test_every_feature_lies_on_the_way_to_the_logits(name: str, stanza: dict[str, Any]) -> None:
    """No feature is a detached copy or changed in place after it was taken."""
    classifier = build(name, stanza, describe((1, 28, 28))).eval()
    logits, features = classifier.logits_and_features(draw(4, (1, 28, 28)))
    gradients = torch.autograd.grad(logits.square().sum(), list(features.values()))
    for gradient, feature in zip(gradients, features.values(), strict=True):
        assert bool(gradient.isfinite().all())
        assert float(gradient.abs().sum()) > 0
        assert gradient.shape == feature.shape


@every_case
def test_gradients_are_finite_everywhere_and_reach_the_images(name: str, stanza: dict[str, Any]) -> None:
    classifier = build(name, stanza, describe((3, 28, 28))).train()
    images = draw(4, (3, 28, 28)).requires_grad_()
    torch.nn.functional.cross_entropy(classifier(images), torch.arange(4)).backward()
    for parameter_name, parameter in classifier.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert bool(parameter.grad.isfinite().all()), parameter_name
    assert images.grad is not None
    assert bool(images.grad.isfinite().all())
    assert float(images.grad.abs().sum()) > 0


@every_case
def test_images_are_not_mutated(name: str, stanza: dict[str, Any]) -> None:
    images = draw(3, (3, 28, 28))
    before = images.clone()
    build(name, stanza, describe((3, 28, 28))).train()(images)
    assert torch.equal(images, before)


@every_case
def test_the_seed_decides_the_weights(name: str, stanza: dict[str, Any]) -> None:
    data = describe((1, 28, 28))
    first, same, other = (build(name, stanza, data, seed).state_dict() for seed in (3, 3, 4))
    assert list(first) == list(same)
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@every_case
def test_no_weight_is_shared_or_left_out_of_the_state(name: str, stanza: dict[str, Any]) -> None:
    """Models of two seeds agree once one has loaded the other's state: nothing else decides the logits."""
    data, images = describe((1, 28, 28)), draw(3, (1, 28, 28))
    first, second = build(name, stanza, data, 3).eval(), build(name, stanza, data, 4).eval()
    assert not torch.equal(first(images), second(images))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(images), second(images))
    pointers = [value.data_ptr() for value in first.state_dict().values()]
    assert len(set(pointers)) == len(pointers)


@every_case
def test_settings_survive_a_round_trip(name: str, stanza: dict[str, Any]) -> None:
    settings = parse(name, stanza)
    assert type(settings).model_validate(settings.model_dump()) == settings
    assert type(settings).model_validate_json(settings.model_dump_json()) == settings
    whole_file = registry.load("architectures", name).Settings
    assert whole_file.model_validate(settings.model_dump()).model_dump() == settings.model_dump()


@every_case
def test_settings_are_explained_frozen_and_closed(name: str, stanza: dict[str, Any]) -> None:
    settings = parse(name, stanza)
    for field_name, schema in type(settings).model_json_schema().get("properties", {}).items():
        assert schema.get("description"), f"{name}: {field_name} has no docstring"
        with pytest.raises(ValidationError):
            setattr(settings, field_name, getattr(settings, field_name))
    with pytest.raises(ValidationError, match="not_a_setting"):
        type(settings).model_validate({"not_a_setting": 1})
    key = settings.key(name)
    assert key.startswith(name)
    assert key.replace("_", "").isalnum()


@every_case
def test_evaluation_is_deterministic_and_leaves_no_trace(name: str, stanza: dict[str, Any]) -> None:
    classifier = build(name, stanza, describe((1, 28, 28))).eval()
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    images = draw(3, (1, 28, 28))
    assert torch.equal(classifier(images), classifier(images))
    assert all(torch.equal(value, before[key]) for key, value in classifier.state_dict().items())


@every_case
def test_evaluation_does_not_depend_on_the_rest_of_the_batch(name: str, stanza: dict[str, Any]) -> None:
    classifier = build(name, stanza, describe((1, 28, 28))).double().eval()
    images = draw(5, (1, 28, 28)).double()
    together = classifier(images)
    alone = torch.cat([classifier(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)
    assert float((together[0] - together[1]).detach().abs().max()) > 1e-6


@every_case
def test_the_last_feature_feeds_a_linear_layer(name: str, stanza: dict[str, Any]) -> None:
    """The logits are an affine map of the last feature: least squares over many images leaves nothing."""
    shape = (1, 28, 28)
    classifier = build(name, stanza, describe(shape)).double().eval()
    size = list(classifier.feature_shapes.values())[-1][0]
    with torch.no_grad():
        logits, features = classifier.logits_and_features(draw(3 * size + 10, shape).double())
    vectors = list(features.values())[-1]
    design = torch.cat([vectors, torch.ones(len(vectors), 1, dtype=torch.float64)], dim=1)
    solution = torch.linalg.lstsq(design, logits, driver="gelsd").solution
    spread = float(logits.std(dim=0).max())
    assert spread > 1e-4
    assert float((design @ solution - logits).abs().max()) < 1e-7 * spread


@every_case
def test_normalisation_is_inside(name: str, stanza: dict[str, Any]) -> None:
    """The same weights see the same thing when mean, spread and images are moved together."""
    shape = (3, 28, 28)
    here, there = describe(shape), describe(shape, mean=0.6, std=0.2)
    images = draw(3, shape).double()
    moved = images.clone()
    for channel in range(3):
        unit = (images[:, channel] - here.mean[channel]) / here.std[channel]
        moved[:, channel] = unit * there.std[channel] + there.mean[channel]
    first, second = (build(name, stanza, data).double().eval() for data in (here, there))
    torch.testing.assert_close(first(images), second(moved), rtol=1e-5, atol=1e-5)
    assert float((first(images) - second(images)).detach().abs().max()) > 1e-3


@every_case
def test_channels_last_gives_the_same_logits(name: str, stanza: dict[str, Any]) -> None:
    classifier = build(name, stanza, describe((3, 28, 36))).double().eval()
    images = draw(3, (3, 28, 36)).double()
    expected = classifier(images)
    classifier = classifier.to(memory_format=torch.channels_last)
    result = classifier(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(result, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "stanza"), CASES)
def test_the_key_of_any_settings_has_a_title_and_belongs_to_one_file(
    name: str, stanza: dict[str, Any]
) -> None:
    key = parse(name, stanza).key(name)
    owners = {other: parse(other, {}).title_of(key, other) for other in networks()}
    assert {other for other, title in owners.items() if title} == {name}
    assert registry.title("architectures", key) == owners[name]


TITLES = [
    ("vgg13", "VGG-13"),
    ("vgg12", None),
    ("vgg", None),
    ("vgg019", None),
    ("resnet18", "ResNet-18"),
    ("resnet32", "ResNet-32"),
    ("resnet110", "ResNet-110"),
    ("resnet110_bottleneck_fc1024", "ResNet-110 (bottleneck, FC(1024))"),
    ("resnet110_linear", None),
    ("resnet110_fc", None),
    ("resnet152", "ResNet-152"),
    ("resnet33", None),
    ("resnet2", None),
    ("resnet050", None),
    ("resnet", None),
    ("wide_resnet", "Wide ResNet"),
]


@pytest.mark.parametrize(
    ("key", "title"),
    cases_here(
        "architectures",
        TITLES,
        lambda case: case[0].partition("_")[0].rstrip("0123456789") if case[0] != "wide_resnet" else case[0],
    ),
)
def test_networks_of_many_depths_are_called_by_their_depth(key: str, title: str | None) -> None:
    assert registry.title("architectures", key) == title
