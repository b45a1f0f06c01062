"""What holds for every defense in the folder; no method is named here."""

from __future__ import annotations

import ast
import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from project import JOINT, TINY
from torch import nn

from reproof import registry
from reproof.data.dataset import to_unit
from reproof.errors import StudyError
from reproof.models import build
from reproof.models.attack_loss import AttackLoss, margin, targeted_margin
from reproof.models.classifier import REFUSED
from reproof.models.defense import Defense, Progress, Trainee
from reproof.models.purifier import Purified
from reproof.models.voting import Ensemble
from reproof.plan.jobs import Plan
from reproof.settings.defense import DefenseSettings
from reproof.settings.training import TrainingSettings
from reproof.study import reader
from reproof.training.loop import train
from tests.smallest import attacked, declared, make, tiny
from tests.tiny_classifier import DESCRIPTION, TinyClassifier, build_tiny, make_data

NAMES = registry.names("defenses")
LAST = Progress(9, 10, 90)


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

    def test_a_nearest_prototype_is_a_class_for_each_image_whatever_the_batch(self, name: str) -> None:
        defense = make(name)
        trainee = attacked(defense)
        features = trainee.classifier.features(batch()[0])
        whole = defense.nearest_prototype(trainee, features)
        if whole is None:
            return  # the method has no prototypes
        assert (whole.shape, whole.dtype) == ((12,), torch.int64)
        assert bool(((whole >= 0) & (whole < 3)).all())
        one = defense.nearest_prototype(trainee, {key: value[5:6] for key, value in features.items()})
        assert one is not None
        assert torch.equal(one, whole[5:6])

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
        trainee = attacked(defense)
        views = defense.attack_losses(trainee)
        assert tuple(views) == declared(name).attack_losses
        assert set(declared(name).surrogates) <= set(views)
        assert declared(name).purifies is isinstance(trainee.classifier, Purified)
        for view in views.values():
            images, labels = batch()
            images.requires_grad_(True)
            loss = view(images, labels)
            assert loss.shape == (12,)
            (gradient,) = torch.autograd.grad(loss.sum(), images)
            assert bool(torch.isfinite(gradient).all())
            assert bool((gradient.flatten(1) != 0).any(dim=1).all())

    def test_its_attack_losses_take_other_forms(self, name: str) -> None:
        """The margin of a view's logits, plus what the view adds, and the same towards a target; images climb it."""
        trainee = attacked(make(name))
        for view in make(name).attack_losses(trainee).values():
            assert isinstance(view, AttackLoss)
            images, labels = batch()
            images.requires_grad_(True)
            logits, added = view.parts(images, labels)
            assert logits.shape == (12, DESCRIPTION.classes)
            assert added is None or added.shape == (12,)
            rest = 0 if added is None else added
            others = logits.masked_fill(nn.functional.one_hot(labels, logits.shape[1]).bool(), -torch.inf)
            lead = others.max(dim=1)
            expected = lead.values - logits[torch.arange(12), labels] + rest
            aims = torch.stack([labels, lead.indices], dim=1)
            found = view.with_form(margin)(images, labels)
            torch.testing.assert_close(found, expected)
            torch.testing.assert_close(view.with_form(targeted_margin)(images, aims), expected)
            (gradient,) = torch.autograd.grad(found.sum(), images)
            assert bool(torch.isfinite(gradient).all())
            assert bool((gradient.flatten(1) != 0).any(dim=1).all())

    def test_surrogates_of_a_purifier_judge_as_it_does(self, name: str) -> None:
        """The logits that stand in for what cannot be differentiated are those of the deployed answers."""
        if not declared(name).purifies:
            return
        trainee = attacked(make(name))
        images, labels = batch()
        deployed = trainee.classifier.logits_and_features(images)[0]
        for surrogate in declared(name).surrogates:
            view = make(name).attack_losses(trainee)[surrogate]
            assert isinstance(view, AttackLoss)
            logits, added = view.parts(images.clone().requires_grad_(True), labels)
            assert added is None
            torch.testing.assert_close(logits, deployed)

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
TOGETHER = [name for name in NAMES if declared(name)().networks > 1]
VOTING = [name for name in NAMES if declared(name).votes]
BESIDE = [name for name in NAMES if declared(name).learns_beside]
PURIFYING = [name for name in NAMES if isinstance(build_tiny(make(name)).classifier, Purified)]
OTHERS = [name for name in NAMES if name not in (*SHAPING, *TOGETHER)]
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
        defense, trainee = build.build(network, data, seed=0)
        _, alone = build.build({"architecture": SMALL, "defense": {"kind": name}}, data, seed=0)
        assert type(defense) is type(make(name))
        _, shaped = build.build({"architecture": SMALL, "defense": {"kind": shaping}}, data, seed=0)
        within = [type(module) for module in trainee.classifier.modules()]
        assert type(shaped.classifier) in within
        assert type(shaped.classifier) not in [type(module) for module in alone.classifier.modules()]
        images, labels = batch()
        defense.loss(trainee.train(), images, labels, LAST).mean().backward()
        trained = {key: p.grad for key, p in trainee.named_parameters() if p.requires_grad}
        assert [key for key, gradient in trained.items() if gradient is None] == []

    def test_a_study_says_so_and_its_jobs_know_both(self, shaping: str, tmp_path: Path) -> None:
        file = tmp_path / "study.yaml"
        stanza = f"{{kind: undefended, built_on: {{kind: {shaping}}}}}"
        text = re.sub(r"^  adaptive: .*\n", "", TINY, flags=re.MULTILINE)  # no model has that attack loss
        file.write_text(text.replace(f"{{kind: {JOINT}}}", stanza))
        made = Plan(reader.load([file]))
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
            *(
                (f"{{kind: {name}, built_on: {{kind: {shaping}}}}}", "built_on: .* several .* on none")
                for name in TOGETHER
            ),
        ):
            file.write_text(TINY.replace(f"{{kind: {JOINT}}}", stanza))
            with pytest.raises(StudyError, match=f"models.centred.defense.{words}"):
                reader.load([file])


