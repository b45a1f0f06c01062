"""Every plug-in works where its network is, on a pretend accelerator that refuses to mix devices; none is named here.

Each case computes the same on the processor and on the accelerator, and then with one tensor left on the processor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import decisions, evaluation, probes
from reproof.attacking.engine import AttackEngine
from reproof.data.dataset import DataDescription, to_unit
from reproof.geometry import loss_surfaces
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense, Progress
from reproof.settings.architecture import ArchitectureSettings
from reproof.settings.attack import AttackSettings
from reproof.settings.baseline import TrainingAttack
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train
from tests.ours import networks
from tests.pretend_accelerator import DEVICE, MixedDevicesError, pretending
from tests.smallest import attack_settings, attacked, declared, make, tiny
from tests.tiny_classifier import PlainDefense, TinyClassifier, build_tiny, make_data

CPU = torch.device("cpu")
DEFENSES = registry.names("defenses")
LEAST = {"blocks": 1, "epochs": 1, "restarts": 1, "steps": 2, "critic_steps": 1}
TRAINING = TrainingSettings(
    epochs=2,
    batch_size=12,
    learning_rate=0.01,
    augmentation="crop_flip",
    gradient_clip=5.0,
    channels_last=False,
    validation=False,
)
DATA = make_data(train=12, validation=9, test=6)


def same_on_both(compute: Callable[[torch.device], Any]) -> Any:
    """Compute on both devices, compare, and return what the processor found: tensors there, and plain numbers."""
    expected = compute(CPU)
    with pretending():
        found = compute(DEVICE)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6, equal_nan=True)
    return expected


def batch(device: torch.device, count: int = 4) -> tuple[Tensor, Tensor]:
    images, labels = DATA.select("train", count)
    return to_unit(images).to(device), labels.to(device)


def undecided(seed: int) -> TinyClassifier:
    """Return a network that prefers no class on the batch, so that little makes it err."""
    network = tiny(seed)
    with torch.no_grad():
        network.classify.bias -= network(batch(CPU)[0]).mean(dim=0)
    return network


def plain(*tensors: Tensor | None) -> list[Tensor]:
    return [one.detach().cpu() for one in tensors if one is not None]


def leave(network: nn.Module, name: str) -> None:
    """Put one of a network's tensors back onto the processor."""
    path, _, last = name.rpartition(".")
    owner = network.get_submodule(path)
    kept = getattr(owner, last).detach().cpu()
    here = nn.Parameter(kept, requires_grad=False) if last in owner._parameters else kept
    (owner._parameters if last in owner._parameters else owner._buffers)[last] = here


