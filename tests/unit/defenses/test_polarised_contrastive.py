from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from reproof.data.dataset import to_unit
from reproof.defenses.polarised_contrastive import Centroids, PolarisedContrastive, Settings
from reproof.errors import StudyError
from reproof.models.classifier import Classifier
from reproof.models.defense import Progress, Trainee
from reproof.settings.adversarial_training import AdversarialTraining
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train
from tests.tiny_classifier import DESCRIPTION, LinearClassifier, TinyClassifier, build_tiny, make_data

FIRST = Progress(0, 7, 0)
Array = NDArray[Any]


def oracle(features: Array, labels: Array, centres: Array, sign: float = -1.0) -> Array:
    """Eq. 3 and 4, written out once more, image by image and class by class."""
    losses = []
    for feature, own in zip(features, labels, strict=True):
        inter = 0.0
        for other, centre in enumerate(centres):
            if other != own:
                cosine = centres[own] @ centre / (np.linalg.norm(centres[own]) * np.linalg.norm(centre))
                inter += math.dist(feature, centre) + math.acos(cosine)
        losses.append(math.dist(feature, centres[own]) + sign * inter / (len(centres) - 1))
    return np.array(losses)


def prepared(**options: Any) -> tuple[PolarisedContrastive, Trainee]:
    defense = PolarisedContrastive(Settings(**options))
    return defense, build_tiny(defense)


def centres_of(trainee: Trainee) -> nn.Parameter:
    assert isinstance(trainee.auxiliary, Centroids)
    return trainee.auxiliary.vectors


def batch(count: int = 9) -> tuple[Tensor, Tensor]:
    images, labels = make_data().select("train", count)
    return to_unit(images), labels


