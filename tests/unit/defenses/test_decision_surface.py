from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from reproof.data.dataset import to_unit
from reproof.defenses.decision_surface import DecisionSurface, Settings
from reproof.models.defense import Progress, Trainee
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train
from tests.tiny_classifier import DESCRIPTION, LinearClassifier, TinyClassifier, build_tiny, make_data

START = Progress(0, 10, 0)
BENT = {"slope_weight": 0.5, "curvature_weight": 2.0, "reach": 0.2}
Array = NDArray[np.float64]


def batch(count: int = 9) -> tuple[Tensor, Tensor]:
    images, labels = make_data().select("train", count)
    return to_unit(images), labels


def defend(**options: Any) -> DecisionSurface:
    return DecisionSurface(Settings.model_validate(options))


def linear() -> tuple[Trainee, Array, Array]:
    generator = np.random.default_rng(0)
    weights, bias = generator.normal(0, 0.3, (3, 64)), generator.normal(0, 0.3, 3)
    tensors = (torch.tensor(array, dtype=torch.float32) for array in (weights, bias))
    return Trainee(LinearClassifier(DESCRIPTION, *tensors)), weights, bias


def slope(surface: str, weights: Array, bias: Array, pixels: Array, label: int) -> Array:
    """The surface's gradient on a linear classifier: w_y - w_j of the leading other class j, or Wᵀ(p - y)."""
    logits = weights @ pixels + bias
    if surface == "margin":
        leading = max((j for j in range(len(logits)) if j != label), key=lambda j: logits[j])
        return np.asarray(weights[label] - weights[leading])
    powers = np.exp(logits - logits.max())
    return np.asarray(weights.T @ (powers / powers.sum() - np.eye(len(logits))[label]))


def cross_entropy(logits: Array, label: int) -> float:
    return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label])


def penalty_of(defense: DecisionSurface, trainee: Trainee, images: Tensor, labels: Tensor) -> Tensor:
    plain = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
    return defense.loss(trainee, images, labels, START) - plain


