"""The loop of all gradient-ascent attacks by itself: a loss, a rule, a ball."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from reproof.attacking.batch import Batch
from reproof.attacking.gradient_ascent import (
    LogitCache,
    StepRule,
    loss_of,
    maximise,
    momentum_sign,
    random_start,
    sign,
)
from reproof.attacking.image_noise import ImageNoise
from reproof.errors import StudyError
from reproof.models.attack_loss import FORMS, AttackLoss, on_logits, targeted_margin

RULES: dict[str, StepRule] = {"sign": sign, "momentum": momentum_sign(1.0)}


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 16, generator=torch.Generator().manual_seed(0)))
        self.asked = 0

    def forward(self, images: Tensor) -> Tensor:
        self.asked += len(images)
        return images.flatten(1) @ self.weight.T


def batch(epsilon: float | None = 0.1) -> Batch:
    """Return images that no step within 0.3 takes to 0 or 1, and what a linear network says of them."""
    net = Linear()
    images = 0.3 + 0.4 * torch.rand(7, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    return Batch(net, images, net(images).argmax(1), ImageNoise("key", range(7)), epsilon)


def brighter(images: Tensor, labels: Tensor) -> Tensor:
    return images.flatten(1).sum(dim=1)


@pytest.mark.parametrize("rule", RULES)
def test_it_goes_up_any_loss_as_far_as_the_steps_and_the_ball_reach(rule: str) -> None:
    given = batch()
    for steps, distance in ((1, 0.03), (3, 0.09), (8, 0.1)):
        found = maximise(given, brighter, steps=steps, step_size=0.3, rule=RULES[rule])
        torch.testing.assert_close(found, given.images + distance)


class WrongOnTheWay(nn.Module):
    """Says 1 where images are half bright, 0 else; what is followed is never asked."""

    def forward(self, images: Tensor) -> Tensor:
        half = (images.flatten(1).mean(dim=1) - 0.5).abs() < 0.05
        return torch.stack([~half, half], dim=1).float()


@pytest.mark.parametrize(
    ("looks", "brightness"), [(0, (1.0, 1.0)), (5, (0.5, 1.0)), (1, (0.5, 0.1)), (4, (1.0, 0.4))]
)
def test_it_looks_on_the_way_and_an_image_stays_where_the_deployed_model_is_wrong(
    looks: int, brightness: tuple[float, float]
) -> None:
    """From black by a tenth each step: after five it is half bright, where the first is wrong, the second right."""
    given = Batch(
        WrongOnTheWay(), torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), ImageNoise("key", range(2)), 1.0
    )
    found = maximise(given, brighter, steps=10, step_size=0.1, looks=looks)
    torch.testing.assert_close(found.flatten(1).mean(dim=1), torch.tensor(brightness))


@pytest.mark.parametrize("form", FORMS)
def test_its_losses_rise_where_the_label_loses(form: str) -> None:
    given = batch()
    own = loss_of(given, form, given.logits)
    found = maximise(given, own, steps=5, step_size=0.2)
    assert (own(found, given.labels) > own(given.images, given.labels)).all()
    assert own(found, given.labels).shape == (7,)
    before, after = (given.logits(x).sort(dim=1, descending=True).values for x in (given.images, found))
    label = given.logits(found).gather(1, given.labels[:, None]).squeeze(1)
    lead = torch.where(label == after[:, 0], label - after[:, 1], label - after[:, 0])
    assert (lead < before[:, 0] - before[:, 1]).all(), "the label's lead over all others"


def test_it_starts_where_it_is_told() -> None:
    given = batch()
    start = random_start(given, 0)
    assert 0.05 < (start - given.images).abs().max() <= 0.1
    assert torch.equal(random_start(given, 0), start)
    assert not torch.equal(random_start(given, 1), start)
    found = maximise(given, brighter, steps=1, step_size=0.1, start=start)
    torch.testing.assert_close(found, torch.minimum(start + 0.01, given.images + 0.1))


def test_two_losses_at_the_same_images_are_two_gradients() -> None:
    """Only an attack that says so takes the gradient at the clean images once."""
    given = batch()
    up = maximise(given, brighter, steps=1, step_size=1.0)
    down = maximise(given, lambda x, y: -brighter(x, y), steps=1, step_size=1.0)
    torch.testing.assert_close(up - given.images, given.images - down)
    assert given.first_gradients.at_clean is None
    maximise(given, brighter, steps=1, step_size=1.0, shared=True)
    kept = given.first_gradients.at_clean
    assert kept is not None
    rows = torch.tensor([True, False] * 3 + [True])
    part = given.select(rows)
    assert torch.equal(part.first_gradients.at_clean, kept[rows])  # type: ignore[arg-type]
    assert part.noise.positions == (0, 2, 4, 6)


def test_an_image_is_left_at_its_first_wrong_iterate_and_nobody_asks_again() -> None:
    given = batch(0.3)
    net = given.classifier
    assert isinstance(net, Linear)
    cache = LogitCache(given.logits)
    net.asked = 0
    found = maximise(given, on_logits(cache), steps=6, step_size=1 / 6, leave=cache)
    asked, left, expected = net.asked, torch.ones(7, dtype=torch.bool), given.images.clone()
    passes = 0
    for steps in range(1, 7):
        passes += int(left.sum())
        one = maximise(given, on_logits(given.logits), steps=steps, step_size=1 / 6)
        expected[left] = one[left]
        # The pass that nominates an image is one more for it, and one that decides.
        passes += 2 * int((left & (given.predict(one) != given.labels)).sum()) if steps < 6 else 0
        left &= given.predict(one) == given.labels
    torch.testing.assert_close(found, expected)
    assert not left.all()
    assert asked == passes


def test_a_ball_needs_an_epsilon() -> None:
    with pytest.raises(StudyError, match="names no epsilon"):
        maximise(batch(None), brighter, steps=1, step_size=1.0)


def test_what_it_is_given_stays_as_it_was() -> None:
    given = batch()
    kept = given.images.clone(), given.labels.clone()
    maximise(given, on_logits(given.logits), steps=3, step_size=0.5, leave=LogitCache(given.logits))
    assert torch.equal(given.images, kept[0])
    assert torch.equal(given.labels, kept[1])
    assert all(parameter.grad is None for parameter in given.classifier.parameters())


def test_the_margin_takes_the_place_of_an_attack_loss_s_cross_entropy() -> None:
    """What the attack loss adds stays; one that names no logits takes no margin, and nobody is silent about it."""
    given = batch()
    brightness = AttackLoss(lambda images, labels: (given.logits(images), 3 * images.flatten(1).sum(dim=1)))
    images, labels = given.images, given.labels
    logits, added = given.logits(images), 3 * images.flatten(1).sum(dim=1)
    cross_entropy = nn.functional.cross_entropy(logits, labels, reduction="none")
    own = logits.gather(1, labels[:, None]).squeeze(1)
    others = logits.clone()
    others[torch.arange(len(labels)), labels] = -torch.inf
    for form, expected in (
        ("cross_entropy", cross_entropy + added),
        ("margin", others.amax(1) - own + added),
    ):
        loss = loss_of(replace(given, attack_loss=brightness), form, given.logits)
        torch.testing.assert_close(loss(images, labels), expected)
    plain = replace(given, attack_loss=brighter)
    assert loss_of(plain, "cross_entropy", given.logits) is brighter
    with pytest.raises(StudyError, match="takes no margin"):
        loss_of(plain, "margin", given.logits)


def test_it_goes_towards_the_aims_of_the_images_that_are_left() -> None:
    """Images that leave take their aims along: each of the others goes where it would go alone."""
    given = batch()
    logits = given.logits(given.images)
    order = logits.argsort(dim=1, descending=True)
    labels = order[:, 0]
    aims = torch.stack([labels, order[:, 2]], dim=1)
    given = replace(given, labels=labels, epsilon=0.2)
    loss = on_logits(given.logits).with_form(targeted_margin)
    cache = LogitCache(given.logits)
    together = maximise(given, loss, steps=8, step_size=0.25, aims=aims, leave=cache)
    left = 0
    for row in range(len(labels)):
        one = given.select(torch.tensor([row]))
        alone = maximise(
            one, loss, steps=8, step_size=0.25, aims=aims[row : row + 1], leave=LogitCache(one.logits)
        )
        torch.testing.assert_close(together[row : row + 1], alone)
        left += int(given.predict(alone) == one.labels)
    assert 0 < left < len(labels)


def test_steps_may_have_sizes_of_their_own() -> None:
    given = batch()
    found = maximise(given, brighter, steps=3, step_size=(0.5, 0.25, 0.125))
    torch.testing.assert_close(found, given.images + 0.875 * 0.1)
