"""The composed attack: what each of its parts is for, on models made so that this part alone can take them."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import judge
from reproof.attacking.batch import Batch
from reproof.attacking.engine import AttackEngine, AttackResult
from reproof.attacking.gradient_ascent import maximise
from reproof.attacking.image_noise import ImageNoise
from reproof.attacks import strongest
from reproof.attacks.strongest import ComposedAttack, Settings, smooth
from reproof.models.attack_loss import AttackLoss, on_logits
from reproof.models.classifier import REFUSED, Answers
from tests.ours import needs
from tests.plain_attacks import pgd

SHORT: dict[str, Any] = {
    "steps": 20,
    "restarts": 1,
    "targets": 3,
    "samples": 4,
    "autoattack": False,
    "queries": 0,
}


@functools.cache
def trained(classes: int = 5) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a small network that was trained a little, 40 images that it gets right, and their labels."""
    generator = torch.Generator().manual_seed(3)
    means = torch.rand(classes, 1, 6, 6, generator=generator) * 0.6 + 0.2
    labels = torch.arange(400) % classes
    images = (means[labels] + 0.12 * torch.randn(400, 1, 6, 6, generator=generator)).clamp(0, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 24), nn.ReLU(), nn.Linear(24, classes)
        )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(network(images), labels))
        optimizer.step()
    right = network(images).argmax(dim=1) == labels
    return network.requires_grad_(False).eval(), images[right][:40], labels[right][:40]


def craft(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    losses: Mapping[str, Any] | None = None,
    networks: Mapping[str, nn.Module] | None = None,
    **settings: Any,
) -> AttackResult:
    chosen = Settings.model_validate({"epsilons": [0.1], **SHORT, **settings})
    clean = judge.classes(network, images, 100, "cpu")
    attacker = AttackEngine(
        network,
        device="cpu",
        batch_size=25,
        seed=0,
        skip_misclassified=True,
        attack_losses=losses,
        networks=networks,
    )
    return attacker.run("strongest", chosen, images, labels, clean)


def taken(result: AttackResult, point: str = "epsilon=0.1") -> dict[str, int]:
    """Return the parts that were tried, and how many images each took."""
    by = list(result.taken[point].by.values())
    return {part: by.count(part) for part in result.taken[point].parts}


class Behind(nn.Module):
    """A network that is asked, or answers, through something."""

    def __init__(self, network: nn.Module, before: Callable[[Tensor], Tensor], after: float = 1):
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.before(images)) * self.after
        return logits


class Noisy(nn.Module):
    def __init__(self, network: nn.Module, spread: float):
        super().__init__()
        self.network, self.spread = network, spread

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images + self.spread * torch.randn_like(images))
        return logits


@needs("attacks/square")
def test_each_image_is_taken_once_and_what_is_left_met_every_part() -> None:
    network, images, labels = trained()
    result = craft(network, images, labels, queries=50, epsilons=[0.05, 0.1])
    for point in ("epsilon=0.05", "epsilon=0.1"):
        fooled = result.predictions[point] != labels
        assert 0 < int(fooled.sum()) < len(labels)
        assert set(result.taken[point].by) == set(fooled.nonzero().flatten().tolist())
        assert list(taken(result, point)) == ["cross-entropy", "margin", "targeted margin", "Square"]
        # Judged by what comes back, not by what a part said of itself.
        assert torch.equal(network(result.images[point]).argmax(1), result.predictions[point])
        assert bool(
            ((result.images[point] - images).abs().amax(dim=(1, 2, 3)) <= float(point[8:]) + 1e-6).all()
        )
        # A survivor is where the first part left it: it can be shown to another network.
        assert bool(((result.images[point] != images).flatten(1).any(dim=1)).all())
    small = result.predictions["epsilon=0.05"] != labels
    assert torch.equal(result.images["epsilon=0.1"][small], result.images["epsilon=0.05"][small])
    assert {k: v for k, v in result.taken["epsilon=0.1"].by.items() if small[k]} == result.taken[
        "epsilon=0.05"
    ].by


def test_it_leaves_no_more_than_plain_attacks_do() -> None:
    network, images, labels = trained()
    left = int(
        (
            craft(network, images, labels, targets=9, epsilons=[0.08]).predictions["epsilon=0.08"] == labels
        ).sum()
    )
    stands = torch.ones(len(labels), dtype=torch.bool)
    for loss in ("ce", "margin", "all"):
        stands &= pgd(
            network, lambda x: network(x).argmax(1), images, labels, 0.08, steps=60, restarts=2, loss=loss
        )
    assert 0 < left <= int(stands.sum()) < len(labels)