class TestObjective:
    @pytest.mark.parametrize("surface", ["margin", "cross_entropy"])
    @pytest.mark.parametrize("reach", [0.02, 0.3])
    @pytest.mark.parametrize(("slope_weight", "curvature_weight"), [(0.5, 0.0), (0.0, 2.0), (0.5, 2.0)])
    def test_closed_form_on_a_linear_classifier(
        self, surface: str, reach: float, slope_weight: float, curvature_weight: float
    ) -> None:
        trainee, weights, bias = linear()
        images, labels = batch(30)
        downhill = -1 if surface == "margin" else 1
        expected = []
        for image, label in zip(images.double().numpy(), labels.tolist(), strict=True):
            pixels = image.ravel()
            here = slope(surface, weights, bias, pixels, label)
            there = slope(surface, weights, bias, pixels + downhill * reach * np.sign(here), label)
            penalty = slope_weight * here @ here + curvature_weight * (there - here) @ (there - here)
            expected.append(cross_entropy(weights @ pixels + bias, label) + penalty)
        defense = defend(
            surface=surface, reach=reach, slope_weight=slope_weight, curvature_weight=curvature_weight
        )
        loss = defense.loss(trainee, images, labels, START)
        np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-3, atol=1e-4)

    def test_the_margin_is_to_the_largest_other_logit_where_the_label_leads_and_where_not(self) -> None:
        """Rows (3, 0), (0, 4), (0, 0) see one bright pixel each; the label's own logit never is the other."""
        weights = torch.zeros(3, 64)
        weights[0, 0], weights[1, 1] = 3.0, 4.0
        trainee = Trainee(LinearClassifier(DESCRIPTION, weights, torch.tensor([0.0, 0.0, 1.0])))
        images = torch.zeros(3, 1, 8, 8)
        images[0, 0, 0, 0] = images[1, 0, 0, 0] = images[2, 0, 0, 1] = 1.0
        # logits (3, 0, 1): w_0 - w_2; (3, 0, 1) labelled 2: w_2 - w_0; (0, 4, 1) labelled 0: w_0 - w_1.
        penalty = penalty_of(defend(slope_weight=1.0), trainee, images, torch.tensor([0, 2, 0]))
        torch.testing.assert_close(penalty.detach(), torch.tensor([9.0, 9.0, 25.0]))

    @pytest.mark.parametrize(("reach", "bend"), [(1.0, 4.0), (0.2, 0.0)])
    def test_the_margin_bends_where_another_class_comes_to_lead(self, reach: float, bend: float) -> None:
        """Logits 0, x and 3x - 2 of one pixel: class 1 leads the others below x = 1, and class 2 above."""
        weights = torch.zeros(3, 64)
        weights[1, 0], weights[2, 0] = 1.0, 3.0
        trainee = Trainee(LinearClassifier(DESCRIPTION, weights, torch.tensor([0.0, 0.0, -2.0])))
        images = torch.full((1, 1, 8, 8), 0.5)
        defense = defend(slope_weight=0, curvature_weight=1.0, reach=reach)
        penalty = penalty_of(defense, trainee, images, torch.tensor([0]))
        torch.testing.assert_close(penalty.detach(), torch.tensor([bend]))

    @pytest.mark.parametrize("surface", ["margin", "cross_entropy"])
    def test_the_neighbour_lies_towards_the_wrong_classes(self, surface: str) -> None:
        seen: list[Tensor] = []
        trainee, _, _ = linear()
        trainee.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
        images, labels = batch()
        defend(surface=surface, curvature_weight=1.0, reach=0.05).loss(trainee, images, labels, START)
        assert torch.equal(seen[0], images)
        torch.testing.assert_close((seen[1] - images).abs(), torch.full_like(images, 0.05))
        losses = [nn.functional.cross_entropy(trainee(point), labels, reduction="none") for point in seen[:2]]
        assert bool((losses[1] > losses[0]).all())

    @pytest.mark.parametrize("options", [{}, BENT, {"surface": "cross_entropy", **BENT}])
    def test_an_image_s_loss_does_not_depend_on_its_batch(self, options: dict[str, Any]) -> None:
        defense = defend(**options)
        trainee = build_tiny(defense, batch_norm=True).eval()
        images, labels = batch()
        together = defense.loss(trainee, images, labels, START)
        alone = [defense.loss(trainee, images[i : i + 1], labels[i : i + 1], START) for i in range(9)]
        torch.testing.assert_close(together, torch.cat(alone), rtol=1e-3, atol=1e-5)

    def test_without_curvature_there_is_one_pass(self) -> None:
        for curvature_weight, passes in ((0.0, 1), (1.0, 2)):
            defense = defend(curvature_weight=curvature_weight)
            trainee = build_tiny(defense)
            count: list[int] = []
            trainee.classifier.register_forward_pre_hook(lambda _, inputs, n=count: n.append(len(inputs[0])))
            defense.loss(trainee, *batch(), START)
            assert len(count) == passes


