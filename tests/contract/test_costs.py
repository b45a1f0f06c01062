"""What every plugin says it costs is what it costs, so that the plan's estimate can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_origin

import pytest
import torch
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import engine, judge
from reproof.data.dataset import DataDescription
from reproof.models.defense import Defense, Progress
from reproof.models.purifier import Purified
from reproof.settings.adversarial_training import AdversarialTraining
from reproof.settings.architecture import ArchitectureSettings
from reproof.settings.attack import AttackSettings
from reproof.settings.cost import FORWARD
from reproof.settings.dataset import DatasetSettings
from reproof.settings.defense import DefenseSettings
from reproof.settings.values import Settings
from reproof.training import adversarial as training_adversarial
from tests.ours import cases_here, networks
from tests.tiny_classifier import PlainDefense, TinyClassifier, build_tiny, make_data

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("resnet", {"depth": 11, "block": "bottleneck", "hidden": 64}),
    ("resnet", {"depth": 14, "stem_pool": True}),
    ("resnet", {"depth": 18, "stem": "imagenet"}),
    ("resnet", {"depth": 50, "stem": "imagenet", "block": "bottleneck", "blocks": 2, "stem_pool": True}),
    ("resnet", {"depth": 11, "block": "bottleneck", "hidden": 64, "pre_activation": True}),
    ("resnet", {"depth": 14, "pre_activation": True}),
    ("vgg", {"depth": 11, "batch_norm": False, "global_average_pooling": False}),
    ("vgg", {"depth": 16}),
    ("wide_resnet", {"depth": 10, "widening": 1}),
]
ARCHITECTURES = [
    *((name, {}) for name in networks()),
    *cases_here("architectures", VARIANTS),
]


def declare(family: registry.Family, name: str, **stanza: Any) -> Any:
    declared = registry.settings_class(family, name)
    own = {key: value for key, value in stanza.items() if key in declared.model_fields}
    return declared(**{**(getattr(declared, "example", {}) if family == "datasets" else {}), **own})


def count(network: nn.Module, images: Tensor) -> int:
    """Return the multiply-adds of one image's pass, seen by hooks on convolutions and linear layers."""
    total = 0

    def add(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d | nn.Linear)
        total += module.weight.numel() * output[0, 0].numel()

    for module in network.modules():
        assert not isinstance(module, nn.Conv1d | nn.Conv3d | nn.Bilinear | nn.RNNBase)
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(add)
    with torch.no_grad():
        network.eval()(images)
    return total