def test_where_nothing_is_left_nothing_is_asked() -> None:
    network, images, labels = trained()
    asked: list[int] = []

    def counted(shown: Tensor) -> Tensor:
        asked.append(len(shown))
        return network(shown)

    losses = {"other": on_logits(counted)}
    assert taken(craft(network, images, labels, losses, epsilons=[1.0]), "epsilon=1") == {"cross-entropy": 40}
    assert asked == []
    craft(network, images, labels, losses, epsilons=[0.08])
    assert 0 < max(asked) < 25


def test_an_attack_loss_takes_what_the_logits_hide() -> None:
    """Logits a thousand times too large: neither a gradient of softmax nor a step towards another class is left."""
    network, images, labels = trained()
    hidden = Behind(network, lambda shown: shown.detach() + 0 * shown)
    plain = craft(hidden, images, labels)
    assert taken(plain) == {"cross-entropy": 0, "margin": 0, "targeted margin": 0}
    shown = craft(hidden, images, labels, {"seen": on_logits(network)})
    assert taken(shown)["seen"] > 10
    # A loss that says of no logits what they are is added to a form of the model's.
    told = craft(
        hidden,
        images,
        labels,
        {"seen": lambda x, y: nn.functional.cross_entropy(network(x), y, reduction="none")},
    )
    assert taken(told)["seen"] > 10
    honest = craft(network, images, labels)
    assert int((shown.predictions["epsilon=0.1"] == labels).sum()) <= int(
        (honest.predictions["epsilon=0.1"] == labels).sum()
    )


def test_the_margin_takes_the_cross_entropy_s_place_in_an_attack_loss() -> None:
    """What the attack loss adds misleads its own form; only beside the margin, a thousand times as large, it does not."""
    network, images, labels = trained()
    hidden = Behind(network, lambda shown: shown.detach() + 0 * shown)
    misleading = AttackLoss(
        lambda x, y: (1e3 * network(x), None), own=lambda x, y: network(x).gather(1, y[:, None]).squeeze(1)
    )
    found = taken(craft(hidden, images, labels, {"odd": misleading}))
    assert found["odd"] == 0
    assert found["odd, margin"] > 10


def test_it_aims_at_each_of_the_likeliest_classes() -> None:
    """The targets that it is told to try, likeliest first, and no more than there are."""
    network, images, labels = trained()
    aims: list[Tensor] = []
    view = AttackLoss(
        lambda x, y: (network(x) + 0 * y[:, None], None), own=lambda x, y: 0 * x.flatten(1).sum(dim=1)
    )

    class Seen(AttackLoss):
        def with_form(self, form: Any) -> Any:
            inner = super().with_form(form)

            def loss(x: Tensor, y: Tensor) -> Tensor:
                if y.ndim == 2 and len(aims) < 99:
                    aims.append(y)
                return inner(x, y)

            return loss

    batch = Batch(
        network,
        images[:6],
        labels[:6],
        ImageNoise("", range(6)),
        0.0,
        attack_losses={"v": Seen(view.parts, view.own)},
    )
    chosen = Settings.model_validate({"epsilons": [0.0], **SHORT, "steps": 1, "targets": 9})
    ComposedAttack(chosen).perturb(batch)
    order = network(images[:6]).argsort(dim=1, descending=True)
    assert [aim[:, 1].tolist() for aim in aims] == [order[:, place].tolist() for place in (1, 2, 3, 4)]
    assert all(torch.equal(aim[:, 0], labels[:6]) for aim in aims)
    assert list(batch.taken.parts) == [
        "cross-entropy",
        "margin",
        "v",
        "v, margin",
        "targeted margin",
        "v, targeted margin",
    ]


def test_a_purifier_is_attacked_through_its_stand_in() -> None:
    """The purifier mirrors its image: the network behind it, asked for a gradient, knows nothing of that."""
    network, images, labels = trained()
    images = images.flip(3)

    class Mirrored(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, shown: Tensor) -> Tensor:
            logits: Tensor = network(shown if shown.requires_grad else shown.flip(3))
            return logits

    deployed = Mirrored()
    past = taken(craft(deployed, images, labels))
    bpda = on_logits(lambda shown: network(shown.flip(3)), stands_in=True)
    found = craft(deployed, images, labels, {"bpda": bpda})
    parts = taken(found)
    assert list(parts)[:5] == ["cross-entropy", "margin", "bpda", "bpda, margin", "bpda, smoothed margin"]
    assert sum(past.values()) < 5
    assert parts["bpda"] > 10
    assert torch.equal(
        network(found.images["epsilon=0.1"].flip(3)).argmax(1), found.predictions["epsilon=0.1"]
    )


