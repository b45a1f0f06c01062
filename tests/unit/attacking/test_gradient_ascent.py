"""The loop of all gradient-ascent attacks by itself: a loss, a rule, a ball."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from reproof.attacking.batch import Batch
from reproof.attacking.gradient_ascent import (
    LogitCache,
    StepRule,
    cross_entropy,
    margin,
    maximise,
    momentum_sign,
    random_start,
    sign,
)
from reproof.attacking.image_noise import ImageNoise
from reproof.errors import StudyError

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


@pytest.mark.parametrize("loss", [cross_entropy, margin])
def test_its_losses_rise_where_the_label_loses(loss: type) -> None:
    given = batch()
    own = loss(given.logits)
    found = maximise(given, own, steps=5, step_size=0.2)
    assert (own(found, given.labels) > own(given.images, given.labels)).all()
    assert own(found, given.labels).shape == (7,)


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
    found = maximise(given, cross_entropy(cache), steps=6, step_size=1 / 6, leave=cache)
    asked, left, expected = net.asked, torch.ones(7, dtype=torch.bool), given.images.clone()
    passes = 0
    for steps in range(1, 7):
        passes += int(left.sum())
        one = maximise(given, cross_entropy(given.logits), steps=steps, step_size=1 / 6)
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
    maximise(given, cross_entropy(given.logits), steps=3, step_size=0.5, leave=LogitCache(given.logits))
    assert torch.equal(given.images, kept[0])
    assert torch.equal(given.labels, kept[1])
    assert all(parameter.grad is None for parameter in given.classifier.parameters())