def by_hand(
    features: list[list[float]], labels: list[int], centres: list[list[float]], **options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss per image, and the features and centres that it was computed from."""
    feature, points = torch.tensor(features, requires_grad=True), torch.tensor(centres, requires_grad=True)
    defense = PolarisedContrastive(Settings(**options))
    return defense.contrast(feature, torch.tensor(labels), points), feature, points


class TestEquations3And4:
    def test_two_classes_by_hand(self) -> None:
        # To the own centre (3, 0): 4. To the other, (0, 4): 3. Between their directions: π / 2.
        loss, _, _ = by_hand([[3.0, 4.0]], [0], [[3.0, 0.0], [0.0, 4.0]])
        torch.testing.assert_close(loss, torch.tensor([4.0 - 3.0 - math.pi / 2]))

    def test_three_classes_by_hand(self) -> None:
        # Own (3, 0): 4. Others: (0, 4): 3 and π / 2; (6, 8): 5 and acos 0.6.
        loss, _, _ = by_hand([[3.0, 4.0]], [0], [[3.0, 0.0], [0.0, 4.0], [6.0, 8.0]])
        torch.testing.assert_close(loss, torch.tensor([4.0 - (3 + math.pi / 2 + 5 + math.acos(0.6)) / 2]))

    def test_the_printed_plus_is_a_setting(self) -> None:
        loss, _, _ = by_hand([[3.0, 4.0]], [0], [[3.0, 0.0], [0.0, 4.0]], inter_sign="plus")
        torch.testing.assert_close(loss, torch.tensor([4.0 + 3.0 + math.pi / 2]))

    @pytest.mark.parametrize(("name", "sign"), [("minus", -1.0), ("plus", 1.0)])
    def test_agrees_with_loops_over_images_and_classes(self, name: str, sign: float) -> None:
        generator = np.random.default_rng(0)
        labels = generator.integers(0, 5, 20)
        features, centres = generator.normal(size=(20, 7)), generator.normal(size=(5, 7))
        defense = PolarisedContrastive(Settings.model_validate({"inter_sign": name, "weight": 0.5}))
        loss = defense.contrast(torch.tensor(features), torch.tensor(labels), torch.tensor(centres))
        np.testing.assert_allclose(loss.numpy(), 0.5 * oracle(features, labels, centres, sign), rtol=1e-4)

    def test_an_image_s_loss_does_not_depend_on_the_rest_of_the_batch(self) -> None:
        points = [[1.0, 2.0], [0.5, -1.0], [2.0, 0.0]]
        together, _, _ = by_hand(points, [0, 1, 2], [[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])
        for index, point in enumerate(points):
            alone, _, _ = by_hand([point], [index], [[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])
            torch.testing.assert_close(alone[0], together[index])

    def test_squared_distances_are_a_setting(self) -> None:
        loss, _, _ = by_hand([[3.0, 4.0]], [0], [[3.0, 0.0], [0.0, 4.0]], distance="squared")
        torch.testing.assert_close(loss, torch.tensor([16.0 - 9.0 - math.pi / 2]))

    def test_the_margin_bounds_the_distances_to_others_alone(self) -> None:
        loss, _, _ = by_hand([[3.0, 4.0]], [0], [[3.0, 0.0], [0.0, 4.0]], margin=2.5)
        torch.testing.assert_close(loss, torch.tensor([4.0 - 2.5 - math.pi / 2]))
        loss, _, _ = by_hand([[3.0, 4.0]], [0], [[3.0, 0.0], [0.0, 4.0]], margin=0.5)
        torch.testing.assert_close(loss, torch.tensor([4.0 - 0.5 - math.pi / 2]))

    def test_without_a_margin_it_has_no_lower_bound(self) -> None:
        near, _, _ = by_hand([[0.0, 1.0]], [0], [[0.0, 1.0], [0.0, -1e3]])
        far, _, _ = by_hand([[0.0, 1.0]], [0], [[0.0, 1.0], [0.0, -1e6]])
        assert near.item() < -999
        assert far.item() < -999_998

    def test_the_inner_product_as_printed_is_a_setting(self) -> None:
        loss, _, _ = by_hand([[0.6, 0.8]], [0], [[0.6, 0.0], [0.5, 0.1]], normalise_centres=False)
        expected = 0.8 - math.hypot(0.1, 0.7) - math.acos(0.3)
        torch.testing.assert_close(loss, torch.tensor([expected]))

    @pytest.mark.parametrize("normalise", [True, False])
    def test_centres_that_coincide_or_oppose_have_finite_gradients(self, normalise: bool) -> None:
        loss, feature, centres = by_hand(
            [[1.0, 1.0], [1.0, 1.0]],
            [0, 1],
            [[1.0, 1.0], [1.0, 1.0], [-3.0, -3.0]],
            normalise_centres=normalise,
        )
        gradients = torch.autograd.grad(loss.sum(), [feature, centres])
        assert bool(loss.isfinite().all())
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)


class TestDirections:
    def test_features_move_to_their_own_centre_and_away_from_the_others(self) -> None:
        loss, feature, _ = by_hand([[1.0, 1.0]], [0], [[0.0, 0.1], [4.0, 0.0], [0.0, 4.0]])
        (gradient,) = torch.autograd.grad(loss.sum(), feature)
        step = -gradient[0]
        assert float(step @ torch.tensor([0.0 - 1.0, 0.1 - 1.0])) > 0
        assert float(step @ torch.tensor([1.0 - 4.0, 1.0])) > 0
        assert float(step @ torch.tensor([1.0, 1.0 - 4.0])) > 0

    def test_as_printed_they_move_to_the_others_too(self) -> None:
        loss, feature, _ = by_hand([[0.0, 0.1]], [0], [[0.0, 0.1], [4.0, 0.1]], inter_sign="plus")
        (gradient,) = torch.autograd.grad(loss.sum(), feature)
        assert float(-gradient[0, 0]) > 0

    @pytest.mark.parametrize(("sign", "parted"), [("minus", True), ("plus", False)])
    def test_centres_turn_away_from_one_another(self, sign: str, parted: bool) -> None:
        # The features stand so far out along one line that the distances pull all centres alike.
        start = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
        loss, _, centres = by_hand(
            [[0.0, 0.0, 1e6], [0.0, 0.0, 1e6]], [0, 1], start.tolist(), inter_sign=sign
        )
        (gradient,) = torch.autograd.grad(loss.sum(), centres)
        moved = start - 0.01 * gradient

        def angle(points: Tensor) -> float:
            return math.acos(float(nn.functional.cosine_similarity(points[0], points[1], dim=0)))

        assert (angle(moved) > angle(start)) == parted

    def test_the_angle_moves_no_feature(self) -> None:
        for centres in ([[3.0, 0.0], [0.0, 4.0]], [[3.0, 0.0], [6.0, 8.0]]):
            loss, feature, _ = by_hand([[3.0, 4.0]], [0], centres)
            (gradient,) = torch.autograd.grad(loss.sum(), feature)
            to_other = torch.tensor([3.0, 4.0]) - torch.tensor(centres[1])
            torch.testing.assert_close(gradient[0], torch.tensor([0.0, 1.0]) - to_other / to_other.norm())


class TestMethod:
    def test_the_loss_is_cross_entropy_and_the_contrast_of_the_last_feature(self) -> None:
        defense, trainee = prepared(weight=0.25)
        images, labels = batch()
        logits, features = trainee.classifier.logits_and_features(images)
        contrast = oracle(
            features["layer5"].detach().double().numpy(),
            labels.numpy(),
            centres_of(trainee).detach().double().numpy(),
        )
        cross_entropy = nn.functional.cross_entropy(logits, labels, reduction="none")
        expected = cross_entropy.detach().numpy() + 0.25 * contrast
        loss = defense.loss(trainee, images, labels, FIRST).detach()
        np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-4, atol=1e-5)

    def test_views_are_the_whole_loss_and_the_contrast_alone(self) -> None:
        defense, trainee = prepared()
        images, labels = batch()
        views = defense.attack_losses(trainee)
        joint, polarised = views["joint"](images, labels), views["polarised"](images, labels)
        torch.testing.assert_close(joint, defense.loss(trainee, images, labels, FIRST))
        cross_entropy = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        torch.testing.assert_close(joint - polarised, cross_entropy)

    def test_a_map_is_averaged_over_its_area(self) -> None:
        defense, trainee = prepared(layer="layer3")
        assert centres_of(trainee).shape == (3, 6)
        images, labels = batch()
        features = trainee.classifier.features(images)
        expected = defense.contrast(features["layer3"].mean(dim=(2, 3)), labels, centres_of(trainee))
        torch.testing.assert_close(defense.attack_losses(trainee)["polarised"](images, labels), expected)

    def test_centres_start_from_a_normal_distribution(self) -> None:
        torch.manual_seed(0)
        vectors = Centroids(100, 200, 3.0).vectors.detach()
        assert abs(float(vectors.mean())) < 0.1
        assert abs(float(vectors.std()) - 3.0) < 0.1

    def test_centres_have_their_own_rate_without_momentum_and_decay(self) -> None:
        defense, trainee = prepared()
        network, centres = defense.parameter_groups(trainee, 0.1)
        assert (network["lr"], centres["lr"]) == (0.1, 0.5)
        assert [id(p) for p in centres["params"]] == [id(centres_of(trainee))]
        assert centres["momentum"] == centres["weight_decay"] == 0

    def test_the_classifier_s_rows_can_be_the_centres(self) -> None:
        defense, trainee = prepared(centres="classifier")
        assert list(trainee.auxiliary.parameters()) == []
        assert len(list(defense.parameter_groups(trainee, 0.1))) == 1
        assert isinstance(trainee.classifier, TinyClassifier)
        rows = trainee.classifier.classify.weight
        images, labels = batch()
        polarised = defense.attack_losses(trainee)["polarised"](images, labels)
        expected = defense.contrast(trainee.classifier.features(images)["layer5"], labels, rows)
        torch.testing.assert_close(polarised, expected)
        (gradient,) = torch.autograd.grad(polarised.sum(), rows)
        assert bool((gradient != 0).any())

    def test_mixed_precision_keeps_the_contrast_exact(self) -> None:
        generator = torch.Generator().manual_seed(0)
        feature, centres = (torch.randn(5, 7, generator=generator) for _ in range(2))
        labels = torch.arange(5)
        defense = PolarisedContrastive(Settings())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = defense.contrast(feature, labels, centres)
        assert torch.equal(mixed, defense.contrast(feature, labels, centres))

    def test_keys_tell_the_signs_apart(self) -> None:
        assert Settings().key("pcl") == "pcl"
        assert Settings(inter_sign="plus").key("pcl") == "pcl[plus]"

    def test_costs_no_more_than_a_step(self) -> None:
        assert Settings().relative_cost() == 1.0

    def test_a_trainee_of_another_method_is_refused(self) -> None:
        images, labels = batch()
        with pytest.raises(TypeError, match="not built by polarised_contrastive"):
            PolarisedContrastive(Settings()).loss(Trainee(TinyClassifier()), images, labels, FIRST)


class MapsLast(Classifier):
    """A network whose classifier is fed with the averages of its last maps, as the defensive features are."""

    def __init__(self) -> None:
        super().__init__(DESCRIPTION)
        self.maps = nn.Conv2d(1, 5, 3, padding=1)
        self.classify = nn.Linear(5, DESCRIPTION.classes)
        self.feature_shapes = {"defensive": (5, 8, 8)}

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        maps = self.maps(self.normalise(images)).relu()
        return self.classify(maps.mean(dim=(2, 3))), {"defensive": maps}


class TestOnMaps:
    """The paper's full method: the loss acts on the averages of the joined maps."""

    def composed(self, **options: Any) -> tuple[PolarisedContrastive, Trainee]:
        torch.manual_seed(0)
        outer = PolarisedContrastive(Settings(**options))
        return outer, outer.build(MapsLast(), DESCRIPTION)

    def test_it_acts_on_what_enters_the_classifier(self) -> None:
        defense, trainee = self.composed()
        images, labels = batch()
        logits, features = trainee.classifier.logits_and_features(images)
        vector = features["defensive"].mean(dim=(2, 3))
        assert centres_of(trainee).shape == (3, vector.shape[1])
        expected = nn.functional.cross_entropy(logits, labels, reduction="none")
        expected = expected + defense.contrast(vector, labels, centres_of(trainee))
        torch.testing.assert_close(defense.loss(trainee, images, labels, FIRST), expected)

    @pytest.mark.parametrize("centres", ["own", "classifier"])
    def test_it_reaches_every_parameter(self, centres: str) -> None:
        defense, trainee = self.composed(centres=centres)
        images, labels = batch()
        torch.autograd.backward(defense.loss(trainee, images, labels, FIRST).mean())
        assert [name for name, p in trainee.named_parameters() if p.grad is None] == []
        held = [id(p) for group in defense.parameter_groups(trainee, 0.1) for p in group["params"]]
        assert sorted(held) == sorted(id(p) for p in trainee.parameters())


class TestTraining:
    def test_classes_end_further_apart_than_without_it(self) -> None:
        """The distance between classes' means, over the spread within classes, grows by the factor 1.4."""
        data = make_data()
        images, labels = data.select("test")
        ratios = []
        for weight in (1e-9, 1.0):
            defense, trainee = prepared(weight=weight)
            training = TrainingSettings(epochs=20, batch_size=32, learning_rate=0.03, gradient_clip=5.0)
            history = train(defense, trainee, data, training, seed=0, progress=False)
            assert history[-1]["validation_accuracy"] > 0.9
            with torch.no_grad():
                features = trainee.classifier.features(to_unit(images))["layer5"]
            means = torch.stack([features[labels == label].mean(dim=0) for label in range(3)])
            spread = (features - means[labels]).norm(dim=1).mean()
            ratios.append((torch.pdist(means).mean() / spread).item())
        assert ratios[1] > 1.4 * ratios[0]

    def test_combines_with_adversarial_training_on_its_own_loss(self) -> None:
        chosen = AdversarialTraining(attack="fgsm", epsilon=(0.0, 0.1), augment=True, objective="defense")
        training = TrainingSettings(
            epochs=3, batch_size=32, learning_rate=0.01, adversarial=chosen, gradient_clip=5.0
        )
        defense, trainee = prepared()
        history = train(defense, trainee, make_data(), training, seed=0, progress=False)
        assert all(math.isfinite(row["loss"]) for row in history)


class TestWrongSettings:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"inter_sign": "minus one"}, "'minus' or 'plus'"),
            ({"weight": 0}, "greater than 0"),
            ({"margin": -1}, "greater than 0"),
            ({"margin": 2, "inter_sign": "plus"}, "with inter_sign plus nothing is"),
            ({"centres": "classifier", "layer": "layer5"}, "layer belongs to centres own"),
            ({"centre_rate": 0.5}, "did you mean 'centre"),
        ],
    )
    def test_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Settings(**wrong)

    def test_a_feature_that_the_network_lacks_is_refused(self) -> None:
        with pytest.raises(StudyError, match=r"called 'layer6'; this network's are layer3, layer4, layer5"):
            prepared(layer="layer6")

    def test_a_network_without_a_named_last_layer_keeps_its_rows(self) -> None:
        classifier = LinearClassifier(DESCRIPTION, torch.ones(3, 64), torch.zeros(3))
        with pytest.raises(StudyError, match="not called classify"):
            PolarisedContrastive(Settings(centres="classifier")).build(classifier, DESCRIPTION)
        trainee = PolarisedContrastive(Settings()).build(classifier, DESCRIPTION)
        assert centres_of(trainee).shape == (3, 64)
