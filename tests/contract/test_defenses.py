"""What holds for every defense in the folder; no method is named here."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
import torch

from reproof import registry
from reproof.data import to_unit
from reproof.defense import Defense, Progress, Trainee
from reproof.settings import DefenseSettings
from reproof.training import train
from reproof.training_settings import TrainingSettings
from tests.tiny_classifier import build_tiny, make_data

NAMES = registry.names("defenses")
LAST = Progress(9, 10, 90)


def declared(name: str) -> type[DefenseSettings]:
    settings = registry.settings_class("defenses", name)
    assert issubclass(settings, DefenseSettings)
    return settings


def make(name: str) -> Defense[Any]:
    found: type[Defense[Any]] = registry.load_class("defenses", name, Defense)
    return found(declared(name)())


def batch(count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = make_data().select("train", count)
    return to_unit(images), labels


@pytest.mark.parametrize("name", NAMES)
class TestEveryDefense:
    def test_loss_is_finite_per_image_and_reaches_every_parameter_and_the_images(self, name: str) -> None:
        defense = make(name)
        trainee = build_tiny(defense, batch_norm=True).train()
        images, labels = batch()
        images.requires_grad_(True)
        loss = defense.loss(trainee, images, labels, LAST)
        assert loss.shape == (12,)
        assert bool(torch.isfinite(loss).all())
        loss.mean().backward()
        gradients = {key: p.grad for key, p in trainee.named_parameters() if p.requires_grad}
        assert [key for key, gradient in gradients.items() if gradient is None] == []
        assert all(
            bool(torch.isfinite(gradient).all()) for gradient in gradients.values() if gradient is not None
        )
        assert images.grad is not None
        assert bool((images.grad != 0).any())

    def test_loss_leaves_its_inputs(self, name: str) -> None:
        defense = make(name)
        trainee = build_tiny(defense)
        images, labels = batch()
        kept = images.clone(), labels.clone()
        defense.loss(trainee, images, labels, LAST).sum().backward()
        assert torch.equal(images, kept[0])
        assert torch.equal(labels, kept[1])

    def test_prediction_is_the_classifier_s(self, name: str) -> None:
        trainee = build_tiny(make(name)).eval()
        images, _ = batch()
        assert trainee(images).shape == (12, 3)
        assert torch.equal(trainee(images), trainee.classifier(images))

    def test_parameter_groups_hold_every_parameter_once(self, name: str) -> None:
        defense = make(name)
        trainee = build_tiny(defense)
        groups = list(defense.parameter_groups(trainee, 0.25))
        held = [id(parameter) for group in groups for parameter in group["params"]]
        assert sorted(held) == sorted(id(parameter) for parameter in trainee.parameters())
        assert groups[0]["lr"] == 0.25
        assert all(group["lr"] > 0 for group in groups)

    def test_same_seed_same_weights(self, name: str) -> None:
        training = TrainingSettings(epochs=2, batch_size=32, learning_rate=0.01, gradient_clip=5.0)
        results = []
        for seed in (0, 0, 1):
            defense = make(name)
            trainee = build_tiny(defense, seed=seed)
            history = train(
                defense, trainee, make_data(), training, seed=seed, progress=False, train_images=48
            )
            results.append((trainee.state_dict(), history))
        assert results[0][1] == results[1][1]
        assert all(torch.equal(value, results[1][0][key]) for key, value in results[0][0].items())
        assert any(not torch.equal(value, results[2][0][key]) for key, value in results[0][0].items())

    def test_settings_survive_the_round_trip(self, name: str) -> None:
        settings = declared(name)()
        assert declared(name).model_validate(json.loads(settings.model_dump_json())) == settings
        assert hash(settings) == hash(declared(name)())
        assert settings.key(name).startswith(name)

    def test_every_declared_view_exists_and_climbs_to_the_images(self, name: str) -> None:
        defense = make(name)
        trainee = build_tiny(defense).eval().requires_grad_(False)
        views = defense.views(trainee)
        assert tuple(views) == declared(name).views
        for view in views.values():
            images, labels = batch()
            images.requires_grad_(True)
            loss = view(images, labels)
            assert loss.shape == (12,)
            (gradient,) = torch.autograd.grad(loss.sum(), images)
            assert bool(torch.isfinite(gradient).all())
            assert bool((gradient.flatten(1) != 0).any(dim=1).all())

    def test_declared_training_is_the_method_s(self, name: str) -> None:
        chosen = make(name).adversarial_training()
        assert declared(name).trains_on == ("clean" if chosen is None else chosen.attack)

    def test_file_opens_with_its_source_and_states_its_deviations(self, name: str) -> None:
        module = registry.load("defenses", name)
        tree = ast.parse(registry.require("defenses", name).read_text(encoding="utf-8"))
        docstring = ast.get_docstring(tree)
        assert docstring is not None
        assert len(docstring.split("\n\n")) >= 2
        found = registry.load_class("defenses", name, Defense)
        assert "deviations" in vars(found)
        assert all(sentence.endswith(".") for sentence in found.deviations)
        assert issubclass(module.Settings, DefenseSettings)

    def test_weights_can_be_stored_and_loaded(self, name: str) -> None:
        defense = make(name)
        one, other = build_tiny(defense, seed=0), build_tiny(defense, seed=1)
        other.load_state_dict(one.state_dict())
        images, _ = batch()
        assert torch.equal(one.eval()(images), other.eval()(images))


def test_the_registry_finds_some() -> None:
    assert NAMES
    assert all(isinstance(build_tiny(make(name)), Trainee) for name in NAMES)
