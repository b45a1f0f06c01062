"""APGD against the authors' own, path by path and in strength, and its parts against values computed by hand."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack
from torch import Tensor, nn

from reproof.attacking import engine, judge, threat_model
from reproof.attacking.batch import Batch
from reproof.attacking.gradient_ascent import random_start
from reproof.attacking.image_noise import ImageNoise
from reproof.attacks import apgd
from reproof.errors import StudyError
from reproof.models.attack_loss import FORMS, logits_ratio
from reproof.settings.values import Norm
from tests.digits_network import trained

LIBRARY = {"linf": "Linf", "l2": "L2", "cross_entropy": "ce", "dlr": "dlr"}


def craft(
    norm: Norm, epsilon: float, seed: int = 0, net: nn.Module | None = None, **entry: Any
) -> engine.AttackResult:
    known, images, labels = trained()
    settings = apgd.Settings(epsilons=(epsilon,), norm=norm, **entry)
    net = net or known
    clean = judge.predict(net, images, 64, "cpu").argmax(1)
    attacking = engine.AttackEngine(net, seed=seed, batch_size=64, device="cpu", skip_misclassified=True)
    return attacking.run("apgd", settings, images, labels, clean)


def library(norm: str, epsilon: float, loss: str, steps: int, seed: int = 0) -> APGDAttack:
    found = APGDAttack(
        trained()[0],
        n_iter=steps,
        norm=LIBRARY[norm],
        eps=epsilon,
        seed=seed,
        loss=LIBRARY[loss],
        device="cpu",
    )
    found.init_hyperparam(trained()[1])
    return found


@pytest.mark.parametrize("loss", ["cross_entropy", "dlr"])
@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 0.5)])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_as_strong_as_the_authors_own_at_equal_steps(
    norm: Norm, epsilon: float, loss: str, seed: int
) -> None:
    """The best of several starts: one alone may miss three images that another one finds, theirs or ours."""
    net, images, labels = trained()
    (found,) = craft(norm, epsilon, seed, loss=loss, steps=20, restarts=6).predictions.values()
    theirs = library(norm, epsilon, loss, 20, seed)
    theirs.n_restarts = 6
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of a gradient of zero
        moved = theirs.perturb(images, labels)
    left, others = int((found == labels).sum()), int((net(moved).argmax(1) == labels).sum())
    assert 15 < left < 50, "it decides something"
    assert abs(left - others) <= 1


@pytest.mark.parametrize("loss", ["cross_entropy", "dlr"])
@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.05), ("l2", 0.3)])
def test_an_image_that_survives_goes_the_authors_way(norm: Norm, epsilon: float, loss: str) -> None:
    """From the same start, through every checkpoint: the same largest loss, at the same image."""
    net, images, labels = trained()
    given = Batch(net, images, labels, ImageNoise("key", range(64)), epsilon)
    found = apgd.AutoPGD(50, norm, loss).perturb(given)
    best, right, _, _ = library(norm, epsilon, loss, 50).attack_single_run(
        images, labels, random_start(given, 0, norm)
    )
    right = right.bool()
    assert 20 < right.sum() < 64
    assert torch.equal(net(found).argmax(1) == labels, right)
    values = [FORMS[loss](net(one), labels) for one in (found, best)]
    gaps = (values[0] - values[1]).abs()[right]
    apart = (found - best).flatten(1).abs().amax(dim=1)[right]
    for distance in (gaps, apart):
        assert distance.sort().values[int(0.9 * len(distance))] < 1e-4, "rounding may turn a few paths"
    assert gaps.max() < 0.01


def test_the_checkpoints_are_the_papers() -> None:
    assert sorted(apgd._checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]  # Eq. 3
    assert sorted(apgd._checkpoints(10)) == [2, *range(3, 11)]
    assert sorted(apgd._checkpoints(1)) == [1]


def test_the_ratio_of_logits_equals_that_computed_by_hand_and_has_no_scale() -> None:
    logits = torch.tensor([[3.0, 1, 0, -5], [3, 1, 0, -5], [2, 2, 2, 8]])
    labels = torch.tensor([0, 1, 3])
    expected = torch.tensor([-(3 - 1) / 3, -(1 - 3) / 3, -(8 - 2) / 6])
    for scale in (1.0, 1e6):
        torch.testing.assert_close(logits_ratio(scale * logits, labels), expected)
    with pytest.raises(StudyError, match="at least three classes, not 2"):
        logits_ratio(logits[:, :2], labels)


class Recorded(nn.Module):
    """The network, which keeps what it was asked with a gradient; `scaled` makes its cross-entropy vanish."""

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.net, self.scale = trained()[0], scale
        self.shown: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        if images.requires_grad:
            self.shown.append(images.detach())
        logits: Tensor = self.scale * self.net(images)
        return logits


def losses(images: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(trained()[0](images), labels, reduction="none")


def test_a_survivor_comes_back_at_its_largest_loss_and_no_gradient_is_wasted() -> None:
    net = Recorded()
    _, images, labels = trained()
    given = Batch(net, images, labels, ImageNoise("key", range(64)), 0.001)
    right = net.net(images).argmax(1) == labels
    given = given.select(right)
    found = apgd.AutoPGD(20, "l2").perturb(given)
    assert [len(shown) for shown in net.shown] == [int(right.sum())] * 21
    seen = torch.stack([losses(shown, given.labels) for shown in net.shown])
    torch.testing.assert_close(losses(found, given.labels), seen.amax(dim=0))


def test_fooled_images_leave_at_once_and_are_what_the_deployed_model_gets_wrong() -> None:
    net = Recorded()
    _, images, labels = trained()
    result = craft("l2", 0.7, net=net, steps=30)
    (found,), (predicted,) = result.images.values(), result.predictions.values()
    fooled = predicted != labels
    counts = [len(shown) for shown in net.shown]
    assert counts == sorted(counts, reverse=True)
    assert 0 < counts[-1] == int((~fooled).sum()) < counts[0]
    assert threat_model.distances(images, found)["l2"].max() <= 0.7 + 1e-6


def test_where_cross_entropy_vanishes_the_other_losses_find_what_it_leaves() -> None:
    _, _, labels = trained()

    def left(loss: str) -> int:
        (found,) = craft("linf", 0.15, net=Recorded(1e4), loss=loss, steps=20).predictions.values()
        return int((found == labels).sum())

    assert left("dlr") <= left("cross_entropy") - 10
    assert left("margin") <= left("cross_entropy") - 10


def test_more_starts_meet_only_what_is_left_and_never_leave_more() -> None:
    _, _, labels = trained()

    def run(restarts: int) -> tuple[int, int]:
        net = Recorded()
        (found,) = craft("linf", 0.15, net=net, steps=5, restarts=restarts).predictions.values()
        return int((found == labels).sum()), sum(map(len, net.shown))

    (one, passes), (three, more) = run(1), run(3)
    assert three <= one
    assert passes + 2 * 6 * three <= more <= passes + 2 * 6 * one


def test_it_maximises_another_loss_that_it_is_given() -> None:
    def darker(images: Tensor, labels: Tensor) -> Tensor:
        return -images.flatten(1).sum(dim=1)

    net, images, labels = trained()
    right = net(images).argmax(1) == labels
    loss: Callable[[Tensor, Tensor], Tensor] = darker
    given = Batch(net, images, labels, ImageNoise("key", range(64)), 0.02, attack_loss=loss).select(right)
    found = apgd.AutoPGD(20).perturb(given)
    stayed = net(found).argmax(1) == given.labels
    torch.testing.assert_close(found[stayed], (given.images[stayed] - 0.02).clamp(0, 1))
