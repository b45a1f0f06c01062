"""What the engine spares changes no result but the one that a setting states: early stop, nesting, sampling."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import decisions, engine, judge
from reproof.attacking.engine import AttackResult
from reproof.attacking.gradient import mean_gradient
from reproof.settings.attack import AttackSettings, Point
from reproof.settings.gradient_ascent import GradientAscentSettings
from tests.ours import here, needs

ASCENDING = [
    name
    for name in registry.names("attacks")
    if issubclass(registry.settings_class("attacks", name), GradientAscentSettings)
]
IMAGES = 60


class Counting(nn.Module):
    """A small curved network that counts the images that pass with a gradient, and without one."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 4, 3))
            self.gradients = self.forwards = 0
            with torch.no_grad():  # so that answers differ
                self.body[2].bias -= self(torch.rand(200, 1, 8, 8)).mean(dim=0) / 40

    def forward(self, images: Tensor) -> Tensor:
        if images.requires_grad:
            self.gradients += len(images)
        else:
            self.forwards += len(images)
        logits: Tensor = self.body(images - 0.5).flatten(2).mean(dim=2) * 40
        return logits


class Noisy(nn.Module):
    """Judge brightness exactly, but where a gradient is asked for, some of the pixels count the wrong way."""

    def __init__(self, share: float = 0.45) -> None:
        super().__init__()
        self.share = share

    def forward(self, images: Tensor) -> Tensor:
        brightness = images.flatten(1).mean(dim=1) - 0.5
        if images.requires_grad:
            drawn = torch.rand(images.shape, device=images.device) < self.share
            pixels = torch.where(drawn, -images, images)
            brightness = pixels.flatten(1).mean(dim=1) - 0.5
        return torch.stack([brightness, -brightness], dim=1) * 20


