from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn

from reproof import registry
from reproof.claims.vocabulary import variant_of
from reproof.data.dataset import DataDescription, Dataset, to_unit
from reproof.defenses.prototype_conformity import PrototypeConformity, Prototypes, Settings
from reproof.errors import StudyError
from reproof.models.defense import Progress, Trainee
from reproof.settings.adversarial_training import AdversarialTraining
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train
from tests.ours import needs, papers_here
from tests.tiny_classifier import DESCRIPTION, TinyClassifier, build_tiny, make_data

JOINT = Progress(6, 7, 60)
TABLE_7: dict[tuple[str, ...], tuple[int, ...]] = {
    ("layer1",): (0,),
    ("layer2",): (0,),
    ("layer3",): (512,),
    ("layer4",): (0,),
    ("layer5",): (0,),
    ("layer4", "layer5"): (0, 0),
}
"""Layers, and the sizes of Table 1's fully connected layers on them."""
COLOURS = DataDescription(3, 8, 8, 3, (0.4,) * 3, (0.3,) * 3)
Array = NDArray[np.float64]


def paper_oracle(features: Array, labels: Array, centres: Array) -> Array:
    """Eq. 5, written out once more, image by image and class by class."""
    classes = len(centres)
    losses = []
    for feature, own in zip(features, labels, strict=True):
        loss = math.dist(feature, centres[own])
        for other in range(classes):
            if other != own:
                away = math.dist(feature, centres[other]) + math.dist(centres[own], centres[other])
                loss -= away / (classes - 1)
        losses.append(loss)
    return np.array(losses)


def released_oracle(features: Array, labels: Array, near: Array, far: Array) -> Array:
    """The public code's terms: squared distances as |x|² + |c|² - 2 x·c, a mean over the other classes, 1 and
    1e-4.
    """
    losses = []
    for feature, own in zip(features, labels, strict=True):
        proximity = feature @ feature + near[own] @ near[own] - 2 * feature @ near[own]
        others = [feature @ feature + c @ c - 2 * feature @ c for j, c in enumerate(far) if j != own]
        losses.append(1.0 * proximity - 1e-4 * sum(others) / len(others))
    return np.array(losses)


def prepared(**options: Any) -> tuple[PrototypeConformity, Trainee, Prototypes]:
    defense = PrototypeConformity(Settings(**options))
    trainee = build_tiny(defense)
    assert isinstance(trainee.auxiliary, Prototypes)
    return defense, trainee, trainee.auxiliary