@pytest.mark.parametrize("name", DEFENSES)
class TestEveryDefense:
    @staticmethod
    def made(name: str, device: torch.device) -> Defense[Any]:
        defense = make(name, **LEAST)
        if declared(name).learns_beside:
            defense.peers = [tiny(seed).to(device) for seed in (5, 6)]
        return defense

    def test_it_trains_to_the_same_weights(self, name: str) -> None:
        def trained(device: torch.device) -> Any:
            defense = self.made(name, device)
            trainee = build_tiny(defense, batch_norm=True)
            history = train(defense, trainee, DATA, TRAINING, seed=0, device=device, progress=False)
            assert {value.device for value in trainee.state_dict().values()} == {device}
            state = {**trainee.state_dict(), **defense.state()}
            log = defense.training_log()
            rows = [list(row.values()) for rows in log.values() for row in rows]
            numbers = [value for row in rows for value in row if isinstance(value, float)]
            return [{key: value.cpu() for key, value in state.items()}, history[-1]["loss"], numbers]

        same_on_both(trained)

    def test_what_is_asked_of_it_is_the_same(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Attack losses with their gradients, votes and refusals, prototypes, the probe, and the loss around an image."""

        def asked(device: torch.device) -> Any:
            defense = self.made(name, CPU)
            trainee = attacked(defense).to(device)
            network = trainee.classifier
            found = []
            for loss in defense.attack_losses(trainee).values():
                images, labels = batch(device)
                values = loss(images.requires_grad_(), labels)
                (gradient,) = torch.autograd.grad(values.sum(), images)
                found += plain(values, gradient)
            images, labels = batch(CPU)
            with torch.random.fork_rng():
                torch.manual_seed(0)
                said = evaluation.predict(
                    network, images, device, lambda features: defense.nearest_prototype(trainee, features)
                )
                found += plain(said.classes, said.features, said.votes, said.failed, said.nearest_prototype)
                ways = loss_surfaces.signs(network, images, labels, batch_size=3, device=device)
                along = loss_surfaces.line(
                    network, images, labels, ways, 0.1, clip=True, batch_size=3, device=device
                )
                found += plain(ways, along.losses, along.correct)
            monkeypatch.setattr(probes, "DIRECTIONS", 1)
            monkeypatch.setattr(probes, "STEPS", probes.STEPS[:1])
            monkeypatch.setattr(probes, "LOOKS", 1)
            monkeypatch.setattr(probes, "PLACES", 2)
            monkeypatch.setattr(decisions, "PASSES", 2)
            seen = probes.probe(trainee, images[:3], labels[:3], seed=0, batch_size=3, device=device)
            return [found, list(seen.values())]

        same_on_both(asked)

    def test_a_tensor_that_was_left_behind_is_noticed(self, name: str) -> None:
        progress = Progress(0, 1, 0)
        with pretending():
            defense = self.made(name, DEVICE)
            trainee = build_tiny(defense).to(DEVICE)
            images, labels = batch(DEVICE)
            assert defense.loss(trainee, images, labels, progress).device == DEVICE
            with pytest.raises(MixedDevicesError):
                defense.loss(trainee, images, labels.cpu(), progress)
            deployed = attacked(defense).to(DEVICE)
            leave(deployed.classifier, next(name for name, _ in deployed.classifier.named_parameters()))
            with pytest.raises(MixedDevicesError):
                evaluation.predict(deployed.classifier, images, DEVICE)


@pytest.mark.parametrize("attack", get_args(TrainingAttack))
def test_training_on_adversarial_examples_gives_the_same_weights(attack: str) -> None:
    budget = {} if attack == "carlini_wagner" else {"epsilon": 0.1}
    adversarial = {"attack": attack, "augment": True, "steps": 3, **budget}
    settings = TRAINING.model_validate({**TRAINING.model_dump(), "epochs": 1, "adversarial": adversarial})

    def trained(device: torch.device) -> Any:
        trainee = build_tiny(PlainDefense())
        train(PlainDefense(), trainee, DATA, settings, seed=0, device=device, progress=False)
        return {key: value.cpu() for key, value in trainee.state_dict().items()}

    same_on_both(trained)


@pytest.mark.parametrize("kind", registry.names("attacks"))
class TestEveryAttack:
    @staticmethod
    def settings(kind: str) -> AttackSettings:
        steps = registry.settings_class("attacks", kind).model_fields.get("steps")
        few: Any = (2,) if steps is not None and "tuple" in str(steps.annotation) else 2
        less = {"steps": few, "queries": 4, "restarts": 1, "samples": 1, "targets": 1}
        return attack_settings(kind, **less, learning_rate=0.5, theta=1.0, constants=[100.0])

    @staticmethod
    def engine(device: torch.device) -> AttackEngine:
        """Return one that attacks a small network whose classes lie close together, with all that an attack may ask for."""
        return AttackEngine(
            undecided(0),
            device=device,
            batch_size=3,
            seed=0,
            skip_misclassified=False,
            attack_losses={"flat": lambda images, labels: images.flatten(1).sum(dim=1)},
            networks={"other": tiny(1)},
            channels_last=False,
        )

    def test_it_makes_the_same_images(self, kind: str) -> None:
        images, _ = batch(CPU, 3)
        labels = undecided(0)(images).argmax(dim=1)

        def crafted(device: torch.device) -> Any:
            result = self.engine(device).run(kind, self.settings(kind), images, labels, labels)
            shares = result.gradient_zero_share or 0.0, result.gradient_broken_share or 0.0
            return [result.images, result.predictions, result.unchanged, shares]

        moved, *_ = same_on_both(crafted)
        assert any(not torch.equal(found, images) for found in moved.values())

    def test_a_tensor_that_was_left_behind_is_noticed(self, kind: str) -> None:
        images, labels = batch(CPU, 3)
        with pretending():
            engine = self.engine(DEVICE)
            leave(engine.classifier, "layer4.0.weight")
            with pytest.raises(MixedDevicesError):
                engine.run(kind, self.settings(kind), images, labels, labels)


@pytest.mark.parametrize("name", networks())
def test_every_architecture_computes_the_same_and_a_tensor_left_behind_is_noticed(name: str) -> None:
    declared_by = registry.settings_class("architectures", name)
    settings = declared_by(**({"width": 1 / 16} if "width" in declared_by.model_fields else {}))
    assert isinstance(settings, ArchitectureSettings)
    data = DataDescription(1, 28, 28, 3, (0.4,), (0.3,))

    def built(device: torch.device) -> Classifier:
        torch.manual_seed(0)
        network = registry.load("architectures", name).build(settings, data).to(device).train()
        assert isinstance(network, Classifier)
        return network

    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))

    def passed(device: torch.device) -> Any:
        network = built(device)
        leaf = images.to(device).requires_grad_()
        with torch.random.fork_rng():
            torch.manual_seed(0)  # dropout
            logits, features = network.logits_and_features(leaf)
        (gradient,) = torch.autograd.grad(logits.square().sum(), leaf)
        return plain(logits, gradient, *features.values(), *network.buffers())

    same_on_both(passed)
    with pretending():
        first, *_, last = (parameter for parameter, _ in built(DEVICE).named_parameters())
        for left in (first, last):
            network = built(DEVICE)
            leave(network, left)
            with pytest.raises(MixedDevicesError):
                network(images.to(DEVICE))
