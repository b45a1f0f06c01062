from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from reproof.attacking import engine
from reproof.attacks import fgsm
from reproof.data.dataset import DataDescription
from reproof.models.classifier import Classifier
from reproof.models.defense import Progress, Trainee
from reproof.models.purifier import Purified, PurifiedDefense, purified_of
from reproof.settings.defense import DefenseSettings
from tests.tiny_classifier import DESCRIPTION, PlainDefense, TinyClassifier, build_tiny

DATA = DataDescription(channels=1, height=1, width=2, classes=2, mean=(0.0,), std=(1.0,))
IMAGES = torch.tensor([[[[0.3, 0.8]]], [[[0.9, 0.4]]]])
ROUNDED = torch.tensor([[[[0.25, 0.75]]], [[[1.0, 0.5]]]])


class Squares(Classifier):
    """Logits W x²: their gradient 2 W x tells at which image it was taken."""

    def __init__(self) -> None:
        super().__init__(DATA)
        self.weights = nn.Parameter(torch.tensor([[1.0, 2.0], [4.0, -1.0]]))
        self.feature_shapes = {"squares": (2,)}
        self.seen: list[Tensor] = []

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        self.seen.append(images.detach().clone())
        squares = images.flatten(1).square()
        return squares @ self.weights.T, {"squares": squares}


class Rounded(Purified):
    """Rounds to quarters, as a purifier without a useful gradient; notes in which state it was called."""

    def __init__(self, classifier: Classifier, data: DataDescription = DATA):
        super().__init__(classifier, data)
        self.gradients: list[bool] = []

    def purify(self, images: Tensor) -> Tensor:
        self.gradients.append(torch.is_grad_enabled())
        return (images * 4).round() / 4


class RoundedSettings(DefenseSettings):
    attack_losses = ("bpda",)


class RoundedDefense(PurifiedDefense[RoundedSettings]):
    def build(self, classifier: Classifier, data: DataDescription) -> Trainee:
        return Trainee(Rounded(classifier, data))


def squares() -> tuple[Rounded, Squares]:
    classifier = Squares()
    return Rounded(classifier).eval(), classifier


def jacobian(logits: Tensor, images: Tensor) -> Tensor:
    """Return the gradient of each logit at each image (N, K, pixels)."""
    rows = [torch.autograd.grad(logits[:, k].sum(), images, retain_graph=True)[0] for k in range(2)]
    return torch.stack([row.flatten(1) for row in rows], dim=1)


