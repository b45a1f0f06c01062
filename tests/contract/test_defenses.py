"""What holds for every defense in the folder; no method is named here."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from project import TINY

from reproof import networks, registry, study
from reproof.data import to_unit
from reproof.defense import Defense, Progress, Trainee
from reproof.errors import StudyError
from reproof.plan import Plan
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


SHAPING = [name for name in NAMES if declared(name).shapes_network]
OTHERS = [name for name in NAMES if name not in SHAPING]
SMALL = {"kind": "cnn6", "width": 0.0625}


@pytest.mark.parametrize("shaping", SHAPING)
class TestDefensesThatOnlyShapeTheNetwork:
    def test_loss_is_cross_entropy_and_nothing_else_is_trained(self, shaping: str) -> None:
        defense = make(shaping)
        trainee = build_tiny(defense).eval()
        images, labels = batch()
        loss = torch.nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        assert torch.equal(defense.loss(trainee, images, labels, LAST), loss)
        assert list(trainee.auxiliary.state_dict()) == []
        assert defense.adversarial_training() is None

    @pytest.mark.parametrize("name", OTHERS)
    def test_another_can_be_built_on_it(self, shaping: str, name: str) -> None:
        data = make_data().description
        network = {"architecture": SMALL, "defense": {"kind": name, "built_on": {"kind": shaping}}}
        defense, trainee = networks.build(network, data, seed=0)
        _, alone = networks.build({"architecture": SMALL, "defense": {"kind": name}}, data, seed=0)
        assert type(defense) is type(make(name))
        assert type(trainee.classifier) is not type(alone.classifier)
        images, labels = batch()
        defense.loss(trainee.train(), images, labels, LAST).mean().backward()
        trained = {key: p.grad for key, p in trainee.named_parameters() if p.requires_grad}
        assert [key for key, gradient in trained.items() if gradient is None] == []

    def test_a_study_says_so_and_its_jobs_know_both(self, shaping: str, tmp_path: Path) -> None:
        file = tmp_path / "study.yaml"
        stanza = f"{{kind: undefended, built_on: {{kind: {shaping}}}}}"
        file.write_text(f"{TINY}\n".replace("{kind: prototype_conformity}", stanza))
        made = Plan(study.load([file]))
        model, job = made.study.models["centred"], made.train("centred", 0)
        assert model.defense_key == f"{declared(shaping)().key(shaping)}+undefended"
        assert job.slice["defense"]["built_on"]["kind"] == shaping
        assert {f"reproof.defenses.{shaping}", "reproof.defenses.undefended"} <= set(job.modules)
        assert "built_on" not in made.train("plain", 0).slice["defense"]

    def test_what_cannot_lie_beneath_is_refused(self, shaping: str, tmp_path: Path) -> None:
        file = tmp_path / "study.yaml"
        for stanza, words in (
            ("{kind: undefended, built_on: {kind: undefended}}", "built_on"),
            (f"{{kind: {shaping}, built_on: {{kind: {shaping}}}}}", "built_on: .* built on none"),
        ):
            file.write_text(TINY.replace("{kind: prototype_conformity}", stanza))
            with pytest.raises(StudyError, match=f"models.centred.defense.{words}"):
                study.load([file])
