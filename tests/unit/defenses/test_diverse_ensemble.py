from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from reproof.data.dataset import DataDescription, to_unit
from reproof.defenses.diverse_ensemble import SHORTEST, DiverseEnsemble, Settings, cosine
from reproof.errors import StudyError
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense, Progress, Trainee
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train
from tests.tiny_classifier import DESCRIPTION, PlainDefense, TinyClassifier, build_tiny, make_data

START = Progress(0, 2, 0)
TRAINING = TrainingSettings(epochs=4, batch_size=32, learning_rate=0.01, optimizer="adam")


class Given(Classifier):
    """Its latent vectors are a linear function of the pixels with given weights, and so are its logits."""

    def __init__(self, weights: Sequence[Sequence[float]], name: str = "vector"):
        super().__init__(DataDescription(1, 1, 2, 2, (0.0,), (1.0,)))
        self.weights = nn.Parameter(torch.tensor(weights))
        self.name = name
        self.feature_shapes = {name: (len(weights),)}

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        vector = images.flatten(1) @ self.weights.T
        return vector[:, :2], {self.name: vector}


def pixels(*values: Sequence[float]) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 2)


def frozen(classifier: Classifier) -> Classifier:
    return classifier.eval().requires_grad_(False)


def beside(*networks: Classifier, **options: Any) -> DiverseEnsemble:
    defense = DiverseEnsemble(Settings(**options))
    defense.peers = [frozen(network) for network in networks]
    return defense


def tiny(seed: int, **options: Any) -> TinyClassifier:
    torch.manual_seed(seed)
    return TinyClassifier(**options)


def batch(count: int = 12) -> tuple[Tensor, Tensor]:
    images, labels = make_data().select("train", count)
    return to_unit(images), labels


def by_hand(first: Tensor, second: Tensor) -> list[float]:
    pairs = zip(first.detach().double().flatten(1), second.detach().double().flatten(1), strict=True)
    rows = [(a.numpy(), b.numpy()) for a, b in pairs]
    return [float(a @ b / np.sqrt((a @ a) * (b @ b))) for a, b in rows]


def trained(defense: Defense[Any], *, batch_norm: bool = True, **options: Any) -> tuple[Trainee, Any]:
    trainee = build_tiny(defense, seed=3, batch_norm=batch_norm)
    training = TRAINING.model_copy(update=options)
    return trainee, train(defense, trainee, make_data(), training, seed=3, progress=False)