def batch(count: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = make_data().select("train", count)
    return to_unit(images), labels


def small_resnet(**options: Any) -> tuple[PrototypeConformity, Trainee]:
    resnet = registry.load("architectures", "resnet")
    settings = resnet.Settings(depth=110, block="bottleneck", hidden=1024, blocks=1, width=1 / 4)
    defense = PrototypeConformity(Settings(**options))
    torch.manual_seed(0)
    return defense, defense.build(resnet.build(settings, COLOURS), COLOURS)


def colours() -> Dataset:
    """Return noise with one bright channel for each class, which the average of a first layer can tell."""
    data = make_data()
    noise = torch.randint(0, 120, (len(data.labels), 3, 8, 8), generator=torch.Generator().manual_seed(0))
    bright = 100 * nn.functional.one_hot(data.labels, 3)[:, :, None, None]
    return replace(data, images=(noise + bright).to(torch.uint8), description=COLOURS)


def nearest_is_own(trainee: Trainee, data: Dataset) -> dict[str, float]:
    """Return, for each layer, the share of test images whose nearest prototype is their own class's."""
    prototypes = trainee.auxiliary
    assert isinstance(prototypes, Prototypes)
    images, labels = data.select("test")
    with torch.no_grad():
        embedded = prototypes.embed(trainee.eval().classifier.features(to_unit(images)))
        return {
            name: float((torch.cdist(f, prototypes.centres[name]).argmin(1) == labels).float().mean())
            for name, f in embedded.items()
        }


class Bare(TinyClassifier):
    """Its one feature has two dimensions, so that a test can place features and centres by hand."""

    def __init__(self, classes: int):
        super().__init__(DESCRIPTION)
        self.classes = classes
        self.feature_shapes = {"layer5": (2,)}


def by_hand(
    features: list[list[float]], labels: list[int], centres: list[list[float]], **options: Any
) -> tuple[torch.Tensor, torch.Tensor, nn.Parameter]:
    """Return the loss per image, and the features and centres that it was computed from."""
    defense = PrototypeConformity(Settings(**options))
    prototypes = Prototypes(defense.settings, Bare(len(centres)))
    prototypes.centres["layer5"] = nn.Parameter(torch.tensor(centres))
    feature = torch.tensor(features, requires_grad=True)
    loss = defense.conformity(prototypes, {"layer5": feature}, torch.tensor(labels))
    return loss, feature, prototypes.centres["layer5"]


class TestEquation6:
    @pytest.mark.parametrize("variant", ["paper", "released_code"])
    def test_the_class_is_that_of_the_nearest_prototype_of_the_last_layer(self, variant: str) -> None:
        defense = PrototypeConformity(Settings(variant=variant))
        classifier = Bare(3)
        classifier.feature_shapes = {"layer4": (2,), "layer5": (2,)}
        trainee = defense.build(classifier, DESCRIPTION)
        assert isinstance(trainee.auxiliary, Prototypes)
        trainee.auxiliary.centres["layer5"] = nn.Parameter(torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 6.0]]))
        # (1, 0): 1, 3, 6. (3, 1): 3.2, 1.4, 5.8. (1, 4): 4.1, 5, 2.2. (2.1, 0): 2.1, 1.9, 6.4.
        points = torch.tensor([[1.0, 0.0], [3.0, 1.0], [1.0, 4.0], [2.1, 0.0]])
        said = defense.nearest_prototype(trainee, {"layer4": torch.zeros(4, 2), "layer5": points})
        assert said is not None
        assert said.tolist() == [0, 1, 2, 1]

    @needs("architectures/resnet")
    def test_maps_are_averaged_and_go_through_their_branch(self) -> None:
        defense, trainee = small_resnet(layers=["layer3"], branch_sizes=[5])
        prototypes = trainee.auxiliary
        assert isinstance(prototypes, Prototypes)
        features = trainee.eval().classifier.features(torch.rand(6, 3, 8, 8))
        said = defense.nearest_prototype(trainee, features)
        inside = prototypes.branches["layer3"](features["layer3"].mean(dim=(2, 3)))
        expected = torch.stack([(inside - c).norm(dim=1) for c in prototypes.centres["layer3"]]).argmin(0)
        assert said is not None
        assert torch.equal(said, expected)


