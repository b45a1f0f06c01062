"""PGD in L-infinity and in L2: against plain loops, a linear model's closed form, and Foolbox."""

from __future__ import annotations

from typing import Any

import foolbox
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from reproof.attacking import engine, judge, threat_model
from reproof.attacking.batch import Batch
from reproof.attacking.gradient_ascent import random_start
from reproof.attacking.image_noise import ImageNoise
from reproof.attacks import pgd
from tests.digits_network import trained


def craft(settings: pgd.Settings, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return the images and how many of them the network still gets right."""
    net, images, labels = trained()
    clean = judge.predict(net, images, 64, "cpu").argmax(1)
    attacking = engine.AttackEngine(net, seed=seed, batch_size=64, device="cpu", skip_misclassified=False)
    result = attacking.run("pgd", settings, images, labels, clean)
    (found,), (predicted,) = result.images.values(), result.predictions.values()
    return found, (predicted == labels).sum()


def batch(epsilon: float) -> Batch:
    net, images, labels = trained()
    return Batch(net, images, labels, ImageNoise("key", range(64)), epsilon)


def gradient(images: Tensor, labels: Tensor) -> Tensor:
    leaf = images.clone().requires_grad_()
    loss = nn.functional.cross_entropy(trained()[0](leaf), labels, reduction="sum")
    return torch.autograd.grad(loss, leaf)[0]


def perturb(given: Batch, **entry: Any) -> Tensor:
    settings = pgd.Settings(epsilons=(given.epsilon,), **entry)  # type: ignore[arg-type]
    return pgd.build(settings, settings.points()[0]).perturb(given)


def test_in_linf_it_is_bit_for_bit_the_papers_loop() -> None:
    given, epsilon = batch(0.2), 0.2
    moved = (given.images + epsilon * given.noise.uniform(given.images, 0)).clamp(0, 1)
    for _ in range(7):
        moved = moved + 0.1 * epsilon * gradient(moved, given.labels).sign()
        moved = (given.images + (moved - given.images).clamp(-epsilon, epsilon)).clamp(0, 1)
    assert torch.equal(perturb(given, steps=7), moved)


def test_in_l2_it_is_the_plain_loop_image_by_image() -> None:
    """A loop that knows nothing of ours: one image at a time, in float64 but for the network."""
    given, epsilon, step_size = batch(0.9), 0.9, 0.3
    found = perturb(given, steps=6, step_size=step_size, norm="l2")
    for row, start in enumerate(random_start(given, 0, "l2")):
        clean = given.images[row].double()
        moved = start.double()
        for _ in range(6):
            slope = gradient(moved.float()[None], given.labels[row : row + 1])[0].double()
            moved = moved + step_size * epsilon * slope / slope.square().sum().sqrt()
            change = moved - clean
            length = float(change.square().sum().sqrt())
            if length > epsilon:
                change = change * epsilon / length
            moved = (clean + change).clamp(0, 1)
        torch.testing.assert_close(found[row].double(), moved, atol=2e-4, rtol=0)


def test_on_a_linear_model_it_ends_where_the_budget_does_along_the_normal() -> None:
    weight = torch.randn(2, 16, generator=torch.Generator().manual_seed(3))
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(weight)
    net.requires_grad_(False)
    images = torch.full((1, 1, 4, 4), 0.5)
    labels = net(images).argmax(1)
    given = Batch(net, images, labels, ImageNoise("key", [0]), 0.4)
    found = perturb(given, steps=60, step_size=0.2, norm="l2", loss="margin")
    normal = (weight[1 - labels] - weight[labels]).reshape(1, 1, 4, 4)
    torch.testing.assert_close(found, images + 0.4 * normal / normal.norm(), atol=2e-4, rtol=0)


def test_a_start_is_a_point_of_the_ball_and_another_one_at_each_restart() -> None:
    given = batch(1.5)
    first, second = (random_start(given, draw, "l2") for draw in (0, 1))
    assert not torch.equal(first, second)
    threat_model.check(given.images, first, "l2", 1.5, "start")
    assert threat_model.distances(given.images, first)["l2"].min() > 0.3
    assert threat_model.distances(given.images, first)["linf"].max() < 0.9


@pytest.mark.parametrize("epsilon", [0.5, 1.0])
def test_in_l2_it_is_as_strong_as_foolboxes(epsilon: float) -> None:
    net, images, labels = trained()
    settings = pgd.Settings(epsilons=(epsilon,), norm="l2", steps=40, step_size=0.1)
    found, left = craft(settings)
    threat_model.check(images, found, "l2", epsilon, "pgd")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = foolbox.attacks.L2PGD(steps=40, rel_stepsize=0.1)
        model = foolbox.models.PyTorchModel(net, bounds=(0, 1), device="cpu")
        moved = theirs.run(model, images, foolbox.criteria.Misclassification(labels), epsilon=epsilon)
    others = (net(moved).argmax(1) == labels).sum()
    assert 0 < left < 60
    assert abs(int(left) - int(others)) <= 1


def test_an_l2_budget_over_1_is_legal_and_used() -> None:
    _, images, _ = trained()
    found, left = craft(pgd.Settings(epsilons=(3.0,), norm="l2"))
    assert left == 0
    assert 1.5 < threat_model.distances(images, found)["l2"].max() <= 3.0 + 3e-6


def test_budgets_are_those_of_the_norm() -> None:
    with pytest.raises(ValidationError, match=r"epsilons: 1\.5 should be less than or equal to 1"):
        pgd.Settings(epsilons=(0.1, 1.5))
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        pgd.Settings(epsilons=(-0.1,), norm="l2")
    with pytest.raises(ValidationError, match="'linf' or 'l2'"):
        pgd.Settings(epsilons=(0.1,), norm="l1")  # type: ignore[arg-type]
    settings = pgd.Settings.model_validate({"epsilons": ["128/255", 3], "norm": "l2"})
    assert [point.parameters for point in settings.points()] == [
        "norm=l2 epsilon=128/255",
        "norm=l2 epsilon=3",
    ]
    assert [point.parameters for point in pgd.Settings(epsilons=(0.1,), psnrs=(20,)).points()] == [
        "epsilon=0.1",
        "psnr=20",
    ]


def test_an_entry_that_chooses_no_norm_is_told_as_ever() -> None:
    """A job's digest holds its settings: the usual norm adds nothing to them."""
    usual, chosen = pgd.Settings(epsilons=(0.1,)), pgd.Settings(epsilons=(0.1,), norm="l2")
    assert "norm" not in usual.model_dump(mode="json")
    assert pgd.Settings(epsilons=(0.1,), norm="linf") == usual
    assert chosen.model_dump(mode="json")["norm"] == "l2"
    assert pgd.Settings.model_validate(chosen.model_dump(mode="json")) == chosen
