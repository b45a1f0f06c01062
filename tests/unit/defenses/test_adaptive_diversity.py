from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from reproof.data.dataset import to_unit
from reproof.defenses.adaptive_diversity import AdaptiveDiversity, Settings, log_diversity, mean_entropy
from reproof.errors import StudyError
from reproof.models import build
from reproof.models.defense import Progress, Trainee
from reproof.models.voting import Ensemble
from reproof.settings.training import TrainingSettings
from reproof.training.loop import accuracy, train
from tests.tiny_classifier import DESCRIPTION, TinyClassifier, make_data

START = Progress(0, 2, 0)
Array = NDArray[np.float64]


def prepared(*, seed: int = 0, **options: Any) -> tuple[AdaptiveDiversity, Trainee]:
    """Return the method and its networks, joined as a study joins them."""
    defense = AdaptiveDiversity(Settings(**options))
    torch.manual_seed(seed)
    members = [TinyClassifier() for _ in range(defense.settings.networks)]
    return defense, defense.build(defense.join(members, DESCRIPTION), DESCRIPTION)


def batch(count: int = 12) -> tuple[Tensor, Tensor]:
    images, labels = make_data().select("train", count)
    return to_unit(images), labels


def softmax(logits: Array) -> Array:
    chances = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(chances / chances.sum(axis=-1, keepdims=True))


def diversity_by_hand(logits: Array, label: int) -> float:
    """Return log det of the Gram matrix of one image's predictions without the label. logits: (M, K)."""
    columns = []
    for member in softmax(logits):
        others = np.delete(member, label)
        columns.append(others / np.sqrt((others**2).sum()))
    matrix = np.stack(columns, axis=1)
    return float(np.log(np.linalg.det(matrix.T @ matrix + 1e-6 * np.eye(len(columns)))))


