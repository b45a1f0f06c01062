from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from reproof.data.dataset import to_unit
from reproof.defenses.distilled_ensemble import DistilledEnsemble, Settings
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense, Progress, Trainee
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train
from tests.tiny_classifier import DESCRIPTION, PlainDefense, TinyClassifier, build_tiny, make_data

START = Progress(0, 2, 0)
Array = NDArray[np.float64]


def beside(*networks: Classifier, **options: Any) -> DistilledEnsemble:
    defense = DistilledEnsemble(Settings(**options))
    defense.peers = [network.eval().requires_grad_(False) for network in networks]
    return defense


def confident(seed: int, *, batch_norm: bool = False, factor: float = 30) -> TinyClassifier:
    """Return a network whose predictions differ between images; an untrained one says nearly the same of all."""
    torch.manual_seed(seed)
    network = TinyClassifier(batch_norm=batch_norm)
    with torch.no_grad():
        network.classify.weight.mul_(factor)
    return network


def batch(count: int = 12) -> tuple[Tensor, Tensor]:
    images, labels = make_data().select("train", count)
    return to_unit(images), labels


def softmax(logits: Tensor, temperature: float = 1) -> Array:
    powers = np.exp(logits.detach().double().numpy() / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def kl(first: Array, second: Array) -> Array:
    rows = zip(first, second, strict=True)
    return np.array([sum(a * np.log(a / b) for a, b in zip(p, q, strict=True)) for p, q in rows])


def entropy_of(trainee: Trainee, images: Tensor, labels: Tensor) -> Array:
    loss = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
    return np.asarray(loss.detach().double().numpy())


def gradients(defense: DistilledEnsemble, trainee: Trainee) -> list[Tensor]:
    images, labels = batch()
    loss = defense.loss(trainee, images, labels, START).mean()
    return list(torch.autograd.grad(loss, list(trainee.parameters())))


def trained(defense: Defense[Any], **options: Any) -> tuple[Trainee, Any]:
    training = TrainingSettings(epochs=4, batch_size=32, learning_rate=0.01, optimizer="adam")
    trainee = build_tiny(defense, seed=3, batch_norm=True)
    training = training.model_copy(update=options)
    return trainee, train(defense, trainee, make_data(), training, seed=3, progress=False)


class TestLoss:
    @pytest.mark.parametrize("temperature", [1, 4])
    def test_one_teacher_agrees_with_loops_over_images_and_classes(self, temperature: float) -> None:
        defense = beside(confident(1, factor=80), weight=2, temperature=temperature)
        trainee = Trainee(confident(2, factor=20))
        images, labels = batch()
        teacher = softmax(defense.peers[0](images), temperature)
        student = softmax(trainee(images), temperature)
        expected = entropy_of(trainee, images, labels) + 2 * temperature**2 * kl(teacher, student)
        assert float(np.abs(kl(teacher, student) - kl(student, teacher)).max()) > 0.005
        np.testing.assert_allclose(defense.loss(trainee, images, labels, START).detach(), expected, rtol=1e-4)

    @pytest.mark.parametrize("kind", ["mean", "each"])
    def test_several_teachers_speak_together_or_one_by_one(self, kind: str) -> None:
        defense = beside(confident(1), confident(4), confident(5), teacher=kind)
        trainee = Trainee(confident(2, factor=10))
        images, labels = batch()
        taught = [softmax(network(images)) for network in defense.peers]
        student = softmax(trainee(images))
        if kind == "mean":
            between = kl((taught[0] + taught[1] + taught[2]) / 3, student)
        else:
            between = kl(taught[0], student) + kl(taught[1], student) + kl(taught[2], student)
        expected = entropy_of(trainee, images, labels) + 0.5 * between
        np.testing.assert_allclose(defense.loss(trainee, images, labels, START).detach(), expected, rtol=1e-4)

    def test_with_one_teacher_both_readings_are_the_same(self) -> None:
        trainee = Trainee(confident(2))
        images, labels = batch()
        found = [
            beside(confident(1), teacher=kind).loss(trainee, images, labels, START)
            for kind in ("mean", "each")
        ]
        torch.testing.assert_close(*found)

    def test_the_average_of_single_divergences_has_the_gradient_of_the_mean(self) -> None:
        """So that `each` adds them up: to differ from `mean` at all."""
        teachers = [confident(seed) for seed in (1, 4, 5)]
        trainee = Trainee(confident(2, factor=10))
        together = gradients(beside(*teachers, weight=0.6), trainee)
        single = gradients(beside(*teachers, weight=0.2, teacher="each"), trainee)
        for one, other in zip(together, single, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)

    def test_the_gradient_by_the_logits_is_the_difference_of_the_probabilities(self) -> None:
        """Of KL(teacher ‖ student) at any T, with T²: T (q - p); the reverse divergence has another."""
        for temperature in (1.0, 3.0):
            defense = beside(confident(1), weight=1, temperature=temperature)
            trainee = Trainee(confident(2, factor=10))
            images, labels = batch()
            bias = trainee.classifier.get_parameter("classify.bias")
            (found,) = torch.autograd.grad(defense.loss(trainee, images, labels, START).sum(), bias)
            truth = nn.functional.one_hot(labels, 3).numpy()
            logits = trainee(images)
            apart = softmax(logits, temperature) - softmax(defense.peers[0](images), temperature)
            expected = (softmax(logits) - truth + temperature * apart).sum(axis=0)
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)

    def test_steps_down_pull_the_student_s_probabilities_to_the_teacher_s(self) -> None:
        defense = beside(confident(1), weight=1e4)
        trainee = Trainee(confident(2, factor=5))
        images, labels = batch()
        teacher = softmax(defense.peers[0](images))
        parameters, apart = list(trainee.parameters()), []
        for _ in range(6):
            apart.append(float(kl(teacher, softmax(trainee(images))).mean()))
            loss = defense.loss(trainee, images, labels, START).mean()
            with torch.no_grad():
                for parameter, gradient in zip(
                    parameters, torch.autograd.grad(loss, parameters), strict=True
                ):
                    parameter.sub_(1e-6 * gradient)
        assert all(later < earlier for earlier, later in pairwise(apart))

    def test_beside_none_it_is_the_cross_entropy_to_the_bit(self) -> None:
        defense = beside(weight=0.5)
        trainee = build_tiny(defense)
        images, labels = batch()
        expected = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        assert torch.equal(defense.loss(trainee, images, labels, START), expected)

    @pytest.mark.parametrize("kind", ["mean", "each"])
    def test_certain_networks_that_disagree_have_a_finite_loss_and_gradient(self, kind: str) -> None:
        defense = beside(confident(1, factor=1e6), confident(4, factor=1e6), teacher=kind)
        trainee = Trainee(confident(2, factor=1e6))
        images, labels = batch()
        loss = defense.loss(trainee, images, labels, START)
        assert bool(loss.isfinite().all())
        found = torch.autograd.grad(loss.mean(), list(trainee.parameters()))
        assert all(bool(gradient.isfinite().all()) for gradient in found)

    def test_the_gradient_to_the_images_is_that_of_all_networks(self) -> None:
        """Against differences of the loss itself, in which the teachers' probabilities change too."""
        defense = beside(confident(1, factor=5), confident(4, factor=5), weight=20)
        trainee = Trainee(confident(2, factor=5))
        for network in (trainee.classifier, *defense.peers):
            network.double()
        images, labels = batch(1)
        images = images.double().requires_grad_()
        loss = defense.loss(trainee, images, labels, START).sum()
        (found,) = torch.autograd.grad(loss, images)
        step = 1e-2 * found / found.norm()
        with torch.no_grad():
            above, below = (
                defense.loss(trainee, images + sign * step, labels, START).item() for sign in (1, -1)
            )
        assert float(found.norm()) == pytest.approx((above - below) / 2e-2, rel=0.05)

    def test_frozen_networks_keep_their_weights_and_get_no_gradient(self) -> None:
        defense = beside(confident(1, batch_norm=True))
        (network,) = defense.peers
        network.requires_grad_(True)
        kept = {name: value.clone() for name, value in network.state_dict().items()}
        trained(defense)
        assert not network.training
        assert all(parameter.grad is None for parameter in network.parameters())
        assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())


