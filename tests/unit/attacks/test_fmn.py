"""FMN against a linear model's closed form, Foolbox's minimal distances, and a model that decides otherwise."""

from __future__ import annotations

from typing import Any, Literal

import foolbox
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from reproof.attacking import engine, judge, threat_model
from reproof.attacking.batch import Batch
from reproof.attacking.image_noise import ImageNoise
from reproof.attacks import fmn
from tests.digits_network import trained

Distance = Literal["l2", "linf"]


class Linear(nn.Module):
    """Boundaries that run through grey, so that images near grey reach them well inside [0, 1]."""

    def __init__(self, classes: int):
        super().__init__()
        self.weight = torch.randn(classes, 16, generator=torch.Generator().manual_seed(6))

    def forward(self, images: Tensor) -> Tensor:
        return (images - 0.5).flatten(1) @ self.weight.T


class Certain(nn.Module):
    """Always answers the first class, and has a gradient of zero."""

    def forward(self, images: Tensor) -> Tensor:
        return 0 * images.flatten(1)[:, :2] + torch.tensor([1.0, 0.0])


def batch(net: nn.Module, images: Tensor, labels: Tensor | None = None) -> Batch:
    labels = net(images).argmax(1) if labels is None else labels
    return Batch(net, images, labels, ImageNoise("key", range(len(images))))


@pytest.mark.parametrize("distance", ["l2", "linf"])
@pytest.mark.parametrize("classes", [2, 3])
def test_on_a_linear_model_the_distance_is_that_to_the_boundary(distance: Distance, classes: int) -> None:
    """|f| / ‖w‖_q, q the dual norm: nothing nearer exists, and little farther is found."""
    net = Linear(classes)
    images = 0.4 + 0.2 * torch.rand(10, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    logits = net(images)
    labels = logits.argmax(1)
    margins = logits.gather(1, labels[:, None]) - logits
    normals = net.weight[None] - net.weight[labels][:, None]
    lengths = normals.norm(dim=2) if distance == "l2" else normals.abs().sum(dim=2)
    exact = (margins / lengths).masked_fill(lengths == 0, torch.inf).amin(dim=1)
    found = fmn.FastMinimumNorm(100, distance).perturb(batch(net, images))
    assert (net(found).argmax(1) != labels).all()
    ratios = threat_model.distances(images, found)[distance] / exact
    assert found.min() > 0, "no pixel is cut off"
    assert found.max() < 1
    assert ratios.min() > 1 - 1e-5
    assert ratios.median() < 1.002
    if classes == 2:
        assert ratios.max() < 1.01


THEIRS = {
    "linf": foolbox.attacks.LInfFMNAttack(steps=60),
    "l2": foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=6, steps=100, stepsize=0.05, initial_const=1, abort_early=False
    ),
}
"""Foolbox's FMN for L2 goes twice as far; its C&W, with several searches of a constant, has the same loss as ours."""


@pytest.mark.parametrize("distance", THEIRS)
def test_its_distances_are_those_of_foolboxes_attacks(distance: Distance) -> None:
    net, images, labels = trained()
    right = net(images).argmax(1) == labels
    images, labels = images[right][:30], labels[right][:30]
    found = fmn.FastMinimumNorm(60, distance).perturb(batch(net, images))
    assert (net(found).argmax(1) != labels).all()
    model = foolbox.models.PyTorchModel(net, bounds=(0, 1), device="cpu")
    moved = THEIRS[distance].run(model, images, foolbox.criteria.Misclassification(labels))
    ours, others = (threat_model.distances(images, one)[distance].median() for one in (found, moved))
    assert abs(float(ours / others) - 1) < 0.02


class Stubborn(nn.Module):
    """Answers with a network's logits, and decides by what it thinks of images half as far from grey."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(images)
        return logits

    def answers(self, images: Tensor) -> Any:
        logits = self.net(0.3 * images + 0.35)
        return type("Answers", (), {"logits": logits, "classes": logits.argmax(1)})


def test_the_deployed_model_decides_what_fools() -> None:
    net, images, _ = trained()
    model = Stubborn(net)
    labels = model.answers(images).classes
    alike = net(images).argmax(1) == labels
    images, labels = images[alike], labels[alike]
    found = fmn.FastMinimumNorm(40).perturb(batch(model, images, labels))
    moved = (found != images).flatten(1).any(dim=1)
    assert moved.sum() > 20
    assert (model.answers(found[moved]).classes != labels[moved]).all()


def test_where_nothing_fools_the_image_comes_back() -> None:
    net = Certain()
    images = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    assert torch.equal(fmn.FastMinimumNorm(5).perturb(batch(net, images)), images)


def test_an_image_is_attacked_as_if_it_were_alone() -> None:
    net, images, labels = trained()
    found = fmn.FastMinimumNorm(15).perturb(batch(net, images[:6], labels[:6]))
    for row in range(6):
        alone = fmn.FastMinimumNorm(15).perturb(batch(net, images[row : row + 1], labels[row : row + 1]))
        torch.testing.assert_close(alone[0], found[row], atol=1e-4, rtol=0)


def test_steps_or_epsilons_are_swept() -> None:
    free = fmn.Settings(steps=(10, 20))
    assert [point.parameters for point in free.points()] == ["steps=10", "steps=20"]
    assert (free.budget_norm, fmn.Settings(steps=(10,), distance="linf").budget_norm) == ("l2", "linf")
    assert free.passes() == pytest.approx(15 * (1 + 0.4 / 3))
    held = fmn.Settings(steps=(10,), epsilons=(0.5, 2.0))
    assert [point.parameters for point in held.points()] == ["norm=l2 epsilon=0.5", "norm=l2 epsilon=2"]
    with pytest.raises(ValidationError, match="steps should hold one number, not 2"):
        fmn.Settings(steps=(10, 20), epsilons=(0.5,))
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        fmn.Settings(steps=(10,), epsilons=(2.0,), distance="linf")


def test_more_steps_go_no_farther() -> None:
    net, images, labels = trained()
    clean = judge.predict(net, images, 64, "cpu").argmax(1)
    attacking = engine.AttackEngine(net, seed=0, batch_size=64, device="cpu", skip_misclassified=True)
    result = attacking.run("fmn", fmn.Settings(steps=(10, 60)), images, labels, clean)
    few, many = (threat_model.distances(images, found)["l2"].mean() for found in result.images.values())
    assert 0 < many < few