def voter(seed: int, images: torch.Tensor) -> TinyClassifier:
    """Return a network that prefers no class on these images, so that several of them disagree."""
    network = tiny(seed)
    network.classify.bias.data -= network(images).mean(dim=0)
    return network


def one_hot(votes: torch.Tensor) -> torch.Tensor:
    """Return how many members named each class (N, K). votes: (N, M)."""
    return torch.nn.functional.one_hot(votes, DESCRIPTION.classes).sum(dim=1)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*VOTING, *TOGETHER)])
def test_a_method_of_one_network_joins_none(name: str) -> None:
    assert declared(name)().networks == 1
    with pytest.raises(TypeError, match="joins no networks"):
        make(name).join([tiny(0), tiny(1)], DESCRIPTION)


@pytest.mark.parametrize("name", VOTING)
class TestDefensesThatVote:
    def test_members_are_trained_alone_and_joined_unchanged(self, name: str) -> None:
        defense = make(name)
        assert defense.settings.networks == 1
        assert not isinstance(build_tiny(defense).classifier, Ensemble)
        members = [tiny(seed) for seed in range(3)]
        trainee = defense.build(defense.join(members, DESCRIPTION), DESCRIPTION).eval()
        assert isinstance(trainee.classifier, Ensemble)
        assert len(trainee.classifier.members) == 3
        images, _ = batch()
        assert torch.equal(
            trainee.classifier.member_logits(images), torch.stack([member(images) for member in members])
        )
        other = defense.build(defense.join([tiny(seed) for seed in (5, 6, 7)], DESCRIPTION), DESCRIPTION)
        other.load_state_dict(trainee.state_dict())
        assert torch.equal(other.eval()(images), trainee(images))

    @pytest.mark.parametrize("count", [2, 3, 4, 5])
    def test_the_majority_decides_and_the_logits_say_so(self, name: str, count: int) -> None:
        defense = make(name)
        images = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        ensemble = defense.join([voter(seed, images) for seed in range(count)], DESCRIPTION).eval()
        answers = ensemble.answers(images)
        assert answers.votes is not None
        assert answers.failed is not None
        members = torch.stack([member(images).argmax(dim=1) for member in ensemble.members], dim=1)
        assert torch.equal(answers.votes, members)
        most = one_hot(members).max(dim=1)
        assert torch.equal(answers.failed, 2 * most.values <= count)
        assert torch.equal(answers.classes[~answers.failed], most.indices[~answers.failed])
        answered = answers.classes != REFUSED
        assert torch.equal(answers.logits.argmax(dim=1)[answered], answers.classes[answered])
        assert 0 < int(answers.failed.sum()) < len(images)

    def test_its_views_see_every_member(self, name: str) -> None:
        """An image at which only one member's weights are changed changes the loss."""
        defense = make(name)
        images, labels = batch(40)
        trainee = attacked(defense)
        ensemble = trainee.classifier
        assert isinstance(ensemble, Ensemble)
        assert defense.settings.attack_losses
        for view in defense.attack_losses(trainee).values():
            for member in ensemble.members:
                before = view(images, labels)
                kept = {key: value.clone() for key, value in member.state_dict().items()}
                with torch.no_grad():
                    for parameter in member.parameters():
                        parameter.mul_(1.5)
                assert not torch.equal(view(images, labels), before)
                member.load_state_dict(kept)
                assert torch.equal(view(images, labels), before)

    def test_boosting_is_in_its_name_and_changes_failed_votes_alone(self, name: str) -> None:
        settings = declared(name).model_validate({"boosted": True})
        assert settings.key(name) == f"{declared(name)().key(name)}[boosted]"
        boosted: Defense[Any] = registry.load_class("defenses", name, Defense)(settings)
        images = torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        members = [voter(seed, images) for seed in range(3)]
        plain = make(name).join(members, DESCRIPTION).eval().answers(images)
        after = boosted.join(members, DESCRIPTION).eval().answers(images)
        assert plain.failed is not None
        assert after.failed is not None
        assert bool((after.failed <= plain.failed).all())
        assert int(after.failed.sum()) < int(plain.failed.sum())
        assert torch.equal(after.classes[~plain.failed], plain.classes[~plain.failed])