class TestTraining:
    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_with_weight_0_it_is_plain_training_to_the_bit(self, precision: str) -> None:
        one, history = trained(beside(confident(1), confident(4), weight=0), precision=precision)
        other, plain = trained(PlainDefense(), precision=precision)
        assert history == plain
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())

    def test_a_student_comes_closer_to_its_teacher_than_an_independent_network(self) -> None:
        defense = beside(confident(1), weight=5)
        student, _ = trained(defense, epochs=15)
        alone, _ = trained(PlainDefense(), epochs=15)
        images, _ = batch(60)
        teacher = softmax(defense.peers[0](images))
        taught, independent = (kl(teacher, softmax(one(images))).mean() for one in (student, alone))
        assert taught < independent / 2


class TestSettings:
    @pytest.mark.parametrize(
        "options", [{"temperature": 0}, {"weight": -1}, {"teacher": "first"}, {"temprature": 1}]
    )
    def test_bad_ones_are_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Settings(**options)

    def test_three_networks_join_and_vote(self) -> None:
        defense = DistilledEnsemble(Settings())
        joined = defense.join([confident(seed).eval() for seed in range(3)], DESCRIPTION)
        images, _ = batch()
        votes = joined.answers(images).votes
        assert votes is not None
        assert votes.shape == (12, 3)
        assert Settings(boosted=True).key("distilled_ensemble") == "distilled_ensemble[boosted]"
        assert Settings.learns_beside
        assert Settings.votes