class TestCosine:
    def test_values_by_hand(self) -> None:
        first = torch.tensor([[3.0, 4.0], [1.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
        second = torch.tensor([[4.0, 3.0], [0.0, 5.0], [-2.0, -2.0], [7.0, 0.0]])
        torch.testing.assert_close(cosine(first, second), torch.tensor([0.96, 0.0, -1.0, 1.0]))

    def test_gradient_by_hand(self) -> None:
        """By a, the cosine of a and b rises with (b / |b| - cos a / |a|) / |a|, which is orthogonal to a."""
        first = torch.tensor([[3.0, 4.0]], requires_grad=True)
        second = torch.tensor([[4.0, 3.0]])
        (found,) = torch.autograd.grad(cosine(first, second).sum(), first)
        expected = (torch.tensor([[0.8, 0.6]]) - 0.96 * torch.tensor([[0.6, 0.8]])) / 5
        torch.testing.assert_close(found, expected)
        assert float((found * first.detach()).sum()) == pytest.approx(0, abs=1e-7)

    def test_lengths_play_no_part(self) -> None:
        first, second = torch.rand(5, 3), torch.randn(5, 3)
        torch.testing.assert_close(cosine(1e-3 * first, 1e4 * second), cosine(first, second))

    @pytest.mark.parametrize("length", [0.0, 1e-30, SHORTEST / 2])
    def test_a_vector_without_direction_is_similar_to_none_and_pulled_nowhere(self, length: float) -> None:
        first = torch.tensor([[length, 0.0], [0.0, 1.0]], requires_grad=True)
        second = torch.tensor([[1.0, 1.0], [1.0, 1.0]], requires_grad=True)
        found = cosine(first, second)
        torch.testing.assert_close(found, torch.tensor([0.0, 0.5**0.5]))
        for gradient in torch.autograd.grad(found.sum(), (first, second)):
            assert torch.equal(gradient[0], torch.zeros(2))
            assert float(gradient[1].norm()) > 0.1

    def test_is_computed_in_float32(self) -> None:
        first, second = torch.rand(50, 40).bfloat16(), torch.rand(50, 40).bfloat16()
        found = cosine(first, second)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found, by_hand(first, second), rtol=1e-5)


class TestLoss:
    def test_equation_3_by_hand(self) -> None:
        """Of (1, 2) the main network makes (2, 1) and the new one (1, 2), whose cosine is 4 / 5."""
        defense = beside(Given([[0.0, 1.0], [1.0, 0.0]]), zeta=0.25)
        trainee = Trainee(Given([[1.0, 0.0], [0.0, 1.0]]))
        found = defense.loss(trainee, pixels((1.0, 2.0)), torch.tensor([0]), START)
        assert found.tolist() == pytest.approx([0.75 * np.log(1 + np.e) + 0.25 * 0.8])

    def test_equation_4_divides_zeta_among_the_networks_beside(self) -> None:
        """Of (1, 2) the frozen networks make (2, 1), (1, 0) and (0, 3): cosines 4, √5 and 2√5 of 5."""
        networks = [
            Given(weights)
            for weights in ([[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 1.0]])
        ]
        defense = beside(*networks, zeta=0.6)
        trainee = Trainee(Given([[1.0, 0.0], [0.0, 1.0]]))
        found = defense.loss(trainee, pixels((1.0, 2.0)), torch.tensor([0]), START)
        similar = (0.8 + 0.2 * 5**0.5 + 0.4 * 5**0.5) / 3
        assert found.tolist() == pytest.approx([0.4 * np.log(1 + np.e) + 0.6 * similar])

    def test_every_image_has_its_own_cosine(self) -> None:
        defense = beside(tiny(1), tiny(2), zeta=0.7)
        trainee = build_tiny(defense)
        images, labels = batch()
        found = defense.loss(trainee, images, labels, START)
        own = trainee.classifier.features(images)["layer5"]
        similar = np.mean([by_hand(own, network.features(images)["layer5"]) for network in defense.peers], 0)
        entropy = nn.functional.cross_entropy(trainee(images), labels, reduction="none").detach().numpy()
        np.testing.assert_allclose(found.detach(), 0.3 * entropy + 0.7 * similar, rtol=1e-4, atol=1e-6)
        assert np.ptp(similar) > 0.01

    @pytest.mark.parametrize("layer", ["layer3", "layer4", "layer5"])
    def test_the_layer_is_the_named_one_of_all_networks_and_maps_are_flattened(self, layer: str) -> None:
        defense = beside(tiny(1), zeta=1, layer=layer)
        trainee = build_tiny(defense)
        images, labels = batch()
        expected = by_hand(
            trainee.classifier.features(images)[layer], defense.peers[0].features(images)[layer]
        )
        found = defense.loss(trainee, images, labels, START)
        np.testing.assert_allclose(found.detach(), expected, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize(("similarity", "expected"), [("signed", -0.8), ("absolute", 0.8)])
    def test_opposite_vectors_are_unlike_only_where_the_sign_counts(
        self, similarity: str, expected: float
    ) -> None:
        defense = beside(Given([[0.0, -1.0], [-1.0, 0.0]]), zeta=1, similarity=similarity)
        trainee = Trainee(Given([[1.0, 0.0], [0.0, 1.0]]))
        found = defense.loss(trainee, pixels((1.0, 2.0)), torch.tensor([0]), START)
        assert found.tolist() == pytest.approx([expected])

    def test_beside_none_it_is_the_cross_entropy_to_the_bit(self) -> None:
        defense = beside(zeta=0.9)
        trainee = build_tiny(defense)
        images, labels = batch()
        expected = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        assert torch.equal(defense.loss(trainee, images, labels, START), expected)

    def test_frozen_networks_keep_their_mode_weights_and_statistics_and_get_no_gradient(self) -> None:
        defense = beside(tiny(1, batch_norm=True), zeta=0.5)
        kept = {name: value.clone() for name, value in defense.peers[0].state_dict().items()}
        trained(defense)
        (network,) = defense.peers
        assert not network.training
        assert all(parameter.grad is None for parameter in network.parameters())
        assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())

    def test_frozen_networks_are_differentiated_only_for_images_that_ask(self) -> None:
        defense = beside(Given([[0.0, 1.0], [1.0, 0.0]]))
        seen: list[bool] = []
        defense.peers[0].requires_grad_(True)

        def watch(images: Tensor) -> dict[str, Tensor]:
            found = Given.features(defense.peers[0], images)
            seen.append(found["vector"].requires_grad)
            return found

        object.__setattr__(defense.peers[0], "features", watch)
        trainee = Trainee(Given([[1.0, 0.0], [0.0, 1.0]]))
        torch.autograd.backward(defense.loss(trainee, pixels((1.0, 2.0)), torch.tensor([0]), START).sum())
        defense.loss(trainee, pixels((1.0, 2.0)).requires_grad_(), torch.tensor([0]), START)
        with torch.no_grad():
            defense.loss(trainee, pixels((1.0, 2.0)).requires_grad_(), torch.tensor([0]), START)
        assert seen == [False, True, False]
        assert all(parameter.grad is None for parameter in defense.peers[0].parameters())

    def test_the_gradient_to_the_images_is_that_of_both_networks(self) -> None:
        """Against differences of the loss itself, in which the frozen network's vectors change too."""
        defense = beside(Given([[0.3, 1.0], [1.0, -0.5]]), zeta=1)
        trainee = Trainee(Given([[1.0, 0.2], [-0.4, 1.0]]))
        images, labels = pixels((0.4, 0.7)).requires_grad_(), torch.tensor([0])
        loss = defense.loss(trainee, images, labels, START).sum()
        (found,) = torch.autograd.grad(loss, images)
        with torch.no_grad():
            for index in range(2):
                step = torch.zeros(1, 1, 1, 2)
                step[..., index] = 1e-2
                above, below = (
                    defense.loss(trainee, images + sign * step, labels, START).item() for sign in (1, -1)
                )
                assert found.flatten()[index].item() == pytest.approx((above - below) / 2e-2, abs=2e-3)
        assert float(found.norm()) > 0.1

    def test_dead_features_leave_finite_gradients(self) -> None:
        defense = beside(tiny(1), layer="layer4")
        trainee = build_tiny(defense)
        with torch.no_grad():
            for name, parameter in trainee.classifier.named_parameters():
                if name.startswith("layer4"):
                    parameter.fill_(-1.0)
        images, labels = batch()
        assert not bool(trainee.classifier.features(images)["layer4"].any())
        loss = defense.loss(trainee, images, labels, START)
        entropy = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        torch.testing.assert_close(loss, 0.1 * entropy)
        torch.autograd.backward(loss.mean())
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in trainee.parameters())


class TestTraining:
    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_with_zeta_0_it_is_plain_training_to_the_bit(self, precision: str) -> None:
        defense = beside(tiny(1, batch_norm=True), tiny(2), zeta=0)
        one, history = trained(defense, precision=precision)
        other, plain = trained(PlainDefense(), precision=precision)
        assert history == plain
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())

    def test_beside_none_it_is_plain_training_to_the_bit(self) -> None:
        one, history = trained(beside(zeta=0.9))
        other, plain = trained(PlainDefense())
        assert history == plain
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())

    def test_the_angle_to_the_frozen_network_grows_with_every_step_down(self) -> None:
        defense = beside(tiny(1), zeta=1)
        trainee = build_tiny(defense, seed=2)
        images, labels = batch()
        parameters = [p for name, p in trainee.named_parameters() if "classify" not in name]
        cosines = []
        for _ in range(6):
            loss = defense.loss(trainee, images, labels, START).mean()
            cosines.append(loss.item())
            with torch.no_grad():
                for parameter, gradient in zip(
                    parameters, torch.autograd.grad(loss, parameters), strict=True
                ):
                    parameter.sub_(0.3 * gradient)
        assert all(later < earlier for earlier, later in pairwise(cosines))

    @pytest.mark.parametrize(("similarity", "bound"), [("signed", -0.5), ("absolute", -0.2)])
    def test_a_signed_cosine_goes_to_the_mirror_image_where_features_have_both_signs(
        self, similarity: str, bound: float
    ) -> None:
        defense = beside(tiny(1), zeta=0.9, similarity=similarity)
        trainee, _ = trained(defense, batch_norm=False, epochs=25)
        images, _ = batch(60)
        found = by_hand(*(n.features(images)["layer5"] for n in (trainee.classifier, *defense.peers)))
        if similarity == "signed":
            assert np.mean(found) < bound
        else:
            assert np.mean(np.abs(found)) < abs(bound)

    def test_the_third_network_turns_away_from_both_and_still_learns_the_labels(self) -> None:
        networks = [frozen(trained(PlainDefense(), epochs=15)[0].classifier), frozen(tiny(5))]
        plain, _ = trained(PlainDefense(), epochs=15)
        defense = beside(*networks, zeta=0.5, similarity="absolute")
        diverse, history = trained(defense, epochs=15)
        images, _ = batch(60)
        for network in networks:
            theirs = network.features(images)["layer5"]
            before, after = (
                np.mean(np.abs(by_hand(one.classifier.features(images)["layer5"], theirs)))
                for one in (plain, diverse)
            )
            assert after < before - 0.1
        assert history[-1]["validation_accuracy"] > 0.9