def test_past_a_purifier_the_model_is_asked_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its logits are not those that are followed: the network inside, and a mean over neighbours."""
    asked: list[tuple[bool, int]] = []

    def spying(*arguments: Any, leave: Any, looks: int, **more: Any) -> Tensor:
        asked.append((leave is not None, looks))
        return maximise(*arguments, leave=leave, looks=looks, **more)

    monkeypatch.setattr(strongest, "maximise", spying)
    network, images, labels = trained()
    deployed = Behind(network, lambda shown: shown.flip(3))
    bpda = on_logits(lambda shown: network(shown.flip(3)), stands_in=True)
    craft(deployed, images, labels, {"bpda": bpda}, epsilons=[0.01])
    # Cross-entropy and margin on the network inside; the same on its stand-in, which tells itself; smoothed; three aims
    # at each.
    assert asked[:5] == [(False, 5), (False, 5), (True, 0), (True, 0), (False, 5)]
    assert asked[5:11] == [(False, 5)] * 3 + [(True, 0)] * 3
    asked.clear()
    craft(network, images, labels, epsilons=[0.01])
    assert set(asked) == {(True, 0)}
    asked.clear()
    craft(Noisy(network, 0.05), images, labels, epsilons=[0.01])
    assert set(asked) == {(False, 0)}, "one lucky draw is no misclassified image"


def test_a_smoothed_gradient_sees_over_the_edge_of_a_step() -> None:
    """The mean over neighbours of a step function has a slope; the step function itself has none."""

    def step(images: Tensor, labels: Tensor) -> Tensor:
        rounded = (images > 0.5).float() * images  # slope 1 above the step alone
        return rounded.flatten(1).sum(dim=1)

    images = torch.full((2, 1, 1, 2), 0.45, requires_grad=True)
    (flat,) = torch.autograd.grad(step(images, torch.zeros(2)).sum(), images)
    assert torch.equal(flat, torch.zeros_like(flat))
    smoothed = smooth(step, 0.1, 400)
    (slope,) = torch.autograd.grad(smoothed(images, torch.zeros(2)).sum(), images)
    # A quarter of the neighbours in ±0.1 around 0.45 lies above 0.5.
    assert float(slope.mean()) == pytest.approx(0.25, abs=0.05)
    assert not torch.equal(smoothed(images, torch.zeros(2)), smoothed(images, torch.zeros(2)))


def test_a_network_that_draws_is_attacked_on_the_mean_of_its_draws() -> None:
    """A lucky draw takes nobody: who counts as taken is wrong in most draws."""
    network, images, labels = trained()
    noisy = Noisy(network, 0.25)
    result = craft(noisy, images, labels, samples=16, epsilons=[0.15])
    assert "AutoAttack" not in taken(result, "epsilon=0.15")
    moved = [result.images["epsilon=0.15"][position] for position in result.taken["epsilon=0.15"].by]
    meant = [labels[position] for position in result.taken["epsilon=0.15"].by]
    assert len(moved) > 10
    torch.manual_seed(1)
    wrong = (
        torch.stack([noisy(torch.stack(moved)).argmax(1) != torch.stack(meant) for _ in range(200)])
        .float()
        .mean(0)
    )
    assert float((wrong > 0.4).float().mean()) > 0.9


@needs("attacks/square")
def test_a_detached_network_is_left_to_the_search_by_scores() -> None:
    network, images, labels = trained()
    detached = Behind(network, torch.Tensor.detach)
    found = taken(craft(detached, images, labels, queries=300, epsilons=[0.2]), "epsilon=0.2")
    assert found["cross-entropy"] + found["margin"] + found["targeted margin"] < 5
    assert found["Square"] > 10


def test_images_made_on_another_network_count_where_they_fool_the_model() -> None:
    network, images, labels = trained()
    hidden = Behind(network, lambda shown: shown.detach() + 0 * shown)
    found = taken(craft(hidden, images, labels, networks={"twin": network}))
    assert found["transfer from twin"] > 10
    assert sum(found.values()) == found["transfer from twin"]


@needs("attacks/autoattack", "attacks/square")
def test_autoattack_asks_the_logits_behind_a_purifier() -> None:
    """Square is not run twice, since AutoAttack has it, but for a purifier: there it starts anew."""
    network, images, labels = trained()
    images, labels = images[:5], labels[:5]
    plain = craft(network, images, labels, autoattack=True, queries=20, steps=1, targets=0, epsilons=[0.05])
    assert list(taken(plain, "epsilon=0.05")) == ["cross-entropy", "margin", "AutoAttack"]
    hidden = Behind(network, lambda shown: shown.detach() + 0 * shown)
    losses = {"seen": on_logits(network, stands_in=True)}
    found = taken(
        craft(
            hidden, images, labels, losses, autoattack=True, queries=20, steps=1, targets=0, epsilons=[0.08]
        ),
        "epsilon=0.08",
    )
    assert [part for part in found if "AutoAttack" in part or part == "Square"] == [
        "AutoAttack on seen",
        "Square",
    ]
    assert found["AutoAttack on seen"] > 0


@needs("attacks/square")
def test_past_a_purifier_square_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as PGD; elsewhere once."""
    network, images, labels = trained()
    asked: list[int] = []

    def built(settings: Any, point: Any) -> Any:
        asked.append(settings.restarts)
        return square.RandomSquaresAttack(1, restarts=1)

    square = importlib.import_module("reproof.attacks.square")
    monkeypatch.setattr(square, "build", built)
    for losses, restarts in (({"seen": on_logits(network, stands_in=True)}, 3), ({}, 1)):
        asked.clear()
        craft(network, images, labels, losses, queries=1, steps=1, targets=0, restarts=3, epsilons=[0.01])
        assert set(asked) == {restarts}


