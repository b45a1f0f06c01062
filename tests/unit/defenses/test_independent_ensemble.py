from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from reproof.data.dataset import to_unit
from reproof.defenses.independent_ensemble import IndependentEnsemble, Settings
from reproof.errors import StudyError
from reproof.models.defense import Progress, Trainee
from reproof.models.voting import Ensemble, Ties
from reproof.settings.training import TrainingSettings
from reproof.training.loop import accuracy, train
from tests.tiny_classifier import DESCRIPTION, TinyClassifier, build_tiny, make_data

START = Progress(0, 2, 0)


def members(count: int = 3) -> list[TinyClassifier]:
    torch.manual_seed(0)
    return [TinyClassifier(size=4 + number) for number in range(count)]


class TestJoin:
    @pytest.mark.parametrize(
        "options", [{}, {"boosted": True}, {"ties": "error"}, {"boosted": True, "candidates": 4}]
    )
    def test_the_vote_is_that_of_the_settings(self, options: dict[str, Any]) -> None:
        joined = [TinyClassifier(), TinyClassifier(), TinyClassifier()]
        defense = IndependentEnsemble(Settings(**options))
        if options.get("candidates") == 4:
            with pytest.raises(StudyError, match="candidates is 4 of 3 classes"):
                defense.join(joined, DESCRIPTION)
            return
        ensemble = defense.join(joined, DESCRIPTION)
        assert isinstance(ensemble, Ensemble)
        assert ensemble.rule == "vote"
        assert ensemble.boosted == options.get("boosted", False)
        assert ensemble.candidates == options.get("candidates", 2)
        assert ensemble.ties == options.get("ties", "main")
        assert list(ensemble.members) == joined

    def test_a_member_in_training_is_an_undefended_network(self) -> None:
        defense = IndependentEnsemble(Settings())
        trainee = build_tiny(defense)
        images, labels = make_data().select("train", 8)
        expected = nn.functional.cross_entropy(trainee(to_unit(images)), labels, reduction="none")
        assert torch.equal(defense.loss(trainee, to_unit(images), labels, START), expected)
        assert list(trainee.auxiliary.state_dict()) == []

    def test_a_member_s_own_views_are_those_of_an_ensemble_of_one(self) -> None:
        defense = IndependentEnsemble(Settings())
        trainee = defense.build(members(1)[0].eval(), DESCRIPTION)
        images, labels = make_data().select("train", 8)
        views = defense.attack_losses(trainee)
        torch.testing.assert_close(
            views["mean_logits"](to_unit(images), labels),
            defense.loss(trainee, to_unit(images), labels, START),
        )
        assert torch.isfinite(views["votes"](to_unit(images), labels)).all()


@pytest.fixture(scope="module")
def trained() -> list[Trainee]:
    training = TrainingSettings(epochs=20, batch_size=32, learning_rate=0.03, gradient_clip=5.0)
    defense = IndependentEnsemble(Settings())
    found = []
    for seed in range(3):
        found.append(build_tiny(defense, seed=seed))
        train(defense, found[-1], make_data(), training, seed=seed, progress=False)
    return found


def joined(defense: IndependentEnsemble, trained: list[Trainee]) -> Trainee:
    return defense.build(defense.join([one.classifier for one in trained], DESCRIPTION), DESCRIPTION).eval()


class TestTrained:
    def test_they_vote_at_least_as_well_as_the_worst_of_them(self, trained: list[Trainee]) -> None:
        together = joined(IndependentEnsemble(Settings()), trained)
        stored, labels = make_data().select("test")
        alone = [accuracy(one, stored, labels) for one in trained]
        assert min(alone) > 0.9
        assert accuracy(together, stored, labels) >= min(alone)
        answers = together.classifier.answers(to_unit(stored))
        assert torch.equal(together(to_unit(stored)).argmax(dim=1), answers.classes)

    @pytest.mark.parametrize("boosted", [False, True])
    @pytest.mark.parametrize("ties", ["main", "error"])
    def test_climbing_a_view_fools_the_vote(self, trained: list[Trainee], boosted: bool, ties: Ties) -> None:
        defense = IndependentEnsemble(Settings(boosted=boosted, ties=ties))
        together = joined(defense, trained)
        stored, labels = make_data().select("test")
        clean = to_unit(stored)
        views = defense.attack_losses(together)
        views["cross_entropy"] = lambda images, labels: defense.loss(together, images, labels, START)
        for name, view in views.items():
            moved = clean
            for _ in range(20):
                moved = moved.detach().requires_grad_(True)
                (gradient,) = torch.autograd.grad(view(moved, labels).sum(), moved)
                moved = (moved + 0.025 * gradient.sign()).clamp(0, 1)
                moved = torch.minimum(torch.maximum(moved, clean - 0.25), clean + 0.25)
            right = together.classifier.answers(moved).classes == labels
            assert float(right.float().mean()) < 0.2, name


class TestSettings:
    def test_names_and_what_it_declares(self) -> None:
        assert Settings().key("independent_ensemble") == "independent_ensemble"
        assert Settings(boosted=True).key("independent_ensemble") == "independent_ensemble[boosted]"
        assert Settings.votes
        assert not Settings.learns_beside
        assert Settings().networks == 1
        assert Settings().relative_cost() == 1

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"candidates": 1}, "greater than or equal to 2"),
            ({"ties": "first"}, "'main' or 'error'"),
            ({"boost": True}, "did you mean 'boosted'"),
        ],
    )
    def test_wrong_ones_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Settings(**wrong)
