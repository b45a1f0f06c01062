"""Images that the deployed classifier refuses: neither right nor, for who wants a wrong answer, won."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from reproof import registry
from reproof.attacking import judge
from reproof.attacking.aggregation import aggregate
from reproof.attacking.batch import Batch
from reproof.attacking.engine import AttackEngine
from reproof.attacking.gradient_ascent import GradientAscent, random_start
from reproof.attacking.image_noise import ImageNoise
from reproof.data.dataset import DataDescription
from reproof.models.attack_loss import AttackLoss
from reproof.models.classifier import REFUSED, Answers
from reproof.models.purifier import Purified
from reproof.models.voting import Ensemble
from tests.ours import cases_here, needs
from tests.tiny_classifier import DESCRIPTION, LinearClassifier, TinyClassifier
from tests.unit.attacking.test_deployed_answers import attack, shown, trained

MINIMISING: dict[str, dict[str, Any]] = {
    "deepfool": {"steps": [50]},
    "carlini_wagner": {"constants": [10.0], "steps": 60, "learning_rate": 0.1},
    "jsma": {"steps": [100]},
}


class Wary(Purified):
    """Its purifier undoes most attacks; it refuses each image that no camera took, with levels between those of 255."""

    def purify(self, images: Tensor) -> Tensor:
        clean = shown()[0].flatten(1)
        nearest = torch.cdist(images.flatten(1), clean).argmin(dim=1)
        return shown()[0][nearest]

    def answers(self, images: Tensor) -> Answers:
        answers = super().answers(images)
        levels = 255 * images.flatten(1)
        moved = ((levels - levels.round()).abs() > 1e-3).any(dim=1)
        return replace(answers, classes=answers.classes.masked_fill(moved, REFUSED))


@pytest.mark.parametrize("kind", cases_here("attacks", MINIMISING, str))
def test_what_a_minimising_attack_moved_and_is_refused_is_not_right(kind: str) -> None:
    """By its logits most images are reformed rightly; their originals would come back, and count as right."""
    net = Wary(trained(), DESCRIPTION).eval()
    images, labels = shown()
    before = judge.classes(net, images, 64, "cpu")
    result = attack(net, kind, **MINIMISING[kind])
    (moved,), (classes,) = result.images.values(), result.predictions.values()
    changed = (moved != images).flatten(1).any(dim=1)
    reformed = judge.predict(net, moved, 64, "cpu").argmax(dim=1)
    assert (changed & (reformed == labels)).sum() > 12
    assert classes.equal(before.masked_fill(changed, REFUSED))
    assert not (classes == labels)[changed].any()


@needs("attacks/jsma")
def test_an_ensemble_without_a_majority_refuses_the_members_summed_perturbations() -> None:
    members = [trained(), trained()]
    with torch.no_grad():
        members[1].classify.bias += torch.tensor([1.5, 0.0, -1.5])
    ensemble = Ensemble(members, DESCRIPTION, ties="error").eval()
    images, labels = shown()
    found = [next(iter(attack(one, "jsma", **MINIMISING["jsma"]).images.values())) for one in members]
    together = aggregate(images, found, None, None)
    first, second = (member(together).argmax(dim=1) for member in members)
    classes = judge.classes(ensemble, together, 64, "cpu")
    assert classes.equal(first.masked_fill(first != second, REFUSED))
    assert (classes == REFUSED).any()
    assert (classes != labels).equal((first != labels) | (second != labels))


class Between(LinearClassifier):
    """One pixel: class 0 up to 0.5, class 1 beyond; between 0.5 and 0.6 the image is refused."""

    def answers(self, images: Tensor) -> Answers:
        answers = super().answers(images)
        pixels = images.flatten(1)[:, 0]
        refused = (pixels > 0.5) & (pixels <= 0.6)
        return replace(answers, classes=answers.classes.masked_fill(refused, REFUSED))


ONE = DataDescription(channels=1, height=1, width=1, classes=2, mean=(0.0,), std=(1.0,))


def between() -> Between:
    return Between(ONE, torch.tensor([[-1.0], [1.0]]), torch.tensor([0.5, -0.5])).eval()


def loss(net: TinyClassifier | Between, accepted: bool) -> AttackLoss:
    return AttackLoss(lambda images, labels: (net(images), None), accepted=accepted)


@needs("attacks/bim")
@pytest.mark.parametrize(("accepted", "expected"), [(False, [REFUSED, REFUSED]), (True, [REFUSED, 1])])
@pytest.mark.parametrize("nested", [False, True])
def test_who_wants_a_wrong_answer_does_not_stop_at_a_refusal(
    accepted: bool, expected: list[int], nested: bool
) -> None:
    """The first budget reaches as far as 0.55, the second 0.65: past the refusal."""
    net = between()
    settings = registry.load("attacks", "bim").Settings(
        epsilons=[0.15, 0.25], steps=20, early_stop=True, nested=nested
    )
    engine = AttackEngine(
        net, device="cpu", batch_size=4, seed=0, skip_misclassified=True, attack_loss=loss(net, accepted)
    )
    images, labels = torch.full((3, 1, 1, 1), 0.4), torch.zeros(3, dtype=torch.int64)
    result = engine.run("bim", settings, images, labels, labels)
    assert [classes.tolist() for classes in result.predictions.values()] == [[one] * 3 for one in expected]


@needs("attacks/bim")
def test_what_a_smaller_budget_left_refused_is_never_right_again() -> None:
    """The loss pulls to 0.55, which is refused; with more budget a step leads to 0.65, and the next one back to 0.4."""
    net, goal = between(), 0.55

    def pull(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        pixels = images.flatten(1)[:, 0]
        return 0 * net(images), torch.where(pixels < 0.64, -(pixels - goal).abs(), -9 * (pixels - 0.3).abs())

    settings = registry.load("attacks", "bim").Settings(
        epsilons=[0.15, 0.25], steps=2, step_size=1.0, nested=True
    )
    engine = AttackEngine(
        net, device="cpu", batch_size=4, seed=0, skip_misclassified=True,
        attack_loss=AttackLoss(pull, accepted=True),
    )  # fmt: skip
    images, labels = torch.full((3, 1, 1, 1), 0.4), torch.zeros(3, dtype=torch.int64)
    result = engine.run("bim", settings, images, labels, labels)
    assert [classes.tolist() for classes in result.predictions.values()] == [[REFUSED] * 3] * 2


def test_what_cannot_be_won_is_refused_at_least() -> None:
    """Evading takes the image down to 0.4, where it is right; without that it goes up to 0.595, and is refused."""
    net = between()
    evading = AttackLoss(
        lambda images, labels: (net(images), -9 * (images.flatten(1)[:, 0] - 0.4).relu()), accepted=True
    )
    images, labels = torch.full((3, 1, 1, 1), 0.425), torch.zeros(3, dtype=torch.int64)
    batch = Batch(net, images, labels, ImageNoise("key", range(3)), 0.17, attack_loss=evading)
    for early_stop, reached in ((False, 0.595), (True, 0.505)):
        found = GradientAscent(steps=17, step_size=1 / 17, early_stop=early_stop).perturb(batch)
        torch.testing.assert_close(found, torch.full_like(images, reached))
        assert batch.predict(found).tolist() == [REFUSED] * 3


@pytest.mark.parametrize("accepted", [False, True])
def test_of_its_restarts_an_image_keeps_what_the_attacker_likes_best(accepted: bool) -> None:
    """Nothing moves an image from its random start: right up to 0.5, then refused, and wrong from 0.6 on."""
    net, count = between(), 300
    images, labels = torch.full((count, 1, 1, 1), 0.45), torch.zeros(count, dtype=torch.int64)
    still = AttackLoss(lambda shown, _: (0 * net(shown), None), accepted=accepted)
    batch = Batch(net, images, labels, ImageNoise("key", range(count)), 0.25, attack_loss=still)
    attacker = GradientAscent(steps=1, step_size=0.1, random_start=True, restarts=4)
    classes = batch.predict(attacker.perturb(batch))
    starts = torch.stack([batch.predict(random_start(batch, restart)) for restart in range(4)])
    wrong, refused = (starts == 1).any(dim=0), (starts == REFUSED).any(dim=0)
    if accepted:  # what is right to the end starts once more
        last = batch.predict(random_start(batch, 4))
        expected = torch.where(wrong, 1, torch.where(refused, REFUSED, last))
    else:  # the first that is not right
        first = (starts != 0).int().argmax(dim=0)
        expected = starts.gather(0, first[None]).squeeze(0)
    assert classes.equal(expected)
    assert {REFUSED, 0, 1} == set(classes.tolist())
    assert (wrong & refused).any()
