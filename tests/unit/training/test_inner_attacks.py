from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from reproof import registry
from reproof.attacking.batch import Batch
from reproof.attacking.image_noise import ImageNoise
from reproof.data.dataset import DataDescription
from reproof.settings.attack import Point
from reproof.training.inner_attacks import (
    Loss,
    carlini_wagner,
    crafting_mode,
    fgsm,
    first_order_criterion,
    image_gradient,
    pgd,
)
from tests.tiny_classifier import LinearClassifier

DATA = DataDescription(channels=1, height=4, width=4, classes=2, mean=(0.0,), std=(1.0,))
ATTACKS = ("fgsm", "pgd")


def linear() -> LinearClassifier:
    generator = torch.Generator().manual_seed(0)
    return LinearClassifier(DATA, torch.randn(2, 16, generator=generator), torch.zeros(2)).eval()


def batch(count: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 1, 4, 4, generator=generator)
    images[0] = 0.0
    images[1] = 1.0
    return images, torch.arange(count) % 2


def cross_entropy(model: nn.Module, labels: torch.Tensor) -> Loss:
    return lambda images: nn.functional.cross_entropy(model(images), labels, reduction="none")


def run(name: str, loss: Loss, images: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
    if name == "fgsm":
        return fgsm(loss, images, epsilon)
    return pgd(loss, images, epsilon, steps=12, step_size=0.2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ATTACKS)
def test_reaches_the_closed_form_on_a_linear_model(name: str) -> None:
    model, (images, labels) = linear(), batch()
    epsilon = torch.linspace(0, 0.3, len(images))
    away = (model.weights[1 - labels] - model.weights[labels]).sign().view(-1, 1, 4, 4)
    expected = (images + epsilon.view(-1, 1, 1, 1) * away).clamp(0, 1)
    torch.testing.assert_close(
        run(name, cross_entropy(model, labels), images, epsilon), expected, atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("name", ATTACKS)
def test_agrees_with_the_evaluation_attack_on_a_linear_model(name: str) -> None:
    model, (images, labels) = linear(), batch()
    options = {"steps": 12, "step_size": 0.2} if name == "pgd" else {}
    settings = registry.load("attacks", name).Settings(epsilons=(0.2,), **options)
    attack = registry.load("attacks", name).build(settings, Point(name="epsilon", value=0.2, epsilon=0.2))
    theirs = attack.perturb(Batch(model, images, labels, ImageNoise("", range(len(images))), 0.2))
    ours = run(name, cross_entropy(model, labels), images, torch.full((len(images),), 0.2))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ATTACKS)
def test_stays_in_each_image_s_ball_and_in_the_pixels_range(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 2))
    images, labels = batch()
    kept = images.clone()
    epsilon = torch.linspace(0, 0.5, len(images))
    result = run(name, cross_entropy(model, labels), images, epsilon)
    distance = (result - images).flatten(1).abs().amax(dim=1)
    assert bool((distance <= epsilon + 1e-6).all())
    assert bool((distance[2:] > 0).all())
    assert 0 <= float(result.min()) <= float(result.max()) <= 1
    assert torch.equal(images, kept)
    assert not result.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


def test_pgd_climbs_higher_than_fgsm_on_a_curved_loss() -> None:
    target = torch.full((1, 4, 4), 0.55)

    def loss(images: torch.Tensor) -> torch.Tensor:
        return -(images - target).square().flatten(1).sum(dim=1)

    images = torch.full((3, 1, 4, 4), 0.5)
    epsilon = torch.full((3,), 0.2)
    single = loss(fgsm(loss, images, epsilon))
    many = loss(pgd(loss, images, epsilon, steps=10, step_size=0.05))
    torch.testing.assert_close(single, torch.full((3,), -16 * 0.15**2))
    torch.testing.assert_close(many, torch.zeros(3), atol=16 * 0.01**2, rtol=0)


def test_random_start_comes_from_the_generator_alone() -> None:
    model, (images, labels) = linear(), batch()
    epsilon = torch.full((len(images),), 0.2)
    starts = [
        pgd(cross_entropy(model, labels), images, epsilon, steps=1, step_size=1e-9, generator=generator)
        for generator in (torch.Generator().manual_seed(5), torch.Generator().manual_seed(5), None)
    ]
    assert torch.equal(starts[0], starts[1])
    assert (starts[0] - images).abs().max() > 0.15
    torch.testing.assert_close(starts[2], images)


def test_the_gradient_of_one_image_does_not_depend_on_the_others() -> None:
    model, (images, labels) = linear(), batch()
    whole = image_gradient(cross_entropy(model, labels), images)
    alone = image_gradient(cross_entropy(model, labels[3:4]), images[3:4])
    torch.testing.assert_close(whole[3:4], alone)


