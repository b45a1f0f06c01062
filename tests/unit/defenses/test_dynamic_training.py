from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from reproof.data.dataset import to_unit
from reproof.defenses.dynamic_training import DynamicTraining, Settings
from reproof.models.defense import Progress
from reproof.settings.training import TrainingSettings
from reproof.training.adversarial import craft
from reproof.training.inner_attacks import first_order_criterion, image_gradient
from reproof.training.loop import accuracy, train
from reproof.training.randomness import generator_for
from tests.tiny_classifier import build_tiny, make_data


def bound(epoch: int, epochs: int, **settings: Any) -> float:
    return DynamicTraining(Settings(**settings)).required_convergence(Progress(epoch, epochs, 7 * epoch))


def crafted(epoch: int, **settings: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return 30 clean images, what they become in the epoch, and the criterion there."""
    defense = DynamicTraining(Settings(**settings))
    trainee = build_tiny(defense).eval()
    raw, labels = make_data().select("train", 30)
    images = to_unit(raw)
    generator = generator_for(torch.device("cpu"), 1)
    adversarial = craft(
        images, labels, defense.adversarial_training(), defense, trainee, Progress(epoch, 12, 0), generator
    )

    def loss(candidates: Tensor) -> Tensor:
        return nn.functional.cross_entropy(trainee(candidates), labels, reduction="none")

    epsilon = torch.full((30,), float(defense.settings.model_dump()["epsilon"]))
    gradient = image_gradient(loss, adversarial)
    return images, adversarial, first_order_criterion(gradient, adversarial, images, epsilon)


class TestSchedule:
    def test_the_released_code_s_values(self) -> None:
        # c_max 0.5, T' = 100 of 120 epochs: 0.5 - 0.5 t / 100
        values = [bound(epoch, 120) for epoch in (0, 1, 50, 99, 100, 101, 119)]
        assert values == pytest.approx([0.5, 0.495, 0.25, 0.005, 0, 0, 0], abs=1e-12)

    def test_a_number_of_epochs_does_not_depend_on_the_study_s(self) -> None:
        for epochs in (5, 50):
            values = [bound(epoch, epochs, dynamic_epochs=4, criterion_max=2) for epoch in range(5)]
            assert values == pytest.approx([2, 1.5, 1, 0.5, 0])

    def test_one_is_the_whole_training(self) -> None:
        assert [bound(epoch, 4, dynamic_epochs=1) for epoch in range(4)] == pytest.approx(
            [0.5, 0.375, 0.25, 0.125]
        )

    def test_no_bound_at_all_is_plain_pgd_training(self) -> None:
        assert [bound(epoch, 4, criterion_max=0) for epoch in range(4)] == [0, 0, 0, 0]


class TestExamples:
    def test_converge_better_as_the_epochs_pass(self) -> None:
        means = []
        for epoch in (0, 5, 11):
            images, adversarial, criterion = crafted(epoch, epsilon=0.1, criterion_max=0.05)
            assert float((adversarial - images).abs().max()) <= 0.1 + 1e-6
            means.append(float(criterion.mean()))
        assert means[0] > means[1] > means[2]

    def test_an_image_that_stopped_early_has_reached_the_bound(self) -> None:
        settings = {"epsilon": 0.1, "criterion_max": 0.1, "random_start": False}
        _, stopped, criterion = crafted(0, **settings)
        _, free, _ = crafted(11, **settings)
        early = (stopped != free).flatten(1).any(dim=1)
        assert int(early.sum()) > 5
        assert bool((criterion[early] <= 0.1).all())

    def test_a_bound_out_of_reach_leaves_one_step(self) -> None:
        images, adversarial, _ = crafted(0, epsilon=0.2, criterion_max=1e6, random_start=False)
        distance = (adversarial - images).flatten(1).abs().amax(dim=1)
        torch.testing.assert_close(distance, torch.full((30,), 0.05))

    def test_from_t_prime_on_they_are_those_of_pgd(self) -> None:
        _, dynamic, _ = crafted(10, epsilon=0.1)
        _, plain, _ = crafted(0, epsilon=0.1, criterion_max=0)
        assert torch.equal(dynamic, plain)

    def test_the_centre_of_the_criterion_is_passed_on(self) -> None:
        options = {"epsilon": 0.1, "criterion_max": 0.05}
        results = [crafted(0, criterion_centre=centre, **options)[1] for centre in ("clean", "start")]
        assert not torch.equal(*results)
        results = [
            crafted(0, criterion_centre=centre, random_start=False, **options)[1]
            for centre in ("clean", "start")
        ]
        assert torch.equal(*results)


class TestSettings:
    def test_the_inner_maximisation_is_pgd_on_the_whole_batch(self) -> None:
        chosen = DynamicTraining(Settings(epsilon="8/255", steps=7, step_size=0.5)).adversarial_training()
        assert (chosen.attack, chosen.epsilon, chosen.steps, chosen.step_size) == ("pgd", 8 / 255, 7, 0.5)
        assert (chosen.share, chosen.augment, chosen.random_start, chosen.mode) == (1, False, True, "eval")
        assert not DynamicTraining(Settings(random_start=False)).adversarial_training().random_start

    def test_cost(self) -> None:
        assert Settings(steps=4).relative_cost() == 4

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"epsilon": [0.3, 0.1]}, "low to high"),
            ({"steps": 0}, "greater than or equal to 1"),
            ({"criterion_max": -1}, "greater than or equal to 0"),
            ({"dynamic_epochs": 0}, "greater than 0"),
            ({"criterion_centre": "corner"}, "'clean' or 'start'"),
            ({"step_size": 0}, "greater than 0"),
        ],
    )
    def test_wrong_ones_are_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Settings(**wrong)


def test_the_loss_is_cross_entropy() -> None:
    defense = DynamicTraining(Settings())
    trainee = build_tiny(defense)
    raw, labels = make_data().select("train", 8)
    images = to_unit(raw)
    expected = -trainee(images).log_softmax(dim=1)[torch.arange(8), labels]
    torch.testing.assert_close(defense.loss(trainee, images, labels, Progress(0, 1, 0)), expected)


def test_it_trains() -> None:
    defense = DynamicTraining(Settings(epsilon=0.1, steps=5))
    trainee = build_tiny(defense)
    data = make_data()
    chosen = TrainingSettings(epochs=10, batch_size=16, learning_rate=0.05)
    train(defense, trainee, data, chosen, seed=0, progress=False)
    assert accuracy(trainee, *data.select("test")) > 0.9