@pytest.mark.parametrize("name", BESIDE)
class TestDefensesThatLearnBesideOthers:
    def test_alone_it_is_cross_entropy(self, name: str) -> None:
        defense = make(name)
        trainee = build_tiny(defense).train()
        images, labels = batch()
        loss = torch.nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        assert torch.equal(defense.loss(trainee, images, labels, LAST), loss)

    @pytest.mark.parametrize("count", [1, 2])
    def test_each_network_beside_counts_and_stays_as_it_is(self, name: str, count: int) -> None:
        defense = make(name)
        trainee = build_tiny(defense, seed=9).train()
        images, labels = batch()
        defense.peers = [tiny(seed) for seed in range(count)]
        kept = [{k: v.clone() for k, v in network.state_dict().items()} for network in defense.peers]
        loss = defense.loss(trainee, images, labels, LAST)
        assert loss.shape == (12,)
        loss.mean().backward()
        assert all(bool((p.grad != 0).any()) for p in trainee.parameters() if p.grad is not None)
        assert [key for key, p in trainee.named_parameters() if p.requires_grad and p.grad is None] == []
        for position, network in enumerate(defense.peers):
            assert not network.training
            assert all(parameter.grad is None for parameter in network.parameters())
            assert all(torch.equal(v, kept[position][k]) for k, v in network.state_dict().items())
        for position in range(count):
            others = [tiny(seed) for seed in range(count)]
            others[position] = tiny(100)
            defense.peers = others
            assert not torch.allclose(defense.loss(trainee, images, labels, LAST), loss)

    def test_images_are_climbed_through_the_networks_beside(self, name: str) -> None:
        """An inner attacker who climbs the method's own loss differentiates all of it."""
        defense = make(name)
        trainee = build_tiny(defense, seed=9).eval()
        images, labels = batch(4)
        images = images.double()
        defense.peers = [tiny(0).double()]
        trainee.double()
        images.requires_grad_(True)
        (gradient,) = torch.autograd.grad(defense.loss(trainee, images, labels, LAST).sum(), images)
        step = torch.zeros_like(images)
        step[0, 0, 3, 4] = 1e-3
        with torch.no_grad():
            ends = [defense.loss(trainee, images + sign * step, labels, LAST)[0].double() for sign in (1, -1)]
        measured = float(ends[0] - ends[1]) / 2e-3
        assert float(gradient[0, 0, 3, 4]) == pytest.approx(measured, rel=0.05, abs=2e-4)

    def test_same_seed_same_weights_beside_the_same_networks(self, name: str) -> None:
        training = TrainingSettings(epochs=1, batch_size=32, learning_rate=0.01)
        results = []
        for beside in ([0], [0], [1]):
            defense = make(name)
            defense.peers = [tiny(seed) for seed in beside]
            trainee = build_tiny(defense, seed=9)
            train(defense, trainee, make_data(), training, seed=9, progress=False, train_images=48)
            results.append(trainee.state_dict())
        assert all(torch.equal(value, results[1][key]) for key, value in results[0].items())
        assert any(not torch.equal(value, results[2][key]) for key, value in results[0].items())