@needs("attacks/autoattack", "attacks/square")
def test_square_is_run_where_autoattack_finds_no_logits_to_ask() -> None:
    network, images, labels = trained()
    hidden = Behind(network, lambda shown: shown.detach() + 0 * shown)
    losses = {"seen": AttackLoss(lambda shown, labels: (network(shown) / 1e9, None), stands_in=True)}
    found = taken(craft(hidden, images[:3], labels[:3], losses, autoattack=True, queries=5, steps=1, epsilons=[1e-3]),
                  "epsilon=0.001")  # fmt: skip
    assert [part for part in found if "AutoAttack" in part or part == "Square"] == ["Square"]


def test_it_does_without_attacks_whose_files_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images, labels = trained()
    declared = registry.attack
    monkeypatch.setattr(registry, "attack", lambda kind: None if kind in Settings.runs else declared(kind))
    found = taken(
        craft(network, images, labels, autoattack=True, queries=20, epsilons=[0.05]), "epsilon=0.05"
    )
    assert list(found) == ["cross-entropy", "margin", "targeted margin"]


def test_an_attack_loss_that_wants_no_refusal_is_none_of_it() -> None:
    """Whoever is refused is not right, which is all that this attack asks for."""
    network, images, labels = trained()
    evading = replace(on_logits(network), accepted=True)
    found = taken(craft(network, images, labels, {"evading": evading}, epsilons=[0.05]), "epsilon=0.05")
    assert list(found) == ["cross-entropy", "margin", "targeted margin"]


class Refusing(nn.Module):
    """A network that refuses an image whose score lies above a threshold. None of its losses says so."""

    def __init__(self, network: nn.Module, score: Callable[[Tensor], Tensor], threshold: float):
        super().__init__()
        self.network, self.score, self.threshold = network, score, threshold

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits

    def answers(self, images: Tensor) -> Answers:
        logits = self(images)
        refused = self.score(images) > self.threshold
        return Answers(logits.argmax(dim=1).masked_fill(refused, REFUSED), {}, logits)


def unsure(network: nn.Module) -> Refusing:
    """Return a network that refuses what it is not sure of: each boundary lies within a band of refusals."""
    return Refusing(network, lambda shown: -network(shown).softmax(dim=1).amax(dim=1), -0.8)


def rough(images: Tensor) -> Tensor:
    """Return how far images are from their own blur (n,)."""
    blur = nn.functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    return (images - blur).flatten(1).norm(dim=1)