@functools.cache
def scene() -> tuple[Counting, Tensor, Tensor]:
    """Return a network, images and what it answers to them: all are right."""
    net = Counting().eval()
    images = torch.rand(IMAGES, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = judge.predict(net, images, IMAGES, "cpu").argmax(1)
    assert len(labels.unique()) > 1
    return net, images, labels


def craft(
    net: nn.Module,
    kind: str,
    images: Tensor,
    labels: Tensor,
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> AttackResult:
    declared = registry.settings_class("attacks", kind)
    assert issubclass(declared, AttackSettings)
    clean = judge.predict(net, images, len(images), "cpu").argmax(1)
    chosen: dict[str, Any] = {
        "seed": 0, "batch_size": 25, "device": "cpu", "skip_misclassified": True,
    } | (options or {})  # fmt: skip
    points = chosen.pop("points", None)
    attacking = engine.AttackEngine(net, **chosen)
    return attacking.run(kind, declared.model_validate(settings), images, labels, clean, points)


def iterates(kind: str, epsilon: float, steps: int) -> list[AttackResult]:
    """Return what the attack makes in 1, 2, ..., all of its steps: its iterates, since no step looks ahead."""
    net, images, labels = scene()
    return [
        craft(net, kind, images, labels, epsilons=[epsilon], steps=number) for number in range(1, steps + 1)
    ]


@pytest.mark.parametrize("kind", ASCENDING)
def test_early_stop_keeps_the_first_misclassified_iterate_of_each_image(kind: str) -> None:
    net, images, labels = scene()
    epsilon, steps = 0.06, 8
    expected = images.clone()
    fooled = torch.zeros(IMAGES, dtype=torch.bool)
    if kind == "pgd":  # its start is an iterate too: no step leads anywhere
        still = craft(net, kind, images, labels, epsilons=[epsilon], steps=1, step_size=1e-9)
        fooled = still.predictions["epsilon=0.06"] != labels
        expected = still.images["epsilon=0.06"].clone()
        assert fooled.any(), "some start fools"
    for crafted in iterates(kind, epsilon, steps):
        expected[~fooled] = crafted.images["epsilon=0.06"][~fooled]
        fooled |= crafted.predictions["epsilon=0.06"] != labels
    assert 5 < fooled.sum() < IMAGES - 5, "some are fooled, some are not"
    stopped = craft(net, kind, images, labels, epsilons=[epsilon], steps=steps, early_stop=True)
    assert torch.equal(stopped.predictions["epsilon=0.06"] != labels, fooled)
    torch.testing.assert_close(stopped.images["epsilon=0.06"], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ASCENDING)
def test_early_stop_leaves_the_fooled_out_of_the_passes(kind: str) -> None:
    net, images, labels = scene()
    counts = []
    for early_stop in (False, True):
        net.gradients = 0
        craft(net, kind, images, labels, epsilons=[0.3], steps=10, early_stop=early_stop)
        counts.append(net.gradients)
    assert counts[0] == 10 * IMAGES
    assert counts[1] < 0.6 * counts[0]


@pytest.mark.parametrize("kind", ASCENDING)
def test_early_stop_asks_again_only_of_those_who_seem_fooled(kind: str) -> None:
    """The pass that the gradient needs nominates them; the deployed classifier decides, once for each."""
    net, images, labels = scene()
    forwards = []
    for early_stop in (False, True):
        net.forwards = 0
        craft(net, kind, images, labels, epsilons=[0.06, 0.1], steps=5, early_stop=early_stop)
        forwards.append(net.forwards)
    assert forwards[0] == 3 * IMAGES, "the clean images, and each epsilon's to judge"
    probed = decisions.PASSES * decisions.FEW
    assert forwards[0] + probed < forwards[1] <= forwards[0] + probed + 2 * IMAGES


@pytest.mark.parametrize("kind", ASCENDING)
def test_early_stop_depends_on_no_other_image(kind: str) -> None:
    net, images, labels = scene()
    settings: dict[str, Any] = {"epsilons": [0.06], "steps": 6, "early_stop": True}
    first = craft(net, kind, images, labels, **settings)
    for batch_size in (1, 7, 100):
        other = craft(net, kind, images, labels, {"batch_size": batch_size}, **settings)
        torch.testing.assert_close(
            other.images["epsilon=0.06"], first.images["epsilon=0.06"], rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("kind", ASCENDING)
def test_early_stop_follows_the_classifier_where_a_view_is_maximised(kind: str) -> None:
    """The view says nothing about classes; who is fooled is the classifier's to say."""
    net, images, labels = scene()

    def darken(inputs: Tensor, _: Tensor) -> Tensor:
        return -inputs.flatten(1).sum(dim=1)

    found = [
        craft(
            net, kind, images, labels, {"attack_loss": darken}, epsilons=[0.2], steps=5, early_stop=early_stop
        )
        for early_stop in (False, True)
    ]
    wrong = [crafted.predictions["epsilon=0.2"] != labels for crafted in found]
    assert wrong[0].any()
    assert not (wrong[0] & ~wrong[1]).any(), "who is fooled at the end is fooled"
    moved = [(crafted.images["epsilon=0.2"] - images).abs().flatten(1).amax(dim=1) for crafted in found]
    assert (moved[1] <= moved[0] + 1e-6).all()
    further = (found[1].images["epsilon=0.2"] - found[0].images["epsilon=0.2"]).abs().flatten(1).amax(dim=1)
    assert (further[wrong[1]] > 0.01).any(), "some are left on the way"
    same = ~wrong[1]
    torch.testing.assert_close(found[0].images["epsilon=0.2"][same], found[1].images["epsilon=0.2"][same])


def test_early_stop_spares_restarts_and_keeps_what_they_fool() -> None:
    net, images, labels = scene()
    settings: dict[str, Any] = {"epsilons": [0.05], "steps": 4, "early_stop": True}
    one = craft(net, "pgd", images, labels, **settings, restarts=1).predictions["epsilon=0.05"] != labels
    four = craft(net, "pgd", images, labels, **settings, restarts=4).predictions["epsilon=0.05"] != labels
    last = craft(net, "pgd", images, labels, epsilons=[0.05], steps=4, restarts=4)
    assert not (one & ~four).any()
    assert not ((last.predictions["epsilon=0.05"] != labels) & ~four).any()
    assert four.sum() > one.sum()


@needs("attacks/bim")
def test_an_image_that_is_wrong_already_is_attacked_where_the_study_says_so() -> None:
    """The clean image is no iterate: an image is not left before anything was tried."""
    net, images, labels = scene()
    wrong = (labels + 1) % 4
    result = craft(
        net, "bim", images, wrong, {"skip_misclassified": False}, epsilons=[0.05], steps=3, early_stop=True
    )
    assert result.attacked == IMAGES
    moved = (result.images["epsilon=0.05"] - images).abs().flatten(1).amax(dim=1)
    torch.testing.assert_close(moved, torch.full_like(moved, 0.005))


@pytest.mark.parametrize("early_stop", [False, True])
@pytest.mark.parametrize("kind", ASCENDING)
def test_nested_keeps_the_image_of_the_smallest_epsilon_that_fooled(kind: str, early_stop: bool) -> None:
    net, images, labels = scene()
    epsilons = [0.08, 0.03, 0.12, 0.05]  # the stanza's order is not the order of attack
    settings: dict[str, Any] = {"epsilons": epsilons, "steps": 5, "early_stop": early_stop}
    apart = craft(net, kind, images, labels, **settings)
    nested = craft(net, kind, images, labels, **settings, nested=True)
    assert list(nested.images) == list(apart.images) == [f"epsilon={e}" for e in epsilons]
    expected: dict[str, Tensor] = {}
    fooled = torch.zeros(IMAGES, dtype=torch.bool)
    kept = images.clone()
    accuracies = []
    for epsilon in sorted(epsilons):
        name = f"epsilon={epsilon}"
        kept = torch.where(fooled[:, None, None, None], kept, apart.images[name])
        expected[name] = kept.clone()
        fooled |= apart.predictions[name] != labels
        assert torch.equal(nested.predictions[name] != labels, fooled)
        torch.testing.assert_close(nested.images[name], expected[name], rtol=0, atol=1e-6)
        again = judge.predict(net, nested.images[name], IMAGES, "cpu").argmax(1)
        assert torch.equal(again, nested.predictions[name])
        accuracies.append(float((~fooled).double().mean()))
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] > accuracies[-1]


def test_nested_attacks_only_those_that_are_left() -> None:
    net, images, labels = scene()
    epsilons = [0.05, 0.1, 0.3]
    counts = {}
    for nested in (False, True):
        net.gradients = 0
        crafted = craft(net, "pgd", images, labels, epsilons=epsilons, steps=4, nested=nested)
        counts[nested] = net.gradients
    assert counts[False] == 3 * 4 * IMAGES
    left = [IMAGES] + [int((crafted.predictions[f"epsilon={e}"] == labels).sum()) for e in epsilons[:2]]
    assert counts[True] == 4 * sum(left) < counts[False]


@needs("attacks/bim")
def test_nested_reads_the_gradients_of_those_that_are_left() -> None:
    """BIM's first gradient is shared by all epsilons; whose it is must not shift when images leave."""
    net, images, labels = scene()
    settings: dict[str, Any] = {"epsilons": [0.05, 0.1], "steps": 1, "step_size": 1.0}
    apart = craft(net, "bim", images, labels, **settings)
    nested = craft(net, "bim", images, labels, **settings, nested=True)
    stays = apart.predictions["epsilon=0.05"] == labels
    assert 0 < stays.sum() < IMAGES
    assert torch.equal(nested.images["epsilon=0.1"][stays], apart.images["epsilon=0.1"][stays])
    assert nested.gradient_zero_share == apart.gradient_zero_share == 0


def test_nested_with_nobody_left_ends() -> None:
    net, images, labels = scene()
    crafted = craft(net, "pgd", images, labels, epsilons=[0.5, 0.9], steps=10, nested=True, early_stop=True)
    assert (crafted.predictions["epsilon=0.9"] != labels).all()
    assert torch.equal(crafted.images["epsilon=0.9"], crafted.images["epsilon=0.5"])


def test_given_points_replace_the_settings_own_and_stand_outside_the_nest() -> None:
    net, images, labels = scene()
    points = (Point(name="epsilon", value=0.05, epsilon=0.05), Point(name="psnr", value=20, epsilon=0.1))
    found = craft(net, "pgd", images, labels, {"points": points}, epsilons=[0.3], steps=4, nested=True)
    assert list(found.images) == ["epsilon=0.05", "psnr=20"]
    assert (found.predictions["epsilon=0.05"] != labels).any()
    distance = (found.images["psnr=20"] - images).abs().flatten(1).amax(dim=1)
    assert distance.min() > 0.051, "no image is the smaller epsilon's"
    assert distance.max() <= 0.1 + 1e-6
    alone = craft(net, "pgd", images, labels, {"points": points[1:]}, epsilons=[0.3], steps=4)
    torch.testing.assert_close(alone.images["psnr=20"], found.images["psnr=20"])
    with pytest.raises(engine.StudyError, match="twice"):
        craft(net, "pgd", images, labels, {"points": points[:1] * 2}, epsilons=[0.3])


@pytest.mark.parametrize("kind", ASCENDING)
def test_samples_see_through_a_network_that_draws(kind: str) -> None:
    """One draw points the wrong way in 45 of 100 pixels; the mean of many is right in nearly all."""
    images = torch.full((20, 1, 8, 8), 0.54)
    labels = torch.zeros(20, dtype=torch.long)
    left = {
        samples: (
            craft(Noisy(), kind, images, labels, epsilons=[0.07], steps=1, step_size=1.0, samples=samples)
            .predictions["epsilon=0.07"]
            .eq(labels)
            .double()
            .mean()
        )
        for samples in (1, 400)
    }
    assert left[1] > 0.8
    assert left[400] == 0


def test_the_gradient_is_the_mean_of_the_samples() -> None:
    """Slopes of 1, 2 and 6 in turn have a mean of 3: neither the last, nor the sum, nor the median."""
    slopes = iter([1.0, 2.0, 6.0])

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return images.flatten(1).sum(dim=1) * next(slopes)

    gradient = mean_gradient(loss, torch.ones(2, 1, 1, 1), torch.zeros(2), 3)
    assert torch.equal(gradient, torch.full((2, 1, 1, 1), 3.0))


@pytest.mark.parametrize("kind", ASCENDING)
def test_samples_count_as_passes_and_change_nothing_where_nothing_is_drawn(kind: str) -> None:
    net, images, labels = scene()
    net.gradients = 0
    one = craft(net, kind, images, labels, epsilons=[0.05], steps=3)
    single, net.gradients = net.gradients, 0
    four = craft(net, kind, images, labels, epsilons=[0.05], steps=3, samples=4)
    assert net.gradients == 4 * single
    torch.testing.assert_close(four.images["epsilon=0.05"], one.images["epsilon=0.05"], rtol=0, atol=1e-6)
    declared = registry.settings_class("attacks", kind)
    assert issubclass(declared, AttackSettings)
    passes = [declared.model_validate({"epsilons": [0.1], "steps": 3, "samples": n}).passes() for n in (1, 4)]
    assert passes == [3, 12]


@needs("attacks/bim")
def test_early_stop_goes_by_the_mean_of_the_samples() -> None:
    """Draws that answer wrongly half of the time fool nobody on average: the images stay."""

    class Wavering(nn.Module):
        calls = 0

        def forward(self, images: Tensor) -> Tensor:
            score = images.flatten(1).mean(dim=1) + 2
            if images.requires_grad:
                self.calls += 1
                score = score * (3.0 if self.calls % 2 else -2.0)
            return torch.stack([score, -score], dim=1)

    images = torch.full((4, 1, 2, 2), 0.5)
    result = craft(
        Wavering(),
        "bim",
        images,
        torch.zeros(4, dtype=torch.long),
        epsilons=[0.1],
        steps=4,
        samples=2,
        early_stop=True,
    )
    moved = (result.images["epsilon=0.1"] - images).abs().amax()
    assert moved == pytest.approx(0.04), "all four steps are taken"


@pytest.mark.parametrize("kind", ASCENDING)
def test_the_savings_are_off_unless_asked_for(kind: str) -> None:
    declared = registry.settings_class("attacks", kind)
    settings = declared.model_validate({"epsilons": [0.1]})
    assert isinstance(settings, GradientAscentSettings)
    assert (settings.early_stop, settings.nested, settings.samples) == (False, False, 1)
    for name in ("early_stop", "nested", "samples"):
        assert declared.model_json_schema()["properties"][name]["description"]


def test_bim_mim_and_pgd_are_among_them() -> None:
    assert set(here("attacks", "bim", "mim", "pgd")) <= set(ASCENDING)


def test_the_margin_helps_where_cross_entropy_is_blind() -> None:
    """Logits a thousand times as large: softmax saturates and its gradient is exactly 0; the margin's only grows."""
    net, images, labels = scene()

    class Loud(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            logits: Tensor = 1000 * net(inputs)
            return logits

    settings: dict[str, Any] = {"epsilons": [0.1], "steps": 20}
    plain = craft(Loud(), "pgd", images, labels, **settings)
    margin = craft(Loud(), "pgd", images, labels, loss="margin", **settings)
    honest = craft(net, "pgd", images, labels, loss="margin", **settings)
    fooled = [int((one.predictions["epsilon=0.1"] != labels).sum()) for one in (plain, margin, honest)]
    assert fooled[0] < fooled[1] == fooled[2]
    assert torch.equal(margin.images["epsilon=0.1"], honest.images["epsilon=0.1"])


@pytest.mark.parametrize("kind", here("attacks", "bim", "mim"))
def test_the_margin_rises_towards_the_runner_up(kind: str) -> None:
    """One step on a linear network ends in the corner that two rows of its weights prescribe."""
    _, images, _ = scene()
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 4, bias=False))
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    linear[1].weight.data.copy_(weight)
    logits = linear(images).detach()
    own = logits.argmax(1)
    others = logits.scatter(1, own[:, None], -torch.inf).argmax(1)
    corner = (images + 0.01 * (weight[others] - weight[own]).sign().view_as(images)).clamp(0, 1)
    found = craft(linear, kind, images, own, epsilons=[0.01], steps=1, step_size=1, loss="margin")
    torch.testing.assert_close(found.images["epsilon=0.01"], corner)
    plain = craft(linear, kind, images, own, epsilons=[0.01], steps=1, step_size=1)
    assert not torch.equal(plain.images["epsilon=0.01"], corner)