@pytest.mark.parametrize("name", TOGETHER)
class TestDefensesThatTrainSeveralNetworks:
    def test_they_are_one_classifier_that_is_trained_as_a_whole(self, name: str) -> None:
        defense = make(name)
        assert not declared(name).votes
        trainee = build_tiny(defense).train()
        ensemble = trainee.classifier
        assert isinstance(ensemble, Ensemble)
        assert len(ensemble.members) == defense.settings.networks
        first, *others = (member.state_dict() for member in ensemble.members)
        assert all(any(not torch.equal(v, other[k]) for k, v in first.items()) for other in others)
        images, labels = batch()
        defense.loss(trainee, images, labels, LAST).mean().backward()
        for member in ensemble.members:
            assert all(bool((p.grad != 0).any()) for p in member.parameters() if p.grad is not None)

    def test_its_answer_is_one_class_per_image(self, name: str) -> None:
        trainee = build_tiny(make(name)).eval()
        images, _ = batch()
        answers = trainee.classifier.answers(images)
        assert torch.equal(answers.classes, trainee(images).argmax(dim=1))


@pytest.mark.parametrize("name", PURIFYING)
class TestDefensesThatPurify:
    @staticmethod
    @functools.cache
    def purified(name: str) -> Purified:
        """Return the classifier after an epoch, in evaluation mode; no test changes it."""
        defense = make(name)
        trainee = build_tiny(defense)
        training = TrainingSettings(epochs=1, batch_size=32, learning_rate=0.01)
        train(defense, trainee, make_data(), training, seed=0, progress=False, train_images=32)
        assert isinstance(trainee.classifier, Purified)
        return trainee.eval().classifier

    def test_in_training_the_classifier_sees_the_images_as_they_are(self, name: str) -> None:
        purified = build_tiny(make(name)).train().classifier
        assert isinstance(purified, Purified)
        images, _ = batch()
        logits, features = purified.logits_and_features(images)
        expected, named = purified.classifier.logits_and_features(images)
        assert torch.equal(logits, expected)
        assert features.keys() == named.keys() == purified.feature_shapes.keys()

    def test_a_purified_image_is_an_image_and_depends_on_itself_alone(self, name: str) -> None:
        purified = self.purified(name)
        images, _ = batch(5)
        kept = images.clone()
        with torch.no_grad():
            cleaned = purified.purify(images)
            again = purified.purify(images)
            alone = torch.cat([purified.purify(image) for image in images.split(1)])
            backwards = purified.purify(images.flip(0)).flip(0)
        assert torch.equal(images, kept)
        assert cleaned.shape == images.shape
        assert cleaned.dtype == images.dtype
        assert 0 <= float(cleaned.min()) <= float(cleaned.max()) <= 1
        assert not torch.equal(cleaned, images)
        assert torch.equal(cleaned, again)
        torch.testing.assert_close(alone, cleaned, atol=1e-3, rtol=0)
        torch.testing.assert_close(backwards, cleaned, atol=1e-3, rtol=0)

    def test_it_answers_for_the_purified_image_and_is_differentiated_at_the_image_itself(
        self, name: str
    ) -> None:
        purified = self.purified(name)
        images, _ = batch(5)
        with torch.no_grad():
            expected, named = purified.classifier.logits_and_features(purified.purify(images))
        for attached in (images, images.clone().requires_grad_(True)):
            with torch.no_grad():
                logits, features = purified.logits_and_features(attached)
            torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(features, named, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(expected, purified.classifier(images), atol=1e-5)
        images.requires_grad_(True)
        weights = torch.rand(expected.shape, generator=torch.Generator().manual_seed(0))
        (gradient,) = torch.autograd.grad((purified(images) * weights).sum(), images)
        (plain,) = torch.autograd.grad((purified.classifier(images) * weights).sum(), images)
        torch.testing.assert_close(gradient, plain)

    def test_its_answers_are_its_logits_or_none(self, name: str) -> None:
        purified = self.purified(name)
        images, _ = batch()
        with torch.inference_mode():
            answers = purified.answers(images)
            logits = purified(images)
        answered = answers.classes != REFUSED
        torch.testing.assert_close(answers.logits, logits)
        assert torch.equal(answers.classes[answered], logits.argmax(dim=1)[answered])
        assert answers.votes is None
        assert answers.failed is None

    def test_the_purifier_is_stored_with_the_network(self, name: str) -> None:
        purified = self.purified(name)
        other = build_tiny(make(name), seed=1).eval().classifier
        other.load_state_dict(purified.state_dict())
        images, _ = batch(5)
        with torch.no_grad():
            assert torch.equal(other(images), purified(images))