class TestEquation5:
    def test_two_classes_by_hand(self) -> None:
        # To the own centre (0, 0): 5. To the other, (3, 0): 4. Between the centres: 3. 5 - (4 + 3) = -2.
        # The second image stands on its own centre (3, 0): 0 - (3 + 3) = -6.
        loss, _, _ = by_hand([[3.0, 4.0], [3.0, 0.0]], [0, 1], [[0.0, 0.0], [3.0, 0.0]])
        torch.testing.assert_close(loss, torch.tensor([-2.0, -6.0]))

    def test_three_classes_by_hand(self) -> None:
        # Own (0, 0): 5. Others: (3, 0): 4 + 3, (0, 4): 3 + 4. 5 - (7 + 7) / 2 = -2.
        loss, _, _ = by_hand([[3.0, 4.0]], [0], [[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
        torch.testing.assert_close(loss, torch.tensor([-2.0]))

    def test_agrees_with_loops_over_images_and_classes(self) -> None:
        defense, _, prototypes = prepared(layers=["layer3", "layer4", "layer5"], weight=0.5)
        generator = np.random.default_rng(0)
        labels = generator.integers(0, 3, 20)
        features = {name: generator.normal(size=(20, len(c[0]))) for name, c in prototypes.centres.items()}
        expected = sum(
            0.5 * paper_oracle(feature, labels, prototypes.centres[name].detach().double().numpy())
            for name, feature in features.items()
        )
        tensors = {name: torch.tensor(feature, dtype=torch.float32) for name, feature in features.items()}
        loss = defense.conformity(prototypes, tensors, torch.tensor(labels))
        np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-5)

    def test_features_move_to_their_own_centre_and_away_from_the_others(self) -> None:
        loss, feature, _ = by_hand([[1.0, 1.0]], [0], [[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
        (gradient,) = torch.autograd.grad(loss.sum(), feature)
        step = -gradient[0]
        assert float(step @ torch.tensor([-1.0, -1.0])) > 0
        assert float(step @ torch.tensor([1.0 - 4.0, 1.0])) > 0
        assert float(step @ torch.tensor([1.0, 1.0 - 4.0])) > 0

    def test_centres_move_apart_and_to_their_own_features(self) -> None:
        start = [[0.0, 0.0], [2.0, 0.0]]
        loss, _, centres = by_hand([[0.0, 1.0], [2.0, 1.0]], [0, 1], start)
        (gradient,) = torch.autograd.grad(loss.sum(), centres)
        moved = centres.detach() - 0.01 * gradient
        assert float(torch.dist(moved[0], moved[1])) > 2.0
        assert bool((moved[:, 1] > 0).all())

    def test_the_gradient_at_distance_zero_is_finite(self) -> None:
        loss, feature, centres = by_hand([[1.0, 1.0], [1.0, 1.0]], [0, 1], [[1.0, 1.0], [1.0, 1.0]])
        gradients = torch.autograd.grad(loss.sum(), [feature, centres])
        assert all(bool((gradient == 0).all()) for gradient in gradients)

    def test_squared_distances_are_a_setting(self) -> None:
        loss, _, _ = by_hand([[3.0, 4.0]], [0], [[0.0, 0.0], [3.0, 0.0]], distance="squared")
        torch.testing.assert_close(loss, torch.tensor([25.0 - 16.0 - 9.0]))

    def test_the_margin_bounds_what_is_pushed_apart_alone(self) -> None:
        # 5 to the own centre; 4 and 3 to be pushed count 3.5 and 3.
        loss, _, _ = by_hand([[3.0, 4.0]], [0], [[0.0, 0.0], [3.0, 0.0]], margin=3.5)
        torch.testing.assert_close(loss, torch.tensor([5.0 - 3.5 - 3.0]))

    def test_without_a_margin_it_has_no_lower_bound(self) -> None:
        far, _, _ = by_hand([[0.0, 0.0]], [0], [[0.0, 0.0], [1e6, 0.0]])
        bounded, _, _ = by_hand([[0.0, 0.0]], [0], [[0.0, 0.0], [1e6, 0.0]], margin=10)
        assert far.tolist() == [-2e6]
        assert bounded.tolist() == [-20]


class TestReleasedCode:
    def test_agrees_with_the_public_code_s_formula(self) -> None:
        defense, _, prototypes = prepared(variant="released_code")
        generator = np.random.default_rng(0)
        labels = generator.integers(0, 3, 20)
        features = {name: generator.normal(size=(20, len(c[0]))) for name, c in prototypes.centres.items()}
        assert list(features) == ["layer4", "layer5"]
        expected = sum(
            released_oracle(
                feature,
                labels,
                prototypes.centres[name].detach().double().numpy(),
                prototypes.contrast_centres[name].detach().double().numpy(),
            )
            for name, feature in features.items()
        )
        tensors = {name: torch.tensor(feature, dtype=torch.float32) for name, feature in features.items()}
        loss = defense.conformity(prototypes, tensors, torch.tensor(labels))
        np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-5)

    def test_the_centres_gradients_are_free_of_the_weights(self) -> None:
        defense, trainee, prototypes = prepared(variant="released_code", weight=0.25)
        images, labels = batch()
        defense.joint(trainee, images, labels).mean().backward()
        feature = trainee.classifier.features(images)["layer5"].detach()
        near, far = prototypes.centres["layer5"], prototypes.contrast_centres["layer5"]
        own = nn.functional.one_hot(labels, 3).bool()
        squared = (feature[:, None] - near[None]).square().sum(dim=2)
        (expected_near,) = torch.autograd.grad(squared[own].mean(), near)
        squared = (feature[:, None] - far[None]).square().sum(dim=2)
        (expected_far,) = torch.autograd.grad(-squared[~own].mean(), far)
        torch.testing.assert_close(near.grad, expected_near, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(far.grad, expected_far, rtol=1e-4, atol=1e-6)

    def test_centres_are_two_sets_and_the_distance_between_centres_plays_no_part(self) -> None:
        defense, _, prototypes = prepared(variant="released_code", layers=["layer5"], contrast_weight=0)
        feature = torch.zeros(3, 6)
        labels = torch.arange(3)
        before = defense.conformity(prototypes, {"layer5": feature}, labels)
        with torch.no_grad():
            prototypes.contrast_centres["layer5"].add_(5.0)
            prototypes.centres["layer5"].mul_(-1)
        torch.testing.assert_close(defense.conformity(prototypes, {"layer5": feature}, labels), before)


class TestNamesInClaims:
    @pytest.mark.parametrize(
        ("options", "variant"),
        [
            ({}, ""),
            ({"layers": ["layer3", "layer4", "layer5"], "branch_sizes": [512, 0, 0]}, ""),
            ({"layers": ["layer5", "layer3", "layer4"]}, ""),
            ({"layers": ["layer1"]}, "[layer=1]"),
            ({"layers": ["layer3"], "branch_sizes": [512]}, "[layer=3]"),
            ({"layers": ["layer5"]}, "[layer=5]"),
            ({"layers": ["layer4", "layer5"]}, "[layer=4,5]"),
            ({"layers": ["layer5", "layer4"]}, "[layer=4,5]"),
            ({"layers": ["conv2", "fc1"]}, "[layer=conv2,fc1]"),
            ({"variant": "released_code"}, "[released_code]"),
            ({"variant": "released_code", "layers": ["layer4", "layer5"]}, "[released_code]"),
            (
                {"variant": "released_code", "layers": ["layer3", "layer4", "layer5"]},
                "[released_code,layer=3,4,5]",
            ),
        ],
    )
    def test_variants_are_apart(self, options: dict[str, Any], variant: str) -> None:
        key = Settings(**options).key("prototype_conformity")
        assert key == f"prototype_conformity{variant}"
        assert variant_of(key) == "prototype_conformity"

    @needs("papers/mustafa_pcl")
    def test_table_7_s_are_all_there(self) -> None:
        found = {
            claim.defense
            for paper in papers_here()
            for claim in paper.claims
            if claim.table == "Table 7" and claim.defense != "undefended" and paper.key == "mustafa_pcl"
        }
        rows = [None, *TABLE_7]
        assert found == {Settings(layers=layers).key("prototype_conformity") for layers in rows}


class TestTraining:
    @pytest.mark.parametrize("options", [{}, {"variant": "released_code"}, {"auxiliary_cross_entropy": True}])
    def test_the_joint_view_is_the_loss_trained_with(self, options: dict[str, Any]) -> None:
        defense, trainee, _ = prepared(**options)
        images, labels = batch()
        trained = defense.loss(trainee, images, labels, JOINT)
        views = defense.attack_losses(trainee)
        assert torch.equal(views["joint"](images, labels), trained)
        plain = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        if not options.get("auxiliary_cross_entropy"):
            torch.testing.assert_close(plain + views["prototypes"](images, labels), trained)

    @pytest.mark.parametrize(
        ("warmup_epochs", "epochs", "first_joint"),
        [(1 / 7, 350, 50), (0.4, 500, 200), (3, 10, 3), (0, 10, 0), (0.2, 7, 2)],
    )
    def test_the_switch_at_t_prime(self, warmup_epochs: float, epochs: int, first_joint: int) -> None:
        defense, trainee, _ = prepared(warmup_epochs=warmup_epochs)
        images, labels = batch(2)
        plain = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        joint = [
            not torch.equal(defense.loss(trainee, images, labels, Progress(epoch, epochs, 0)), plain)
            for epoch in range(max(0, first_joint - 2), first_joint + 2)
        ]
        assert joint == [epoch >= first_joint for epoch in range(max(0, first_joint - 2), first_joint + 2)]

    def test_by_default_it_acts_on_table_1_s_three_layers(self) -> None:
        _, _, prototypes = prepared()
        assert prototypes.layers == ("layer3", "layer4", "layer5")
        assert {name: tuple(centres.shape) for name, centres in prototypes.centres.items()} == {
            "layer3": (3, 6),
            "layer4": (3, 12),
            "layer5": (3, 6),
        }

    def test_maps_are_averaged_and_branches_map_to_their_size(self) -> None:
        _, trainee, prototypes = prepared(layers=["layer3", "layer5"], branch_sizes=[4, 0])
        features = trainee.classifier.features(batch()[0])
        embedded = prototypes.embed(features)
        expected = prototypes.branches["layer3"](features["layer3"].mean(dim=(2, 3)))
        torch.testing.assert_close(embedded["layer3"], expected)
        assert embedded["layer3"].shape == (9, 4)
        assert torch.equal(embedded["layer5"], features["layer5"])
        assert list(prototypes.branches) == ["layer3"]

    def test_auxiliary_cross_entropy_acts_before_the_last_feature(self) -> None:
        defense, trainee, prototypes = prepared(auxiliary_cross_entropy=True)
        assert list(prototypes.heads) == ["layer3", "layer4"]
        images, labels = batch()
        logits, features = trainee.classifier.logits_and_features(images)
        embedded = prototypes.embed(features)
        expected = nn.functional.cross_entropy(logits, labels, reduction="none")
        for name, head in prototypes.heads.items():
            expected = expected + nn.functional.cross_entropy(head(embedded[name]), labels, reduction="none")
        expected = expected + defense.conformity(prototypes, embedded, labels)
        torch.testing.assert_close(defense.joint(trainee, images, labels), expected)

    @pytest.mark.parametrize("variant", ["paper", "released_code"])
    def test_centres_have_their_own_rates_without_momentum_and_decay(self, variant: str) -> None:
        defense, trainee, prototypes = prepared(variant=variant)
        groups = list(defense.parameter_groups(trainee, 0.1))
        assert [group["lr"] for group in groups] == ([0.1, 0.5] if variant == "paper" else [0.1, 0.5, 1e-4])
        assert {id(p) for p in groups[1]["params"]} == {id(p) for p in prototypes.centres.values()}
        assert all(group["momentum"] == group["weight_decay"] == 0 for group in groups[1:])
        assert len(groups[0]["params"]) == len(list(trainee.classifier.parameters()))

    @pytest.mark.parametrize(
        ("options", "gain"), [({}, 1.4), ({"variant": "released_code", "weight": 0.1}, 1.1)]
    )
    def test_classes_end_further_apart_than_without_it(self, options: dict[str, Any], gain: float) -> None:
        """The distance between class centres, over the spread within classes, grows by the named factor."""
        data = make_data()
        images, labels = data.select("test")
        ratios = []
        for warmup_epochs in (20, 4):
            defense, trainee, _ = prepared(warmup_epochs=warmup_epochs, **options)
            training = TrainingSettings(epochs=20, batch_size=32, learning_rate=0.03, gradient_clip=5.0)
            history = train(defense, trainee, data, training, seed=0, progress=False)
            assert history[-1]["validation_accuracy"] > 0.9
            with torch.no_grad():
                features = trainee.classifier.features(to_unit(images))["layer5"]
            means = torch.stack([features[labels == label].mean(dim=0) for label in range(3)])
            spread = (features - means[labels]).norm(dim=1).mean()
            ratios.append((torch.pdist(means).mean() / spread).item())
        assert ratios[1] > gain * ratios[0]

    def test_centres_stay_until_t_prime(self) -> None:
        defense, trainee, prototypes = prepared(warmup_epochs=2)
        before = {name: centres.detach().clone() for name, centres in prototypes.centres.items()}
        training = TrainingSettings(epochs=2 + 1, batch_size=32, learning_rate=0.01, weight_decay=0.1)
        still = TrainingSettings(epochs=2, batch_size=32, learning_rate=0.01, weight_decay=0.1)
        train(defense, trainee, make_data(), still, seed=0, progress=False)
        assert all(torch.equal(centres, before[name]) for name, centres in prototypes.centres.items())
        train(defense, trainee, make_data(), training, seed=0, progress=False)
        assert not any(torch.equal(centres, before[name]) for name, centres in prototypes.centres.items())

    def test_combines_with_adversarial_training_on_its_own_loss(self) -> None:
        chosen = AdversarialTraining(attack="fgsm", epsilon=(0.0, 0.1), augment=True, objective="defense")
        training = TrainingSettings(
            epochs=3, batch_size=32, learning_rate=0.01, adversarial=chosen, gradient_clip=5.0
        )
        defense, trainee, _ = prepared(warmup_epochs=1)
        history = train(defense, trainee, make_data(), training, seed=0, progress=False)
        assert all(math.isfinite(row["loss"]) for row in history)


class TestAblation:
    """Mustafa's Table 7 on a network like its ResNet-110: one block a stage, a quarter of the width."""

    @needs("architectures/resnet")
    @pytest.mark.parametrize(("layers", "branch_sizes"), [*TABLE_7.items(), (None, (512, 0, 0))])
    def test_gradients_reach_up_to_the_last_named_layer_and_all_below(
        self, layers: tuple[str, ...] | None, branch_sizes: tuple[int, ...]
    ) -> None:
        defense, trainee = small_resnet(layers=layers, branch_sizes=branch_sizes)
        last = int((layers or ("layer5",))[-1].removeprefix("layer"))
        parts = ["stem", "stages.0", "stages.1", "stages.2", "hidden"]
        images = torch.rand(6, 3, 8, 8, requires_grad=True)
        loss = defense.attack_losses(trainee.train())["prototypes"](images, torch.arange(6) % 3)
        assert loss.shape == (6,)
        loss.mean().backward()
        reached = [
            {
                parameter.grad is not None and bool(parameter.grad.any())
                for parameter in trainee.classifier.get_submodule(part).parameters()
                if parameter.dim() > 1
            }
            for part in [*parts, "classify"]
        ]
        assert reached == [{True}] * last + [{False}] * (6 - last)
        assert images.grad is not None
        assert bool(images.grad.flatten(1).any(dim=1).all())
        assert all(parameter.grad is not None for parameter in trainee.auxiliary.parameters())

    @needs("architectures/resnet")
    @pytest.mark.parametrize(("layers", "branch_sizes"), [*TABLE_7.items(), (None, (512, 0, 0))])
    def test_it_trains_and_draws_features_to_their_own_prototypes(
        self, layers: tuple[str, ...] | None, branch_sizes: tuple[int, ...]
    ) -> None:
        defense, trainee = small_resnet(layers=layers, branch_sizes=branch_sizes, warmup_epochs=1, margin=5.0)
        data = colours()
        training = TrainingSettings(epochs=15, batch_size=30, learning_rate=0.02, gradient_clip=5.0)
        before = nearest_is_own(trainee, data)
        history = train(defense, trainee, data, training, seed=0, progress=False)
        assert all(math.isfinite(row["loss"]) for row in history)
        assert history[-1]["validation_accuracy"] > 0.8
        for layer, share in nearest_is_own(trainee, data).items():
            assert share > max(0.9, before[layer])

    @needs("architectures/resnet")
    def test_branches_are_table_1_s(self) -> None:
        _, trainee = small_resnet(branch_sizes=(512, 0, 0))
        prototypes = trainee.auxiliary
        assert isinstance(prototypes, Prototypes)
        shapes = {name: tuple(centres.shape) for name, centres in prototypes.centres.items()}
        assert shapes == {"layer3": (3, 512), "layer4": (3, 64), "layer5": (3, 256)}
        assert list(prototypes.branches) == ["layer3"]


class TestWrongSettings:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"contrast_weight": 1e-4}, "belongs to variant released_code"),
            ({"contrast_learning_rate": 1e-4}, "belongs to variant released_code"),
            ({"layers": ["layer4", "layer5"], "branch_sizes": [512]}, "each of the 2 layers"),
            ({"layers": ["layer4", "layer4"]}, "each layer once"),
            ({"layers": []}, "at least 1"),
        ],
    )
    def test_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Settings(**wrong)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (
                {"layers": ["layer6"]},
                r"no feature is called 'layer6'; this network's are layer3, layer4, layer5",
            ),
            ({"branch_sizes": [512]}, "one size for each of layer3, layer4, layer5"),
        ],
    )
    def test_that_the_network_shows_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(StudyError, match=message):
            prepared(**wrong)

    def test_a_network_without_the_paper_s_layers_asks_for_them(self) -> None:
        classifier = TinyClassifier()
        classifier.feature_shapes = {"penultimate": (6,)}
        with pytest.raises(
            StudyError, match="say where the loss acts; this network's features are penultimate"
        ):
            PrototypeConformity(Settings()).build(classifier, DESCRIPTION)