def won_by_pgd(network: Refusing, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Return which images some iterate of 40 plain steps on cross-entropy makes wrong and accepted, bool (n,)."""
    moved, won = images.clone(), torch.zeros(len(images), dtype=torch.bool)
    for _ in range(40):
        leaf = moved.clone().requires_grad_()
        loss = nn.functional.cross_entropy(network(leaf), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
        moved = (moved + epsilon / 10 * gradient.sign()).clamp(images - epsilon, images + epsilon).clamp(0, 1)
        classes = network.answers(moved).classes
        won |= (classes != labels) & (classes != REFUSED)
    return won


def counts(result: AttackResult, labels: Tensor, point: str) -> tuple[int, int, int]:
    """Return how many images are right, refused, and wrong and accepted."""
    classes = result.predictions[point]
    right, refused = classes == labels, classes == REFUSED
    return int(right.sum()), int(refused.sum()), int((~right & ~refused).sum())


def test_it_does_not_stop_at_a_refusal() -> None:
    """All that is right is refused on the way to another class, where the first part stops; PGD itself goes on."""
    network, images, labels = trained()
    refusing = unsure(network)
    epsilons = [0.1, 0.2]
    result = craft(refusing, images, labels, epsilons=epsilons)
    before = refusing.answers(images).classes
    for epsilon in epsilons:
        point = f"epsilon={epsilon:g}"
        right, refused, wrong = counts(result, labels, point)
        plain = int(won_by_pgd(refusing, images, labels, epsilon).sum())
        assert wrong >= plain > 8, (right, refused, wrong)
        assert torch.equal(
            judge.classes(refusing, result.images[point], 100, "cpu"), result.predictions[point]
        )
        # Whatever is not right any more, its part is known, and it was right before.
        taken_ones = set(result.taken[point].by)
        assert taken_ones == set(
            ((before == labels) & (result.predictions[point] != labels)).nonzero().flatten().tolist()
        )
    # What a smaller budget had refused is attacked again, and stays refused at least.
    small, large = (result.predictions[f"epsilon={epsilon:g}"] for epsilon in epsilons)
    assert not ((small != labels) & (large == labels)).any()
    assert int(((small == REFUSED) & (large != REFUSED)).sum()) > 0


def test_what_is_right_is_what_an_attack_content_with_refusals_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To go on past refusals gives no image back; what is refused as it is may still be made wrong and accepted."""
    network, images, labels = trained()
    refusing = Refusing(network, rough, float(rough(images).quantile(0.7)))
    result = craft(refusing, images, labels)
    with monkeypatch.context() as patch:
        patch.setattr(ComposedAttack, "_past_refusals", lambda self, batch, best, refused: best)
        content = craft(refusing, images, labels)
    (right, _, wrong), (still_right, _, fewer) = (
        counts(one, labels, "epsilon=0.1") for one in (result, content)
    )
    assert right == still_right
    assert wrong > fewer
    found = result.predictions["epsilon=0.1"]
    before = refusing.answers(images).classes
    assert int(((before == REFUSED) & (found != REFUSED)).sum()) > 0
    assert not ((before == REFUSED) & (found == labels)).any()
    assert not set(result.taken["epsilon=0.1"].by) & set((before == REFUSED).nonzero().flatten().tolist())


def test_an_image_is_drawn_back_until_it_is_accepted() -> None:
    """One pixel: class 0 up to 0.5, and refused beyond 0.6; all that PGD's steps reach lies beyond, or is right."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[-1.0], [1.0]]))
        network[1].bias.copy_(torch.tensor([0.5, -0.5]))
    refusing = Refusing(network.eval(), lambda shown: shown.flatten(1)[:, 0], 0.6)
    images, labels = torch.full((4, 1, 1, 1), 0.3), torch.zeros(4, dtype=torch.int64)
    batch = Batch(refusing, images, labels, ImageNoise("", range(4)), 0.5, past_refusals=True)
    attack = ComposedAttack(Settings.model_validate({"epsilons": [0.5], **SHORT}))
    beyond = torch.tensor([0.8, 0.55, 0.45, 0.7]).view(4, 1, 1, 1)
    found = attack._drawn_back(batch, beyond)
    assert batch.predict(found).tolist() == [1, 1, 0, 1]
    assert found.flatten()[[1, 2]].tolist() == beyond.flatten()[[1, 2]].tolist()


def test_an_attack_loss_that_evades_refusals_is_followed_past_them() -> None:
    network, images, labels = trained()
    refusing = unsure(network)
    asked: list[int] = []

    def parts(shown: Tensor, labels: Tensor) -> tuple[Tensor, None]:
        asked.append(len(shown))
        return network(shown), None

    result = craft(refusing, images, labels, {"evading": AttackLoss(parts, accepted=True)})
    assert "evading" not in taken(result)  # it takes nothing from who is right
    assert asked
    assert max(asked) < 25  # only what is refused