@pytest.mark.parametrize("width", [1 / 16, 0.1])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28), (1, 32, 32), (3, 32, 32), (1, 29, 36)])
@pytest.mark.parametrize(
    ("name", "stanza"), ARCHITECTURES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(ARCHITECTURES)]
)
def test_a_network_s_multiply_adds_and_weights_are_the_declared_ones(
    name: str, stanza: dict[str, Any], shape: tuple[int, int, int], width: float
) -> None:
    settings: ArchitectureSettings = declare("architectures", name, width=width, **stanza)
    channels = shape[0]
    network = registry.load("architectures", name).build(
        settings, DataDescription(*shape, 7, (0.5,) * channels, (0.5,) * channels)
    )
    assert settings.multiply_adds(*shape, 7) == count(network, torch.zeros(1, *shape))
    weights = [m.weight.numel() for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert sorted(weights) == sorted(weights for weights, _ in settings.layers(*shape, 7))


@pytest.mark.parametrize("name", registry.names("datasets"))
def test_a_data_set_says_how_many_classes_images_and_pixels_it_has(name: str) -> None:
    settings: DatasetSettings = declare("datasets", name)
    assert len(settings.class_names) > 1
    assert set(settings.sizes()) == {"train", "validation", "test"}
    assert all(size > 0 for size in (*settings.shape, *settings.sizes().values()))


EMBEDDED = [name for name in registry.names("datasets") if not declare("datasets", name).downloads]


@pytest.mark.parametrize("stanza", [{}, {"image_size": 32, "test_images": 300, "validation_images": 100}])
@pytest.mark.parametrize("name", EMBEDDED)
def test_a_prepared_data_set_has_the_declared_shape_and_sizes(
    name: str, stanza: dict[str, Any], tmp_path: Path
) -> None:
    settings: DatasetSettings = declare("datasets", name, **stanza)
    data = registry.load("datasets", name).prepare(settings, tmp_path)
    assert settings.shape == data.images.shape[1:]
    assert settings.sizes() == {split: len(rows) for split, rows in data.splits.items()}
    assert len(settings.class_names) == data.description.classes


class Meter:
    """Counts an evaluated network's work: images forward, and images back to the input."""

    def __init__(self, network: nn.Module):
        self.passes = 0.0
        network.register_forward_hook(self._forward)

    def _forward(self, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if torch.is_inference_mode_enabled():
            return  # the engine judges
        self.passes += FORWARD * len(output)
        if output.requires_grad:
            output.register_hook(self._backward)

    def _backward(self, gradient: Tensor) -> None:
        self.passes += (1 - FORWARD) * len(gradient)


def attack(name: str, epsilon: float, constant: float) -> tuple[float, AttackSettings]:
    """Return an attack's counted passes per image at one point, on a tiny network, and its settings.

    One that leaves an image as soon as it is fooled is given one step, which all images take.
    """
    declared = registry.settings_class("attacks", name)
    assert issubclass(declared, AttackSettings)
    steps = 20 if declared.usual_steps is None else 1
    several = (
        "steps" in declared.model_fields and get_origin(declared.model_fields["steps"].annotation) is tuple
    )
    settings: AttackSettings = declare(
        "attacks",
        name,
        epsilons=[epsilon],
        constants=[constant],
        steps=[steps] if several else steps,
        restarts=3,
        binary_search_steps=2,
        queries=40,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 10)).eval()
        images = torch.rand(24, 1, 6, 6)
    labels = judge.predict(network, images, 24, "cpu").argmax(1)
    meter = Meter(network)
    engine.AttackEngine(network, seed=0, batch_size=24, device="cpu", skip_misclassified=False).run(
        name, settings, images, labels, labels
    )
    return meter.passes / len(images), settings


STEADY = [
    name
    for name in registry.names("attacks")
    if getattr(registry.settings_class("attacks", name), "usual_steps", None) is None
]
HASTY = [name for name in registry.names("attacks") if name not in STEADY]


@pytest.mark.parametrize("name", HASTY)
def test_a_step_of_an_attack_that_stops_at_success_takes_about_the_declared_passes(name: str) -> None:
    counted, settings = attack(name, epsilon=0.2, constant=10)
    assert 0.6 * settings.passes() <= counted <= 1.4 * settings.passes()


@pytest.mark.parametrize("name", STEADY)
def test_an_attack_that_fools_nobody_takes_the_declared_passes(name: str) -> None:
    counted, settings = attack(name, epsilon=1e-6, constant=1e-6)
    assert counted == pytest.approx(settings.passes(), rel=0.02)


@pytest.mark.parametrize("name", STEADY)
def test_an_attack_that_fools_takes_no_more_than_the_declared_passes(name: str) -> None:
    counted, settings = attack(name, epsilon=0.2, constant=10)
    assert 0 < counted <= 1.02 * settings.passes()


def train(defense: Defense[Any], adversarial: AdversarialTraining | None) -> float:
    """Return a training batch's counted work in thirds: forward, back to the images, back to the weights."""
    trainee = build_tiny(defense)
    tinies = [module for module in trainee.classifier.modules() if isinstance(module, TinyClassifier)]
    if defense.settings.learns_beside:
        defense.peers = [TinyClassifier().requires_grad_(False).eval()]
        tinies += [network for network in defense.peers if isinstance(network, TinyClassifier)]
    work = 0.0
    made = False

    def forward(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal work
        work += len(output) / 3
        if output.requires_grad:
            output.register_hook(backward)

    def backward(gradient: Tensor) -> None:
        nonlocal work
        work += (2 if made else 1) * len(gradient) / 3
        if gradient.requires_grad:
            gradient.register_hook(backward)  # it is differentiated in its turn

    for network in tinies:
        network.layer3.register_forward_hook(forward)
    images, labels = make_data().select("train", 60)
    batch = training_adversarial.Batch(images / 255, labels)
    if adversarial is not None:
        generator = torch.Generator().manual_seed(0)
        training_adversarial.mix_in_adversarial(
            batch, adversarial, defense, trainee, Progress(9, 10, 90), generator
        )
    made = True
    losses = defense.loss(trainee, batch.images, batch.labels, Progress(9, 10, 90))
    batch.mean(losses).backward()
    return work


@pytest.mark.parametrize("name", registry.names("defenses"))
def test_a_defense_s_training_step_costs_what_it_declares(name: str) -> None:
    settings: DefenseSettings = declare("defenses", name)
    defense = registry.load_class("defenses", name, Defense)(settings)
    counted = train(defense, defense.adversarial_training()) / train(PlainDefense(), None)
    if isinstance(build_tiny(defense).classifier, Purified):
        # A purifier learns beside the classifier and by itself: only the benchmark can tell what that costs.
        assert counted == 1
        assert settings.relative_cost() >= 1
        return
    assert settings.relative_cost() == pytest.approx(counted, rel=0.25)


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("share", [0.5, 1])
@pytest.mark.parametrize(("kind", "steps"), [("fgsm", 10), ("pgd", 4), ("carlini_wagner", 4)])
@pytest.mark.parametrize("labels", ["true", "predicted"])
def test_adversarial_examples_cost_what_their_settings_say(
    kind: str, steps: int, share: float, augment: bool, labels: str
) -> None:
    budget = {} if kind == "carlini_wagner" else {"epsilon": 0.1}
    settings = AdversarialTraining.model_validate(
        {"attack": kind, "steps": steps, "share": share, "augment": augment, "labels": labels, **budget}
    )
    counted = train(PlainDefense(), settings) / train(PlainDefense(), None)
    assert 1 + settings.relative_cost() == pytest.approx(counted, rel=0.15)


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (ArchitectureSettings(), lambda declared: declared.multiply_adds(1, 28, 28, 10)),
        (DatasetSettings(), lambda declared: declared.shape),
        (DatasetSettings(), lambda declared: declared.sizes()),
    ],
)
def test_a_plugin_that_declares_no_cost_is_named(settings: Settings, missing: Any) -> None:
    with pytest.raises(
        TypeError, match=r"reproof\.settings\.\w+: an? .*'s Settings defines (layers|shape|sizes)"
    ):
        missing(settings)
