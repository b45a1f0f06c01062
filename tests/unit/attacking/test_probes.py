"""The probe's facts, each on a network where they can be told beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reproof.attacking import decisions, probes
from reproof.data.dataset import DataDescription, to_unit
from reproof.models.attack_loss import AttackLoss, on_logits
from reproof.models.classifier import REFUSED, Answers
from reproof.models.purifier import Purified
from tests.tiny_classifier import LinearClassifier, TinyClassifier, make_data

FLAT = DataDescription(channels=1, height=1, width=2, classes=3, mean=(0.0,), std=(1.0,))
IMAGES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.0, 0.0]]).view(4, 1, 1, 2)
LABELS = torch.tensor([0, 1, 1, 2])
WEIGHTS = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]])


class Changed(nn.Module):
    """A linear network whose images and logits are changed on the way."""

    def __init__(
        self,
        before: Callable[[Tensor], Tensor] = lambda images: images,
        after: Callable[[Tensor], Tensor] = lambda logits: logits,
    ):
        super().__init__()
        self.inside = LinearClassifier(FLAT, WEIGHTS.clone(), torch.zeros(3))
        self.before, self.after = before, after

    def forward(self, images: Tensor) -> Tensor:
        return self.after(self.inside(self.before(images)))


def facts(
    network: nn.Module,
    images: Tensor = IMAGES,
    labels: Tensor = LABELS,
    *,
    seed: int = 0,
    batch_size: int = 3,
) -> dict[str, Any]:
    return probes.probe(network, images, labels, seed=seed, batch_size=batch_size, device="cpu")


def test_a_plain_network() -> None:
    """Its leads are 2, 2, 0 (logits 1, 1, 0) and 0: the median of torch is the lower middle one."""
    assert facts(Changed()) == {
        "images": 4,
        "classes": 3,
        "largest_class": 0.5,
        "differentiable": True,
        "zero_gradients": 0,
        "broken_gradients": 0,
        "zero_losses": 0,
        "saturated": 0,
        "margin": 0.0,
        "probabilities": False,
        "difference": 0.0,
        "random": False,
        "changed": 0,
        "compared": 3,
        "misled": 0,
        "unresolved": 0,
        "followed": 3,
        "astray": 0,
        "asked": 8,
        "hidden": 0,
    }


def test_facts_survive_a_file() -> None:
    found = facts(Changed())
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(("lead", "zero"), [(8.0, 0), (15.0, 0), (20.0, 1), (60.0, 1)])
def test_losses_are_zero_where_float32_says_so(lead: float, zero: int) -> None:
    """exp(-16.6) is half of float32's resolution at 1; a wrong prediction's loss is never zero."""
    network = Changed(after=lambda logits: logits * lead / 2)
    right = facts(network, IMAGES[:1], LABELS[:1])
    assert (right["zero_losses"], right["saturated"], right["margin"]) == (zero, zero, lead)
    wrong = facts(network, IMAGES[:1], LABELS[1:2])
    assert (wrong["zero_losses"], wrong["saturated"]) == (0, zero)
    assert right["zero_gradients"] == 0, "what is left of the other classes has a gradient"


def test_gradients_vanish_where_all_probabilities_do() -> None:
    """At a lead of 2,000 all other probabilities are zero; without a lead (the last two images) they are not."""
    found = facts(Changed(after=lambda logits: logits * 1000))
    assert (found["zero_gradients"], found["zero_losses"], found["saturated"]) == (2, 2, 2)


def test_a_gradient_that_is_no_number_is_counted() -> None:
    """The root of a black pixel has an infinite slope, times 0 of the square: NaN at all images but (0.5, 0.5)."""
    assert facts(Changed(before=lambda images: images.sqrt().square()))["broken_gradients"] == 3


def test_rounding_has_a_gradient_that_is_zero() -> None:
    found = facts(Changed(before=torch.round))
    assert (found["differentiable"], found["zero_gradients"]) == (True, 4)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_detached_input_has_no_gradient_at_all(frozen: bool) -> None:
    """Parameters that would have one do not make the loss depend on the images."""
    network = Changed(before=torch.detach).requires_grad_(not frozen)
    found = facts(network)
    assert (found["differentiable"], found["zero_gradients"]) == (False, 4)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_probabilities_are_recognised() -> None:
    assert facts(Changed(after=lambda logits: logits.softmax(dim=1)))["probabilities"]
    for honest in (
        lambda logits: logits.log_softmax(dim=1),
        lambda logits: logits.sigmoid(),
        lambda logits: 2 * logits.softmax(dim=1),
        lambda logits: logits / logits.sum(dim=1, keepdim=True).clamp(min=1) - 0.2,
    ):
        assert not facts(Changed(after=honest))["probabilities"]


def test_random_answers_are_recognised() -> None:
    found = facts(Changed(before=lambda images: images + torch.rand_like(images)))
    assert found["random"]
    assert 0 < found["difference"] < 2
    assert facts(Changed(after=lambda logits: logits + 1e-7 * torch.rand_like(logits)))["random"] is False


class Voting(Changed):
    """A network that decides by the vote of three noisy passes; its logits are those of one without noise."""

    def answers(self, images: Tensor) -> Answers:
        votes = torch.stack([self(images + 0.1 * torch.randn_like(images)).argmax(dim=1) for _ in range(3)])
        return Answers(votes.mode(dim=0).values, {}, self(images))


def one_of_two(logits: Tensor) -> Tensor:
    return logits if torch.rand(()) < 0.5 else logits.flip(1)


def never_answered(spread: float) -> Callable[[Tensor], Tensor]:
    """Return what adds a class that is masked as usual, and noise to the logits beside it."""
    return lambda logits: torch.cat(
        [logits + spread * torch.randn_like(logits), torch.full_like(logits[:, :1], -1e9)], dim=1
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "network",
    [Voting(), Changed(after=one_of_two), Changed(after=never_answered(0.1))],
    ids=["vote", "coin", "mask"],
)
def test_randomness_that_two_passes_hide_is_recognised(network: nn.Module, seed: int) -> None:
    """A vote seldom changes, a coin falls alike half of the time, a logit of -1e9 makes any scale coarse.

    (0.56, 0.44) is decided for class 0 by most votes, but not by all.
    """
    torch.manual_seed(seed)
    images = torch.tensor([[1.0, 0.0]] * 4 + [[0.56, 0.44]] * 4).view(8, 1, 1, 2)
    assert decisions.draws_at_random(network, images)
    assert facts(network, images, torch.zeros(8, dtype=torch.long), seed=seed, batch_size=8)["random"]


def test_a_draw_that_changes_nothing_is_not_random() -> None:
    for after in (
        lambda logits: logits + 0 * torch.rand_like(logits),
        never_answered(0.0),
        lambda logits: torch.cat(
            [logits, -1e9 + 100 * torch.rand_like(logits[:, :1])], dim=1
        ),  # its rounding
    ):
        assert not decisions.draws_at_random(Changed(after=after), IMAGES)
        assert not facts(Changed(after=after))["random"]


def test_a_class_that_changes_is_counted() -> None:
    """Turned around, (2, 0, 0) and (1, 1, 0) change their class, (0, 2, 0) and (0, 0, 0) do not."""
    calls = iter(range(100))
    turned = Changed(after=lambda logits: logits.flip(1) if next(calls) == 1 else logits)
    found = facts(turned, batch_size=4)
    assert (found["changed"], found["random"]) == (2, True)


def test_facts_are_the_same_each_time_and_disturb_nothing() -> None:
    network = Changed(before=lambda images: images + torch.rand_like(images))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = facts(network)
    assert torch.equal(torch.rand(3), expected)
    assert facts(network) == first
    assert facts(network, seed=1) != first


def test_few_images_are_looked_at_and_all_labels() -> None:
    images = IMAGES.repeat(100, 1, 1, 1)
    labels = torch.tensor([0] * 100 + [1] * 300)
    found = facts(Changed(), images, labels, batch_size=50)
    assert (found["images"], found["largest_class"]) == (probes.LIMIT, 0.75)


def test_batches_change_nothing_and_dropout_is_off() -> None:
    stored, labels = make_data().select("test", 40)
    images = to_unit(stored)
    network = nn.Sequential(TinyClassifier(), nn.Dropout(0.5)).train()
    whole, parts = (facts(network, images, labels, batch_size=size) for size in (40, 7))
    assert not whole["random"]
    assert whole | {"margin": 0, "difference": 0} == parts | {"margin": 0, "difference": 0}
    assert whole["margin"] == pytest.approx(parts["margin"], rel=1e-3, abs=1e-6)


class Rounding(Purified):
    def purify(self, images: Tensor) -> Tensor:
        return images.round()


def test_a_purifier_is_looked_at_as_attacks_climb_it() -> None:
    """Attacks differentiate the classifier inside: its gradients are not those of rounding."""
    inside = LinearClassifier(FLAT, WEIGHTS.clone(), torch.zeros(3))
    found = facts(Rounding(inside, FLAT))
    assert (found["differentiable"], found["zero_gradients"], found["random"]) == (True, 0, False)
    assert (found["compared"], found["misled"]) == (3, 0)


class Hidden(torch.autograd.Function):
    """A function that changes nothing, and a gradient that is multiplied by a factor for each of two pixels."""

    @staticmethod
    def forward(context: Any, images: Tensor, factors: tuple[float, float]) -> Tensor:
        context.factors = factors
        return images.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradient * gradient.new_tensor(context.factors), None


@pytest.mark.parametrize(
    ("factors", "compared", "misled"),
    [
        ((1.0, 1.0), 3, 0),
        ((1.0, 0.0), 4, 4),  # one of two pixels that matter alike has no gradient
        ((-1.0, -1.0), 3, 3),
        ((2.0, 2.0), 3, 3),
        ((1.1, 1.1), 3, 0),  # a tenth too long, within MISLED
    ],
)
def test_a_gradient_that_is_not_the_network_s_is_recognised(
    factors: tuple[float, float], compared: int, misled: int
) -> None:
    """The lead is twice the difference of the pixels; in the black image all steps are up, and it does not change."""
    network = Changed(before=lambda images: Hidden.apply(images, factors))
    found = facts(network)
    assert (found["compared"], found["misled"]) == (compared, misled)


def test_a_network_that_draws_is_looked_at_with_the_same_draws() -> None:
    """Each look would differ from the one before by far more than its step otherwise."""
    found = facts(Changed(before=lambda images: images + torch.rand_like(images)))
    assert (found["compared"], found["misled"]) == (3, 0)


def test_what_has_no_gradient_is_not_called_misleading() -> None:
    """They are counted as zero gradients already."""
    for before in (torch.round, torch.detach):
        found = facts(Changed(before=before))
        assert (found["compared"], found["misled"]) == (0, 0)


@pytest.mark.parametrize("factors", [(1.0, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize(
    ("shift", "resolved"), [(0, True), (1e4, True), (-1e5, True), (1e6, False), (1e8, False)]
)
def test_a_number_that_all_logits_share_hides_no_gradient(
    shift: float, resolved: bool, factors: tuple[float, float]
) -> None:
    """At 100,000 a step of 2^-11 times 4 is rounded away, and one of 2^-2 is not; beyond 1,000,000 nothing is told."""
    found = facts(
        Changed(before=lambda images: Hidden.apply(images, factors), after=lambda logits: 2 * logits + shift)
    )
    inclined = 3 if factors == (1.0, 1.0) else 4  # one pixel's gradient alone does not vanish along both
    misled = 0 if factors == (1.0, 1.0) or not resolved else 4
    assert (found["compared"], found["misled"]) == (inclined if resolved else 0, misled)
    assert found["unresolved"] == (0 if resolved else inclined)


def test_what_has_no_usable_gradient_is_not_called_unresolved() -> None:
    for before in (torch.round, torch.detach, lambda images: Hidden.apply(images, (torch.nan, torch.nan))):
        found = facts(Changed(before=before))
        assert (found["compared"], found["unresolved"]) == (0, 0)


def of_class(logits: Tensor) -> Tensor:
    return nn.functional.one_hot(logits.argmax(dim=1), 3).float()


def halves(images: Tensor) -> Tensor:
    """Return pixels of 0, 0.5 and 1: IMAGES as they are, moved ones as they were."""
    return (2 * images).round() / 2


class Switching(Changed):
    """Changes images and logits only where no gradient is asked for, or only where outcomes are judged."""

    judged_only = False

    def forward(self, images: Tensor) -> Tensor:
        attacked = not torch.is_inference_mode_enabled() if self.judged_only else images.requires_grad
        logits: Tensor = self.inside(images) if attacked else super().forward(images)
        return logits


class Judged(Switching):
    judged_only = True


class Deciding(Changed):
    """Its logits are honest, and others decide."""

    def answers(self, images: Tensor) -> Answers:
        return Answers(self.inside(1 - images).argmax(dim=1), {}, self(images))


class Refusing(Changed):
    def answers(self, images: Tensor) -> Answers:
        return Answers(torch.full((len(images),), REFUSED), {}, self(images))


class Unseeded(Changed):
    """Noise that no seed decides."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.inside(images + torch.rand(images.shape, generator=self.generator))
        return logits