SLOPES = torch.tensor([0.1, 1.0, 2.0, 5.0])
"""Slopes of a linear loss, one for each of four images of 16 pixels at 0.5."""


def slope_loss(images: torch.Tensor) -> torch.Tensor:
    return SLOPES * images.flatten(1).sum(dim=1)


class TestFirstOrderCriterion:
    def test_by_hand(self) -> None:
        gradient = torch.tensor([2.0, -1.0]).view(1, 1, 1, 2)
        centre = torch.tensor([0.5, 0.5]).view(1, 1, 1, 2)
        adversarial = torch.tensor([0.6, 0.7]).view(1, 1, 1, 2)
        # 0.3 (2 + 1) - (2 * 0.1 - 1 * 0.2)
        criterion = first_order_criterion(gradient, adversarial, centre, torch.tensor([0.3]))
        torch.testing.assert_close(criterion, torch.tensor([0.9]))

    def test_is_the_largest_first_order_rise_within_the_ball(self) -> None:
        generator = torch.Generator().manual_seed(0)
        gradient = torch.randn(5, 1, 1, 4, generator=generator)
        centre = torch.rand(5, 1, 1, 4, generator=generator)
        epsilon = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
        radius = epsilon.view(-1, 1, 1, 1)
        adversarial = centre + radius * (2 * torch.rand(5, 1, 1, 4, generator=generator) - 1)
        corners = [torch.tensor(signs).view(1, 1, 1, 4) for signs in itertools.product((-1.0, 1.0), repeat=4)]
        rises = [
            ((centre + radius * corner - adversarial) * gradient).sum(dim=(1, 2, 3)) for corner in corners
        ]
        expected = torch.stack(rises).amax(dim=0)
        assert bool((expected > 0).all())
        torch.testing.assert_close(first_order_criterion(gradient, adversarial, centre, epsilon), expected)

    def test_is_zero_where_the_loss_is_flat_and_in_the_corner_that_the_gradient_points_to(self) -> None:
        centre = torch.full((3, 1, 2, 2), 0.5)
        gradient = torch.tensor([[1.0, -2.0], [3.0, -4.0]]).expand(3, 1, 2, 2).clone()
        gradient[0] = 0
        step = torch.tensor([0.0, 0.25, -0.25]).view(-1, 1, 1, 1)
        adversarial = centre + step * gradient.sign()
        criterion = first_order_criterion(gradient, adversarial, centre, torch.full((3,), 0.25))
        assert criterion.tolist() == [0.0, 0.0, 5.0]


class TestConvergence:
    images = torch.full((4, 1, 4, 4), 0.5)
    epsilon = torch.tensor([0.2, 0.2, 0.2, 0.4])

    def climb(self, convergence: float | None, loss: Loss = slope_loss, **options: Any) -> torch.Tensor:
        chosen: dict[str, Any] = {"steps": 10, "step_size": 0.1, **options}
        return pgd(loss, self.images, self.epsilon, convergence=convergence, **chosen)

    def test_stops_exactly_the_images_that_have_converged(self) -> None:
        # After k steps FOSC is 16 slope epsilon (1 - k / 10): 0.32, 3.2, 6.4 and 32 times (1 - k / 10).
        # It is at most 1.5 from k = 0, 6, 8 and 10 on; the first step is always taken.
        steps = torch.tensor([1, 6, 8, 10])
        moved = (self.climb(1.5) - self.images).flatten(1)
        expected = (steps / 10 * self.epsilon).unsqueeze(1).expand(4, 16)
        torch.testing.assert_close(moved, expected, atol=1e-6, rtol=0)

    def test_the_first_step_is_always_taken_and_costs_one_gradient_more(self) -> None:
        calls = 0

        def counted(images: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            return slope_loss(images)

        moved = (self.climb(1e9, counted) - self.images).flatten(1)
        torch.testing.assert_close(moved, (self.epsilon / 10).unsqueeze(1).expand(4, 16), atol=1e-6, rtol=0)
        assert calls == 2

    def test_zero_stops_nothing_that_could_still_move(self) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 2))
        images, labels = batch()
        epsilon = torch.linspace(0, 0.5, len(images))
        full, dynamic = (
            pgd(
                cross_entropy(model, labels),
                images,
                epsilon,
                steps=6,
                step_size=0.25,
                generator=torch.Generator().manual_seed(0),
                convergence=convergence,
            )
            for convergence in (None, 0.0)
        )
        torch.testing.assert_close(dynamic, full, atol=1e-6, rtol=0)

    def test_an_image_stops_without_regard_to_its_batch(self) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 2))
        images, labels = batch()
        epsilon = torch.full((len(images),), 0.3)
        options: dict[str, Any] = {"steps": 8, "step_size": 0.25, "convergence": 0.05}
        whole = pgd(cross_entropy(model, labels), images, epsilon, **options)
        free = pgd(cross_entropy(model, labels), images, epsilon, **(options | {"convergence": None}))
        stopped = (whole != free).flatten(1).any(dim=1)
        assert 0 < int(stopped.sum()) < len(images)
        for one in range(0, len(images), 5):
            row = slice(one, one + 1)
            alone = pgd(cross_entropy(model, labels[row]), images[row], epsilon[row], **options)
            torch.testing.assert_close(alone, whole[row], atol=1e-6, rtol=0)

    @pytest.mark.parametrize("centre", ["clean", "start"])
    def test_the_criterion_is_measured_from_its_centre(self, centre: str) -> None:
        def seeded() -> torch.Generator:
            return torch.Generator().manual_seed(3)

        noise = torch.empty_like(self.images).uniform_(-1, 1, generator=seeded()).flatten(1)
        radius = self.epsilon.unsqueeze(1)
        start = radius * noise
        origin = torch.zeros_like(start) if centre == "clean" else start
        expected = start.clone()
        for row in range(4):
            for step in range(10):
                reach = 16 * self.epsilon[row] - (expected[row] - origin[row]).sum()
                if step > 0 and float(SLOPES[row] * reach) <= 1.5:
                    break
                expected[row] = (expected[row] + 0.1 * self.epsilon[row]).clamp(max=float(self.epsilon[row]))
        moved = self.climb(1.5, generator=seeded(), criterion_centre=centre) - self.images
        torch.testing.assert_close(moved.flatten(1), expected, atol=1e-6, rtol=0)

    def test_the_two_centres_differ_after_a_random_start(self) -> None:
        results = [
            self.climb(1.5, generator=torch.Generator().manual_seed(3), criterion_centre=centre)
            for centre in ("clean", "start")
        ]
        assert not torch.equal(*results)