class TestDerivatives:
    @pytest.mark.parametrize("surface", ["margin", "cross_entropy"])
    def test_gradients_on_a_linear_classifier_are_the_difference_quotient_s(self, surface: str) -> None:
        """To a weight, as training takes it, and to a pixel, as the adaptive attacker does."""
        trainee, weights, bias = linear()
        images, labels = batch(1)
        pixels, label = images.double().numpy().ravel(), int(labels[0])
        downhill = -1 if surface == "margin" else 1

        def objective(matrix: Array, point: Array) -> float:
            here = slope(surface, matrix, bias, point, label)
            there = slope(surface, matrix, bias, point + downhill * 0.2 * np.sign(here), label)
            bend = there - here
            return cross_entropy(matrix @ point + bias, label) + float(0.5 * here @ here + 2 * bend @ bend)

        images.requires_grad_(True)
        view = defend(surface=surface, **BENT).attack_losses(trainee)["joint"]
        classifier = trainee.classifier
        assert isinstance(classifier, LinearClassifier)
        to_weights, to_images = torch.autograd.grad(view(images, labels).sum(), [classifier.weights, images])
        for index in (0, 17, 63):
            step = np.zeros(64)
            step[index] = 1e-6
            change = (objective(weights, pixels + step) - objective(weights, pixels - step)) / 2e-6
            assert float(to_images.flatten()[index]) == pytest.approx(change, rel=1e-3, abs=1e-3)
            row = np.outer(np.eye(3)[label], step)
            change = (objective(weights + row, pixels) - objective(weights - row, pixels)) / 2e-6
            assert float(to_weights[label, index]) == pytest.approx(change, rel=1e-3, abs=1e-3)

    @pytest.mark.parametrize(
        "options",
        [
            {"slope_weight": 1.0},
            {"slope_weight": 0.0, "curvature_weight": 1.0},
            {"slope_weight": 1.0, "surface": "cross_entropy"},
        ],
    )
    def test_a_step_down_the_penalty_flattens_the_surface(self, options: dict[str, Any]) -> None:
        defense = defend(**options)
        trainee = build_tiny(defense).eval()
        images, labels = batch(30)
        before = penalty_of(defense, trainee, images, labels).mean()
        parameters: list[Tensor] = list(trainee.parameters())
        gradients = torch.autograd.grad(before, parameters, allow_unused=True)
        length = torch.cat([g.flatten() for g in gradients if g is not None]).norm()
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter -= 1e-3 * gradient / length
        assert bool(penalty_of(defense, trainee, images, labels).mean() < before)

    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize("options", [{}, BENT])
    def test_asking_for_the_images_gradient_changes_no_value(
        self, options: dict[str, Any], training: bool
    ) -> None:
        images, labels = batch()
        values = []
        for asked in (False, True):
            defense = defend(**options)
            trainee = build_tiny(defense, batch_norm=True).train(training)
            leaf = images.clone().requires_grad_(asked)
            values.append(defense.loss(trainee, leaf, labels, START))
            assert leaf.requires_grad == asked
            assert leaf.grad is None
            assert trainee.training == training
        assert torch.equal(*values)

    def test_rectifiers_that_overwrite_their_input_change_nothing(self) -> None:
        images, labels = batch()
        found = []
        for inplace in (False, True):
            torch.manual_seed(0)
            classifier = TinyClassifier()
            classifier.layer3[2] = nn.ReLU(inplace=inplace)
            trainee = Trainee(classifier)
            leaf = images.contiguous(memory_format=torch.channels_last).requires_grad_(True)
            loss = defend(**BENT).loss(trainee, leaf, labels, START)
            found.append(torch.autograd.grad(loss.sum(), [leaf, *trainee.parameters()]))
        assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


class TestTraining:
    @pytest.mark.parametrize("options", [{}, BENT])
    def test_the_joint_view_is_the_loss_trained_with(self, options: dict[str, Any]) -> None:
        defense = defend(**options)
        trainee = build_tiny(defense).eval()
        images, labels = batch()
        view = defense.attack_losses(trainee)["joint"]
        assert torch.equal(view(images, labels), defense.loss(trainee, images, labels, START))

    def test_the_neighbours_leave_batch_norm_s_statistics(self) -> None:
        images, labels = batch()
        states = []
        for curvature_weight in (0.0, 1.0):
            defense = defend(curvature_weight=curvature_weight)
            trainee = build_tiny(defense, batch_norm=True).train()
            defense.loss(trainee, images, labels, START)
            states.append({name: value.clone() for name, value in trainee.named_buffers()})
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_it_learns_and_ends_flatter_than_without_it(self, precision: str) -> None:
        data = make_data()
        images, labels = data.select("test")
        measure = defend(slope_weight=1.0, curvature_weight=1.0)
        bends = []
        for weight in (1e-9, 0.03):
            defense = defend(slope_weight=weight, curvature_weight=weight)
            trainee = build_tiny(defense)
            training = TrainingSettings.model_validate(
                {"epochs": 12, "batch_size": 32, "learning_rate": 0.05, "precision": precision}
            )
            history = train(defense, trainee, data, training, seed=0, progress=False)
            assert history[-1]["validation_accuracy"] > 0.9
            bends.append(penalty_of(measure, trainee, to_unit(images), labels).mean().item())
        assert bends[1] < 0.7 * bends[0]


class TestSettings:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"slope_weight": 0}, "slope_weight or curvature_weight should be above 0"),
            ({"slope_weight": -1}, "greater than or equal to 0"),
            ({"reach": 0}, "greater than 0"),
            ({"surface": "logits"}, "'margin' or 'cross_entropy'"),
            ({"slop_weight": 1}, "did you mean 'slope_weight'"),
        ],
    )
    def test_wrong_ones_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Settings.model_validate(wrong)

    def test_the_loss_surface_has_a_name_of_its_own_in_claims(self) -> None:
        assert Settings().key("decision_surface") == "decision_surface"
        assert Settings(surface="cross_entropy").key("decision_surface") == "decision_surface[cross_entropy]"

    def test_the_neighbour_doubles_the_cost(self) -> None:
        assert Settings(curvature_weight=0.1).relative_cost() == pytest.approx(2 * Settings().relative_cost())