@pytest.mark.parametrize(
    ("network", "least", "most"),
    [
        (Switching(torch.round, of_class), 5, 8),
        (Switching(after=of_class), 5, 8),
        (Switching(torch.round), 5, 8),
        (Switching(halves), 4, 4),  # the clean images are left alone
        (Judged(halves), 4, 4),
        (Deciding(), 4, 8),
        (Switching(), 0, 0),
        (Switching(after=lambda logits: logits + 3), 0, 0),
        (Changed(torch.round, of_class), 0, 0),  # no gradient at all is another flag
        (Changed(after=lambda logits: 1e-20 * logits + 1e5), 0, 0),
        (Changed(after=never_answered(0.0)), 0, 0),
        (Changed(before=lambda images: images + torch.rand_like(images)), 0, 0),
        (Unseeded(), 0, 0),
        (Refusing(), 0, 0),
    ],
)
def test_a_network_that_answers_otherwise_where_a_gradient_is_asked_for_is_recognised(
    network: nn.Module, least: int, most: int
) -> None:
    for batch_size in (3, 8):
        found = facts(network, batch_size=batch_size)
        assert least <= found["hidden"] <= most
        assert found["asked"] == (0 if isinstance(network, Unseeded) else 8)


def test_only_an_attack_loss_that_answers_as_the_deployed_network_excuses_it() -> None:
    inside = LinearClassifier(FLAT, WEIGHTS.clone(), torch.zeros(3))
    purified = Rounding(inside, FLAT).eval()
    assert hidden_of(purified, {}) >= 5
    assert hidden_of(purified, {"bpda": on_logits(purified.bpda_logits, stands_in=True)}) == 0
    for useless in (
        on_logits(inside),
        AttackLoss(lambda images, labels: (purified(images), None)),
        lambda images, labels: nn.functional.cross_entropy(purified(images), labels, reduction="none"),
    ):
        assert hidden_of(purified, {"joint": useless}) == hidden_of(purified, {})


def test_an_attack_loss_that_decides_as_a_vote_does_excuses_the_vote() -> None:
    network = Deciding()
    elected = AttackLoss(lambda images, labels: (network.inside(1 - images), None))
    assert hidden_of(network, {"votes": elected}) == 0
    assert hidden_of(network, {"other": AttackLoss(lambda images, labels: (network(images), None))}) >= 4


def hidden_of(network: nn.Module, losses: dict[str, Any]) -> int:
    found: int = probes.probe(
        network, IMAGES, LABELS, seed=0, batch_size=8, device="cpu", attack_losses=losses
    )["hidden"]
    return found