def by_hand(classifier: Squares, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits W x² and their Jacobian 2 W x."""
    pixels, weights = images.flatten(1), classifier.weights.detach()
    return pixels.square() @ weights.T, 2 * weights * pixels.unsqueeze(1)


class TestDeployed:
    def test_logits_and_features_are_those_of_the_purified_images_to_the_last_bit(self) -> None:
        torch.manual_seed(0)
        purified = Rounded(TinyClassifier(), DESCRIPTION).eval()
        images = torch.rand(40, 1, 8, 8)
        expected, expected_features = purified.classifier.logits_and_features((images * 4).round() / 4)
        for gradient in (True, False):
            with torch.set_grad_enabled(gradient):
                logits, features = purified.logits_and_features(images)
            assert torch.equal(logits, expected)
            assert list(features) == list(purified.feature_shapes) == ["layer3", "layer4", "layer5"]
            assert all(torch.equal(value, expected_features[name]) for name, value in features.items())

    def test_who_differentiates_it_meets_the_classifier_alone(self) -> None:
        purified, classifier = squares()
        images = IMAGES.clone().requires_grad_(True)
        logits, features = purified.logits_and_features(images)
        torch.testing.assert_close(logits, by_hand(classifier, IMAGES)[0])
        torch.testing.assert_close(jacobian(logits, images), by_hand(classifier, IMAGES)[1])
        (gradient,) = torch.autograd.grad(features["squares"].sum(), images)
        torch.testing.assert_close(gradient, 2 * IMAGES)
        assert purified.gradients == []  # a step of an attack does not wait for the purifier

    def test_without_gradients_the_classifier_is_asked_once_and_not_about_the_image(self) -> None:
        purified, classifier = squares()
        with torch.inference_mode():
            purified(IMAGES)
        assert [torch.equal(seen, ROUNDED) for seen in classifier.seen] == [True]

    def test_answers_are_the_classes_of_the_purified_images(self) -> None:
        purified, classifier = squares()
        with torch.no_grad():
            classifier.weights.copy_(torch.tensor([[0.0, 2.0], [1.0, 0.0]]))
        images = torch.tensor([[[[0.62, 0.38]]], [[[0.63, 0.62]]]])  # purified: (0.5, 0.5) and (0.75, 0.5)
        assert classifier(images).argmax(1).tolist() == [1, 0]
        answers = purified.answers(images)
        assert answers.classes.tolist() == [0, 1]
        torch.testing.assert_close(answers.logits, torch.tensor([[0.5, 0.25], [0.5, 0.5625]]))

    def test_no_images_are_answered_without_the_purifier(self) -> None:
        purified, _ = squares()
        assert purified(IMAGES[:0]).shape == purified.bpda_logits(IMAGES[:0]).shape == (0, 2)
        assert purified.gradients == []

    def test_weights_of_the_classifier_are_stored_with_it(self) -> None:
        purified, _ = squares()
        assert "classifier.weights" in purified.state_dict()
        assert purified.feature_shapes == {"squares": (2,)}

    def test_a_purifier_must_say_how_it_purifies(self) -> None:
        assert Purified.__abstractmethods__ == {"purify"}


class TestTraining:
    def test_in_training_mode_nothing_is_purified(self) -> None:
        purified, classifier = squares()
        purified.train()
        images = IMAGES.clone().requires_grad_(True)
        logits, features = purified.logits_and_features(images)
        expected, slopes = by_hand(classifier, IMAGES)
        torch.testing.assert_close(logits, expected)
        torch.testing.assert_close(jacobian(logits, images), slopes)
        torch.testing.assert_close(features["squares"], IMAGES.flatten(1).square())
        assert purified.gradients == []

    def test_loss_is_the_cross_entropy_of_the_classifier_inside(self) -> None:
        defense = RoundedDefense(RoundedSettings())
        trainee = build_tiny(defense).train()
        images, labels = torch.rand(6, 1, 8, 8), torch.arange(6) % 3
        inside = purified_of(trainee).classifier
        expected = nn.functional.cross_entropy(inside(images), labels, reduction="none")
        assert torch.equal(defense.loss(trainee, images, labels, Progress(0, 1, 0)), expected)


class TestBackwardPassDifferentiableApproximation:
    def test_gradient_is_the_classifier_s_at_the_purified_image(self) -> None:
        purified, classifier = squares()
        images = IMAGES.clone().requires_grad_(True)
        logits = purified.bpda_logits(images)
        expected, slopes = by_hand(classifier, ROUNDED)
        torch.testing.assert_close(logits, expected)
        torch.testing.assert_close(jacobian(logits, images), slopes)

    def test_its_value_is_that_of_the_deployed_network_to_the_last_bit(self) -> None:
        torch.manual_seed(0)
        purified = Rounded(TinyClassifier(), DESCRIPTION).eval()
        images = torch.rand(40, 1, 8, 8)
        with torch.no_grad():
            assert torch.equal(purified.bpda_logits(images), purified(images))

    def test_view_climbs_its_cross_entropy_and_the_purifier_is_left_out_of_the_graph(self) -> None:
        defense = RoundedDefense(RoundedSettings())
        trainee = build_tiny(defense).eval()
        images, labels = torch.rand(6, 1, 8, 8), torch.arange(6) % 3
        view = defense.attack_losses(trainee)
        assert tuple(view) == RoundedSettings.attack_losses
        shown = images.clone().requires_grad_(True)
        loss = view["bpda"](shown, labels)
        inside = purified_of(trainee).classifier
        at = ((images * 4).round() / 4).requires_grad_(True)
        expected = nn.functional.cross_entropy(inside(at), labels, reduction="none")
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(
            torch.autograd.grad(loss.sum(), shown)[0], torch.autograd.grad(expected.sum(), at)[0]
        )
        purified = purified_of(trainee)
        assert isinstance(purified, Rounded)
        assert purified.gradients == [False]

    def test_a_step_up_the_view_raises_the_loss_of_the_purified_image(self) -> None:
        defense = RoundedDefense(RoundedSettings())
        trainee = build_tiny(defense, seed=3).eval()
        images, labels = torch.rand(20, 1, 8, 8) * 0.5 + 0.25, torch.arange(20) % 3
        view = defense.attack_losses(trainee)["bpda"]
        before = view(images, labels)
        found = engine.AttackEngine(
            trainee, attack_loss=view, seed=0, batch_size=20, device="cpu", skip_misclassified=False
        ).run("fgsm", fgsm.Settings(epsilons=(0.25,)), images, labels, trainee(images).argmax(1))
        assert bool((view(found.images["epsilon=0.25"], labels) > before).all())


def test_a_classifier_that_purifies_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match="purifies nothing"):
        purified_of(build_tiny(PlainDefense()))