class TestSettings:
    @pytest.mark.parametrize(
        "options", [{"zeta": 1.5}, {"zeta": -0.1}, {"similarity": "squared"}, {"layers": "layer4"}]
    )
    def test_bad_ones_are_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Settings(**options)

    def test_a_layer_that_a_network_lacks_is_named_with_those_it_has(self) -> None:
        images, labels = batch()
        defense = beside(tiny(1), layer="head")
        with pytest.raises(StudyError, match=r"'head'; this network's are layer3, layer4, layer5$"):
            defense.loss(build_tiny(defense), images, labels, START)

    def test_a_layer_that_a_network_beside_lacks_is_named_too(self) -> None:
        defense = beside(Given([[1.0, 0.0], [0.0, 1.0]], name="other"), layer="vector")
        trainee = Trainee(Given([[1.0, 0.0], [0.0, 1.0]]))
        with pytest.raises(StudyError, match=r"'vector'; this network's are other$"):
            defense.loss(trainee, pixels((1.0, 2.0)), torch.tensor([0]), START)

    def test_latent_spaces_of_two_sizes_are_refused(self) -> None:
        """Also where one of them has one number, which broadcasting would let pass."""
        for weights in ([[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]):
            defense = beside(Given(weights))
            trainee = Trainee(Given([[1.0, 0.0], [0.0, 1.0]]))
            with pytest.raises(StudyError, match=f"latent vectors of 2 and of {len(weights)} numbers"):
                defense.loss(trainee, pixels((1.0, 2.0)), torch.tensor([0]), START)

    def test_the_last_feature_of_each_network_is_compared_whatever_its_name(self) -> None:
        defense = beside(Given([[0.0, 1.0], [1.0, 0.0]], name="other"), zeta=1)
        trainee = Trainee(Given([[1.0, 0.0], [0.0, 1.0]]))
        found = defense.loss(trainee, pixels((1.0, 2.0)), torch.tensor([0]), START)
        assert found.tolist() == pytest.approx([0.8])

    def test_three_networks_join_and_vote(self) -> None:
        defense = DiverseEnsemble(Settings())
        joined = defense.join([frozen(tiny(seed)) for seed in range(3)], DESCRIPTION)
        images, _ = batch()
        votes = joined.answers(images).votes
        assert votes is not None
        assert votes.shape == (12, 3)
        assert Settings(boosted=True).key("diverse_ensemble") == "diverse_ensemble[boosted]"
        assert Settings.learns_beside
        assert Settings.votes