def random_logits(members: int, classes: int, count: int = 6, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(members, count, classes, generator=torch.Generator().manual_seed(members))


class TestLogDiversity:
    @pytest.mark.parametrize(("members", "classes"), [(2, 4), (3, 5), (3, 10), (4, 4), (2, 2)])
    def test_it_is_the_logarithm_of_a_gram_determinant(self, members: int, classes: int) -> None:
        logits = random_logits(members, classes)
        labels = torch.arange(6) % classes
        expected = [diversity_by_hand(logits[:, n].double().numpy(), int(labels[n])) for n in range(6)]
        found = log_diversity(logits, labels)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    def test_orthogonal_and_equal_predictions(self) -> None:
        orthogonal = torch.tensor([[5.0, 9, -40, -40], [1.0, -40, 7, -40], [0.0, -40, -40, 0]]).unsqueeze(1)
        assert log_diversity(orthogonal, torch.tensor([0])).item() == pytest.approx(0, abs=1e-4)
        equal = random_logits(1, 4, 1).expand(3, 1, 4)
        # Eigenvalues 3 + 1e-6, 1e-6 and 1e-6.
        assert log_diversity(equal, torch.tensor([0])).item() == pytest.approx(
            np.log(3) + 2 * np.log(1e-6), abs=1e-3
        )

    def test_two_members_span_the_sine_of_their_angle(self) -> None:
        # Of classes 1 and 2: (1, 0) and (cos 30°, sin 30°), whatever the label's own probability.
        turned = np.log([np.cos(np.pi / 6), np.sin(np.pi / 6)])
        for sure in (-3.0, 0.0, 12.0):
            logits = torch.tensor([[sure, 30.0, -30.0], [-sure, *turned]], dtype=torch.float32).unsqueeze(1)
            found = log_diversity(logits, torch.tensor([0])).item()
            assert found == pytest.approx(2 * np.log(np.sin(np.pi / 6)), abs=1e-4)

    def test_the_label_s_own_logit_plays_no_part(self) -> None:
        logits = random_logits(3, 5).requires_grad_(True)
        labels = torch.arange(6) % 5
        (gradient,) = torch.autograd.grad(log_diversity(logits, labels).sum(), logits)
        own = nn.functional.one_hot(labels, 5).bool().expand(3, 6, 5)
        assert bool((gradient[own] == 0).all())
        assert bool((gradient[~own] != 0).all())

    def test_sure_predictions_keep_a_value_and_a_gradient(self) -> None:
        # Probabilities of the other classes vanish in float32, and their direction does not.
        logits = random_logits(3, 5)
        labels = torch.zeros(6, dtype=torch.int64)
        sure = logits.clone()
        sure[:, :, 0] = 500.0
        sure.requires_grad_(True)
        found = log_diversity(sure, labels)
        torch.testing.assert_close(found, log_diversity(logits, labels))
        (gradient,) = torch.autograd.grad(found.sum(), sure)
        assert bool(torch.isfinite(gradient).all())
        assert bool((gradient[:, :, 1:] != 0).all())

    def test_equal_predictions_keep_a_finite_gradient(self) -> None:
        logits = random_logits(1, 5).repeat(3, 1, 1).requires_grad_(True)
        (gradient,) = torch.autograd.grad(log_diversity(logits, torch.arange(6) % 5).sum(), logits)
        assert bool(torch.isfinite(gradient).all())

    def test_climbing_it_makes_the_other_predictions_orthogonal(self) -> None:
        logits = random_logits(3, 5, scale=0.1).requires_grad_(True)
        labels = torch.arange(6) % 5
        before = log_diversity(logits, labels).detach()
        for _ in range(300):
            (gradient,) = torch.autograd.grad(log_diversity(logits, labels).sum(), logits)
            logits = (logits + 0.5 * gradient.clamp(-1, 1)).detach().requires_grad_(True)
        others = logits.detach().masked_fill(nn.functional.one_hot(labels, 5).bool(), -torch.inf).softmax(2)
        cosines = nn.functional.cosine_similarity(others.unsqueeze(0), others.unsqueeze(1), dim=3)
        assert float(cosines[~torch.eye(3, dtype=torch.bool)].max()) < 0.1
        assert bool((log_diversity(logits, labels).detach() > before + 3).all())


class TestMeanEntropy:
    def test_it_is_that_of_the_mean_not_the_mean_of_theirs(self) -> None:
        # Two sure members that differ: the mean has one bit, each of them none.
        logits = torch.tensor([[[40.0, 0, 0]], [[0.0, 40, 0]]])
        assert mean_entropy(logits).item() == pytest.approx(np.log(2), abs=1e-5)
        assert mean_entropy(logits[:1].expand(2, 1, 3)).item() == pytest.approx(0, abs=1e-5)
        assert mean_entropy(torch.zeros(2, 1, 3)).item() == pytest.approx(np.log(3), abs=1e-5)

    def test_against_numpy(self) -> None:
        logits = random_logits(3, 5)
        mean = softmax(logits.double().numpy()).mean(axis=0)
        np.testing.assert_allclose(mean_entropy(logits), -(mean * np.log(mean)).sum(axis=1), rtol=1e-5)


class TestLoss:
    @pytest.mark.parametrize(
        "options",
        [{}, {"alpha": 0, "beta": 0}, {"alpha": 1.5, "beta": 0}, {"alpha": 0, "beta": 2}, {"members": 2}],
    )
    def test_value(self, options: dict[str, Any]) -> None:
        defense, trainee = prepared(**options)
        images, labels = batch()
        assert isinstance(trainee.classifier, Ensemble)
        logits = np.stack([one(images).detach().double().numpy() for one in trainee.classifier.members])
        chances, rows, truth = softmax(logits), range(12), labels.numpy()
        expected = -np.log(chances[:, rows, truth]).sum(axis=0)
        mean = chances.mean(axis=0)
        expected += options.get("alpha", 2) * (mean * np.log(mean)).sum(axis=1)
        expected -= options.get("beta", 0.5) * np.array(
            [diversity_by_hand(logits[:, n], truth[n]) for n in rows]
        )
        found = defense.loss(trainee, images, labels, START)
        np.testing.assert_allclose(found.detach(), expected, rtol=2e-4)

    def test_an_image_s_loss_is_its_own_and_the_view_is_the_loss(self) -> None:
        defense, trainee = prepared()
        images, labels = batch()
        whole = defense.loss(trainee, images, labels, START)
        views = defense.attack_losses(trainee)
        assert torch.equal(views["joint"](images, labels), whole)
        torch.testing.assert_close(views["joint"](images[4:6], labels[4:6]), whole[4:6])

    def test_a_step_down_raises_diversity_and_entropy(self) -> None:
        images, labels = batch()
        for options, measure in (
            ({"alpha": 0, "beta": 50}, log_diversity),
            ({"alpha": 50, "beta": 0}, lambda logits, _: mean_entropy(logits)),
        ):
            defense, trainee = prepared(members=2, **options)
            assert isinstance(trainee.classifier, Ensemble)
            with torch.no_grad():
                for parameter in trainee.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
            before = measure(trainee.classifier.member_logits(images), labels).mean().item()
            loss = defense.loss(trainee, images, labels, START).mean()
            parameters = list(trainee.parameters())
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.sub_(1e-4 * gradient)
            assert measure(trainee.classifier.member_logits(images), labels).mean().item() > before

    def test_mean_logits_differs_from_the_mean_softmax(self) -> None:
        defense, trainee = prepared()
        images, labels = batch()
        assert isinstance(trainee.classifier, Ensemble)
        mean = trainee.classifier.member_logits(images).mean(dim=0)
        expected = nn.functional.cross_entropy(mean, labels, reduction="none")
        assert torch.equal(defense.attack_losses(trainee)["mean_logits"](images, labels), expected)


class TestBuild:
    def test_a_study_s_network_is_joined_and_its_members_differ(self) -> None:
        stanza = {
            "architecture": {"kind": "cnn6", "width": 0.0625},
            "defense": {"kind": "adaptive_diversity", "members": 4},
        }
        _, trainee = build.build(stanza, DESCRIPTION, seed=0)
        ensemble = trainee.classifier
        assert isinstance(ensemble, Ensemble)
        assert ensemble.rule == "mean"
        assert len(ensemble.members) == 4
        logits = ensemble.eval().member_logits(batch()[0])
        assert all(not torch.equal(logits[0], other) for other in logits[1:])
        torch.testing.assert_close(trainee(batch()[0]).exp(), logits.softmax(dim=2).mean(dim=0))

    def test_networks_that_were_not_joined_are_refused(self) -> None:
        defense = AdaptiveDiversity(Settings())
        with pytest.raises(StudyError, match="trains 3 networks together; it was given 1"):
            defense.build(TinyClassifier(), DESCRIPTION)
        two = defense.join([TinyClassifier(), TinyClassifier()], DESCRIPTION)
        with pytest.raises(StudyError, match="it was given 2"):
            defense.build(two, DESCRIPTION)


class TestSettings:
    def test_name_and_cost(self) -> None:
        assert Settings().key("adaptive_diversity") == "adaptive_diversity"
        assert (Settings().networks, Settings().relative_cost()) == (3, 3.0)
        assert (Settings(members=5).networks, Settings(members=5).relative_cost()) == (5, 5.0)
        assert (Settings().alpha, Settings().beta) == (2, 0.5)
        assert not Settings.votes

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"members": 1}, "greater than or equal to 2"),
            ({"alpha": -1}, "greater than or equal to 0"),
            ({"beta": -0.5}, "greater than or equal to 0"),
            ({"networks": 3}, "unknown key 'networks'"),
        ],
    )
    def test_wrong_ones_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Settings(**wrong)


def test_it_trains_and_its_members_end_more_diverse_than_without_the_regulariser() -> None:
    data = make_data()
    training = TrainingSettings(epochs=12, batch_size=32, learning_rate=0.03, gradient_clip=5.0)
    stored, labels = data.select("test")
    diverse = []
    for options in ({}, {"alpha": 0, "beta": 0}):
        defense, trainee = prepared(members=2, **options)
        train(defense, trainee, data, training, seed=0, progress=False)
        assert accuracy(trainee, stored, labels) > 0.9
        assert isinstance(trainee.classifier, Ensemble)
        with torch.no_grad():
            logits = trainee.classifier.member_logits(to_unit(stored))
        diverse.append(log_diversity(logits, labels).mean().item())
    assert diverse[0] > diverse[1] + 0.5
