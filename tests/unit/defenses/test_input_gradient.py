from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from reproof.data.dataset import to_unit
from reproof.defenses.input_gradient import InputGradient, Settings
from reproof.models.defense import Progress, Trainee
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train
from tests.tiny_classifier import DESCRIPTION, LinearClassifier, TinyClassifier, build_tiny, make_data

START = Progress(0, 10, 0)
Array = NDArray[np.float64]


def batch(count: int = 9) -> tuple[Tensor, Tensor]:
    images, labels = make_data().select("train", count)
    return to_unit(images), labels


def linear() -> tuple[Trainee, Array, Array]:
    generator = np.random.default_rng(0)
    weights, bias = generator.normal(0, 0.3, (3, 64)), generator.normal(0, 0.3, 3)
    tensors = (torch.tensor(array, dtype=torch.float32) for array in (weights, bias))
    return Trainee(LinearClassifier(DESCRIPTION, *tensors)), weights, bias


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def squared_norms(trainee: Trainee, images: Tensor, labels: Tensor) -> list[float]:
    """Each image's squared gradient norm, the images taken one at a time, in evaluation mode."""
    trainee.eval()
    found = []
    for image, label in zip(images, labels, strict=True):
        leaf = image.unsqueeze(0).clone().requires_grad_(True)
        loss = nn.functional.cross_entropy(trainee(leaf), label.unsqueeze(0))
        (gradient,) = torch.autograd.grad(loss, leaf)
        found.append(float(gradient.square().sum()))
    return found


class InPlace(TinyClassifier):
    """Its first rectifier overwrites its input, as in VGG and pre-activation networks."""

    def __init__(self) -> None:
        super().__init__()
        self.layer3[2] = nn.ReLU(inplace=True)


class TestObjective:
    @pytest.mark.parametrize("weight", [0.25, 4.0])
    @pytest.mark.parametrize("target", ["labels", "uniform"])
    def test_closed_form_on_a_linear_classifier(self, target: str, weight: float) -> None:
        """The gradient of the cross-entropy with q is Wᵀ(p - q)."""
        trainee, weights, bias = linear()
        images, labels = batch()
        expected = []
        for image, label in zip(images.double().numpy(), labels.tolist(), strict=True):
            probabilities = softmax(weights @ image.ravel() + bias)
            aimed = np.eye(3)[label] if target == "labels" else np.full(3, 1 / 3)
            gradient = weights.T @ (probabilities - aimed)
            expected.append(-np.log(probabilities[label]) + weight * gradient @ gradient)
        defense = InputGradient(Settings.model_validate({"weight": weight, "target": target}))
        loss = defense.loss(trainee, images, labels, START)
        np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-4)

    @pytest.mark.parametrize("classifier", [TinyClassifier, InPlace])
    @pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
    def test_an_image_s_penalty_does_not_depend_on_its_batch(
        self, classifier: type[TinyClassifier], memory_format: torch.memory_format
    ) -> None:
        torch.manual_seed(0)
        trainee = Trainee(classifier()).eval()
        images, labels = batch()
        images = images.contiguous(memory_format=memory_format)
        plain = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        penalty = InputGradient(Settings(weight=2.0)).loss(trainee, images, labels, START) - plain
        expected = 2 * torch.tensor(squared_norms(trainee, images, labels))
        torch.testing.assert_close(penalty.detach(), expected, rtol=1e-3, atol=1e-6)

    def test_the_uniform_target_s_penalty_needs_no_labels(self) -> None:
        trainee, _, _ = linear()
        images, labels = batch()
        other = (labels + 1) % 3
        for target, same in (("uniform", True), ("labels", False)):
            defense = InputGradient(Settings.model_validate({"target": target}))
            penalties = [
                defense.loss(trainee, images, chosen, START)
                - nn.functional.cross_entropy(trainee(images), chosen, reduction="none")
                for chosen in (labels, other)
            ]
            assert torch.allclose(penalties[0], penalties[1], atol=1e-5) == same


