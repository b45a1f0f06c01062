from __future__ import annotations

import pytest
import torch
from torch import nn

from reproof import registry
from reproof.data import DataDescription
from reproof.settings import Point
from reproof.training_attacks import Loss, fgsm, image_gradient, pgd
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


@pytest.mark.filterwarnings("ignore:Please import .gaussian_filter.:DeprecationWarning")
@pytest.mark.parametrize("name", ATTACKS)
def test_agrees_with_the_evaluation_attack_on_a_linear_model(name: str) -> None:
    import foolbox

    model, (images, labels) = linear(), batch()
    options = {"steps": 12, "step_size": 0.2} if name == "pgd" else {}
    settings = registry.load("attacks", name).Settings(epsilons=(0.2,), **options)
    attack = registry.load("attacks", name).build(settings, Point(name="epsilon", value=0.2, epsilon=0.2))
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    theirs = attack.run(wrapped, images, foolbox.criteria.Misclassification(labels), epsilon=0.2)
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