class TestCarliniWagner:
    def model(self) -> nn.Module:
        torch.manual_seed(2)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 3)).eval()
        for name, parameter in model.named_parameters():
            if name.endswith("weight"):
                nn.init.normal_(parameter, std=0.7)
        return model

    def correct(self, model: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images with the labels that the model gives them, but for the last one's."""
        images, _ = batch()
        labels = model(images).argmax(dim=1)
        labels[-1] = (labels[-1] + 1) % 3
        return images, labels

    def run(self, constant: float, steps: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        model = self.model()
        images, labels = self.correct(model)
        found = carlini_wagner(model, images, labels, constant=constant, steps=steps, learning_rate=0.05)
        return found, images, model(found).argmax(dim=1) == labels

    @pytest.mark.filterwarnings("ignore:Please import .gaussian_filter.:DeprecationWarning")
    @pytest.mark.parametrize(("constant", "at_least"), [(0.3, 1), (1.0, 5), (10.0, 18)])
    def test_agrees_with_foolbox_where_foolbox_finds_one(self, constant: float, at_least: int) -> None:
        from foolbox.attacks.carlini_wagner import L2CarliniWagnerAttack
        from foolbox.criteria import Misclassification
        from foolbox.models.pytorch import PyTorchModel

        found, images, resists = self.run(constant)
        model = self.model()
        _, labels = self.correct(model)
        wrapped = PyTorchModel(model, bounds=(0, 1), device="cpu")
        # Foolbox judges the iterate before each step, and so not the one after the last.
        attack = L2CarliniWagnerAttack(
            binary_search_steps=1, steps=41, stepsize=0.05, initial_const=constant, abort_early=False
        )
        theirs = attack.run(wrapped, images, Misclassification(labels))
        assert isinstance(theirs, torch.Tensor)
        failed = (theirs == 0).flatten(1).all(dim=1)
        assert torch.equal(failed, resists)
        assert int((~failed).sum()) >= at_least
        torch.testing.assert_close(found[~failed], theirs[~failed], atol=1e-4, rtol=0)

    def test_a_larger_constant_fools_more_images_at_a_greater_distance(self) -> None:
        fooled, distances = [], []
        for constant in (0.1, 0.3, 10.0):
            found, images, resists = self.run(constant)
            fooled.append(int((~resists).sum()))
            distances.append(float((found - images).flatten(1).norm(dim=1).mean()))
        assert fooled[0] < fooled[1] < fooled[2]
        assert distances == sorted(distances)

    def test_on_a_linear_model_it_reaches_the_boundary_and_goes_little_further(self) -> None:
        model, (images, _) = linear(), batch()
        images = 0.3 + 0.4 * images
        labels = model(images).argmax(dim=1)
        found = carlini_wagner(model, images, labels, constant=10.0, steps=400, learning_rate=0.01)
        logits = model(images)
        gap = (logits[:, 0] - logits[:, 1]).abs() / (model.weights[0] - model.weights[1]).norm()
        assert bool((model(found).argmax(dim=1) != labels).all())
        ratio = (found - images).flatten(1).norm(dim=1) / gap
        assert bool((ratio >= 1 - 1e-4).all())
        assert bool((ratio <= 1.25).all())

    def test_an_image_that_is_wrong_already_is_left_as_it_is(self) -> None:
        found, images, resists = self.run(10.0)
        assert not bool(resists[-1])
        torch.testing.assert_close(found[-1], images[-1], atol=1e-5, rtol=0)

    def test_where_nothing_is_found_the_last_iterate_comes_back(self) -> None:
        found, images, resists = self.run(0.3)
        assert 0 < int(resists.sum()) < len(images)
        moved = (found - images).flatten(1).norm(dim=1)
        inside = resists & (images.flatten(1).std(dim=1) > 0)  # a tanh hardly leaves exact black or white
        assert int(inside.sum()) > 3
        assert bool((moved[inside] > 0.01).all())
        model = self.model()
        labels = self.correct(model)[1]
        before, after = (own_probability(model, x, labels) for x in (images, found))
        assert bool((after[inside] < before[inside]).all())

    @pytest.mark.parametrize(
        ("steps", "rate", "least", "most"), [(10, 1.0, 0.3, 0.7), (1000, 0.01, 0.9, 1.0), (10, 0.01, 0, 1e-6)]
    )
    def test_how_far_black_and_white_pixels_move(
        self, steps: int, rate: float, least: float, most: float
    ) -> None:
        """A pixel starts at 7.25 before the tanh, so it needs steps that reach as far: 10 in all, and not 0.1."""
        images = torch.cat([torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)])

        def logits(given: torch.Tensor) -> torch.Tensor:  # class 0 until the mean has come 0.95 of the way
            mean = given.flatten(1).mean(dim=1)
            way = torch.stack([mean[0], 1 - mean[1]])
            return torch.stack([torch.full_like(way, 0.95), way], dim=1) * 1000

        labels = torch.tensor([0, 0])
        found = carlini_wagner(logits, images, labels, constant=0.1, steps=steps, learning_rate=rate)
        moved = (found - images).abs()
        assert least <= float(moved.min()) <= float(moved.max()) <= most

    def test_leaves_its_inputs_and_the_model_and_stays_in_the_pixels_range(self) -> None:
        model = self.model().requires_grad_(True)
        images, labels = self.correct(model)
        kept = images.clone(), labels.clone()
        with torch.no_grad():
            found = carlini_wagner(model, images, labels, constant=5.0, steps=10, learning_rate=0.1)
        assert torch.equal(images, kept[0])
        assert torch.equal(labels, kept[1])
        assert all(parameter.grad is None for parameter in model.parameters())
        assert not found.requires_grad
        assert 0 <= float(found.min()) <= float(found.max()) <= 1

    def test_an_image_s_result_does_not_depend_on_its_batch(self) -> None:
        found, images, _ = self.run(1.0)
        model = self.model()
        _, labels = self.correct(model)
        for one in (0, 7):
            row = slice(one, one + 1)
            alone = carlini_wagner(
                model, images[row], labels[row], constant=1.0, steps=40, learning_rate=0.05
            )
            torch.testing.assert_close(alone, found[row], atol=1e-4, rtol=0)


def own_probability(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    probabilities: torch.Tensor = model(images).detach().softmax(dim=1)
    return probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)


class TestCraftingMode:
    def network(self) -> nn.Sequential:
        network = nn.Sequential(
            nn.BatchNorm2d(1), nn.Dropout(0.5), nn.BatchNorm2d(1, track_running_stats=False)
        )
        network.train()
        network[1].eval()
        return network

    @pytest.mark.parametrize("training", [True, False])
    def test_every_part_gets_its_own_mode_back_even_after_an_error(self, training: bool) -> None:
        network = self.network()
        with pytest.raises(ZeroDivisionError), crafting_mode(network, training=training):
            assert [part.training for part in network] == [training] * 3
            raise ZeroDivisionError
        assert [part.training for part in network] == [True, False, True]
        norms = [part for part in network if isinstance(part, nn.BatchNorm2d)]
        assert [norm.track_running_stats for norm in norms] == [True, False]

    @pytest.mark.parametrize("training", [True, False])
    def test_batch_norm_uses_the_chosen_statistics_and_gathers_none(self, training: bool) -> None:
        norm = nn.BatchNorm2d(1).train()
        before = {name: value.clone() for name, value in norm.state_dict().items()}
        images = 3 + batch()[0]
        with crafting_mode(norm, training=training):
            mean = float(norm(images).mean().detach())
        assert abs(mean) < 1e-4 if training else mean > 3
        assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