class TestDerivatives:
    def test_the_parameters_gradient_on_a_linear_classifier_is_the_difference_quotient_s(self) -> None:
        """A penalty that was detached, or built without its graph, has the right value and no gradient."""
        trainee, weights, bias = linear()
        images, labels = batch(1)
        pixels = images.double().numpy().ravel()
        label = int(labels[0])

        def objective(matrix: Array) -> float:
            probabilities = softmax(matrix @ pixels + bias)
            gradient = matrix.T @ (probabilities - np.eye(3)[label])
            return float(-np.log(probabilities[label]) + 3 * gradient @ gradient)

        loss = InputGradient(Settings(weight=3.0)).loss(trainee, images, labels, START)
        classifier = trainee.classifier
        assert isinstance(classifier, LinearClassifier)
        (found,) = torch.autograd.grad(loss.sum(), classifier.weights)
        for row, column in ((0, 5), (1, 20), (2, 63)):
            step = np.zeros_like(weights)
            step[row, column] = 1e-5
            slope = (objective(weights + step) - objective(weights - step)) / 2e-5
            assert float(found[row, column]) == pytest.approx(slope, rel=1e-3, abs=1e-4)

    def test_the_images_gradient_on_a_linear_classifier_is_the_difference_quotient_s(self) -> None:
        """What the adaptive attacker climbs: the penalty's own change with the image is part of it."""
        trainee, weights, bias = linear()
        images, labels = batch(1)
        pixels = images.double().numpy().ravel()
        label = int(labels[0])

        def objective(point: Array) -> float:
            probabilities = softmax(weights @ point + bias)
            gradient = weights.T @ (probabilities - np.eye(3)[label])
            return float(-np.log(probabilities[label]) + 3 * gradient @ gradient)

        trainee.eval().requires_grad_(False)
        images.requires_grad_(True)
        view = InputGradient(Settings(weight=3.0)).attack_losses(trainee)["joint"]
        (found,) = torch.autograd.grad(view(images, labels).sum(), images)
        for index in (0, 17, 63):
            step = np.zeros(64)
            step[index] = 1e-5
            slope = (objective(pixels + step) - objective(pixels - step)) / 2e-5
            assert float(found.flatten()[index]) == pytest.approx(slope, rel=1e-3, abs=1e-4)

    @pytest.mark.parametrize("batch_norm", [False, True])
    def test_a_step_down_the_penalty_shrinks_the_input_gradients(self, batch_norm: bool) -> None:
        defense = InputGradient(Settings(weight=1.0))
        trainee = build_tiny(defense, batch_norm=batch_norm).eval()
        images, labels = batch(30)
        before = sum(squared_norms(trainee, images, labels))
        plain = nn.functional.cross_entropy(trainee(images), labels)
        penalty = defense.loss(trainee, images, labels, START).mean() - plain
        parameters: list[Tensor] = list(trainee.parameters())
        gradients = torch.autograd.grad(penalty, parameters, allow_unused=True)
        length = torch.cat([g.flatten() for g in gradients if g is not None]).norm()
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter -= 0.01 * gradient / length
        assert sum(squared_norms(trainee, images, labels)) < before

    @pytest.mark.parametrize("training", [False, True])
    def test_asking_for_the_images_gradient_changes_no_value(self, training: bool) -> None:
        defense = InputGradient(Settings())
        images, labels = batch()
        values = []
        for asked in (False, True):
            trainee = build_tiny(defense, batch_norm=True).train(training)
            leaf = images.clone().requires_grad_(asked)
            values.append(defense.loss(trainee, leaf, labels, START))
            assert leaf.requires_grad == asked
            assert leaf.grad is None
            assert all(parameter.grad is None for parameter in trainee.parameters())
        assert torch.equal(*values)

    def test_images_may_be_the_result_of_a_computation(self) -> None:
        defense = InputGradient(Settings())
        trainee = build_tiny(defense).eval()
        images, labels = batch()
        direct = images.clone().requires_grad_(True)
        shift = torch.zeros_like(images).requires_grad_(True)
        (expected,) = torch.autograd.grad(defense.loss(trainee, direct, labels, START).sum(), direct)
        (found,) = torch.autograd.grad(defense.loss(trainee, images + shift, labels, START).sum(), shift)
        torch.testing.assert_close(found, expected)


class TestTraining:
    def test_the_joint_view_is_the_loss_trained_with(self) -> None:
        defense = InputGradient(Settings())
        trainee = build_tiny(defense).eval()
        images, labels = batch()
        view = defense.attack_losses(trainee)["joint"]
        assert torch.equal(view(images, labels), defense.loss(trainee, images, labels, START))

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_it_learns_and_ends_with_smaller_input_gradients(self, precision: str) -> None:
        data = make_data()
        images, labels = data.select("test")
        norms = []
        for weight in (1e-9, 0.3):
            defense = InputGradient(Settings(weight=weight))
            trainee = build_tiny(defense)
            training = TrainingSettings.model_validate(
                {"epochs": 15, "batch_size": 32, "learning_rate": 0.05, "precision": precision}
            )
            history = train(defense, trainee, data, training, seed=0, progress=False)
            assert history[-1]["validation_accuracy"] > 0.9
            norms.append(sum(squared_norms(trainee, to_unit(images), labels)))
        assert norms[1] < 0.7 * norms[0]


class TestSettings:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"weight": 0}, "greater than 0"),
            ({"weight": -1}, "greater than 0"),
            ({"target": "logits"}, "'labels' or 'uniform'"),
            ({"lambda": 1}, "unknown key 'lambda'"),
        ],
    )
    def test_wrong_ones_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Settings.model_validate(wrong)

    def test_the_uniform_target_has_a_name_of_its_own_in_claims(self) -> None:
        assert Settings().key("input_gradient") == "input_gradient"
        assert Settings(target="uniform").key("input_gradient") == "input_gradient[uniform]"
