"""Attacks of Foolbox by the engine: they run as they are, and are judged as ours are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import foolbox
import pytest
import torch
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import engine, judge, threat_model
from reproof.attacking.engine import AttackResult
from reproof.attacking.foolbox_adapter import adapt
from reproof.errors import BudgetError, StudyError
from reproof.settings.attack import AttackSettings, EpsilonAttackSettings, Point
from reproof.settings.parameters import PrintedNonNegative
from reproof.settings.values import Norm
from tests.ours import here


@pytest.fixture(scope="module")
def net() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 5)).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(9, 1, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def user_attack(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put an attack in the place of a file of a user's; ours are found as ever."""
    load = registry.load

    def put(attack: Any) -> None:
        file = SimpleNamespace(build=lambda settings, point: attack)
        monkeypatch.setattr(
            registry, "load", lambda family, name: file if name == "theirs" else load(family, name)
        )

    return put


def run(
    net: nn.Module, images: Tensor, kind: str, settings: AttackSettings | None = None, **options: Any
) -> AttackResult:
    labels = judge.predict(net, images, 9, "cpu").argmax(1)
    chosen: dict[str, Any] = {
        "seed": 0,
        "batch_size": 4,
        "device": "cpu",
        "skip_misclassified": True,
    } | options
    declared = settings or EpsilonAttackSettings(epsilons=(0.1, 0.2))
    return engine.AttackEngine(net, **chosen).run(kind, declared, images, labels, labels)


def settings_of(kind: str, **stanza: Any) -> AttackSettings:
    declared = registry.settings_class("attacks", kind).model_validate({"epsilons": [0.1, 0.2], **stanza})
    assert isinstance(declared, AttackSettings)
    return declared


def assert_same(first: AttackResult, second: AttackResult) -> None:
    assert first.images.keys() == second.images.keys()
    for name in first.images:
        assert torch.equal(first.images[name], second.images[name])
        assert torch.equal(first.predictions[name], second.predictions[name])
    assert first.unchanged == second.unchanged


LIBRARY = {
    "fgsm": foolbox.attacks.LinfFastGradientAttack(),
    "bim": foolbox.attacks.LinfBasicIterativeAttack(rel_stepsize=0.1, steps=10, random_start=False),
}
LIBRARY = {kind: LIBRARY[kind] for kind in here("attacks", *LIBRARY)}


@pytest.mark.parametrize("kind", LIBRARY)
def test_foolbox_is_an_oracle_for_our_loop(
    net: nn.Module, images: Tensor, user_attack: Any, kind: str
) -> None:
    user_attack(LIBRARY[kind])
    assert_same(run(net, images, "theirs"), run(net, images, kind, settings_of(kind)))


@pytest.mark.parametrize("kind", LIBRARY)
def test_its_gradient_attacks_maximise_a_view(
    net: nn.Module, images: Tensor, user_attack: Any, kind: str
) -> None:
    def view(shown: Tensor, labels: Tensor) -> Tensor:
        return -shown.flatten(1).sum(dim=1) + net(shown).logsumexp(dim=1)

    user_attack(LIBRARY[kind])
    found = run(net, images, "theirs", attack_loss=view)
    assert_same(found, run(net, images, kind, settings_of(kind), attack_loss=view))
    assert (found.images["epsilon=0.1"] <= images).float().mean() > 0.9
    assert "get_loss_fn" not in vars(LIBRARY[kind])
    assert all(parameter.grad is None for parameter in net.parameters())


def test_random_starts_of_its_own_are_seeded(net: nn.Module, images: Tensor, user_attack: Any) -> None:
    user_attack(foolbox.attacks.LinfPGD(steps=3))
    first, again, other = (run(net, images, "theirs", seed=seed) for seed in (0, 0, 1))
    assert_same(first, again)
    assert not torch.equal(first.images["epsilon=0.1"], other.images["epsilon=0.1"])
    assert first.gradient_zero_share is None


@pytest.mark.parametrize(
    "attack",
    [foolbox.attacks.L2CarliniWagnerAttack(steps=2), foolbox.attacks.LinfAdditiveUniformNoiseAttack()],
)
def test_attacks_that_maximise_nothing_take_no_view(
    net: nn.Module, images: Tensor, user_attack: Any, attack: Any
) -> None:
    user_attack(attack)
    with pytest.raises(StudyError, match="leave `view` out"):
        run(net, images, "theirs", attack_loss=lambda shown, labels: shown.flatten(1).sum(dim=1))


def test_one_that_stays_in_a_ball_wants_an_epsilon(net: nn.Module, images: Tensor, user_attack: Any) -> None:
    class Free(AttackSettings):
        def points(self) -> tuple[Point, ...]:
            return (Point(name="steps", value=3, epsilon=None),)

    user_attack(foolbox.attacks.LinfPGD(steps=3))
    with pytest.raises(StudyError, match="names no epsilon"):
        run(net, images, "theirs", Free())


class InL1(EpsilonAttackSettings):
    norms: ClassVar[tuple[Norm, ...]] = ("l1",)
    epsilons: tuple[PrintedNonNegative, ...]


class InL2(InL1):
    norms: ClassVar[tuple[Norm, ...]] = ("l2",)


class AsBefore(InL1):
    """Says its norm in the way that entries of one norm used to."""

    norm: ClassVar[Norm] = "l2"


@pytest.mark.parametrize(
    ("declared", "attack", "epsilon"),
    [
        (InL2, foolbox.attacks.L2PGD(steps=5), 1.5),
        (AsBefore, foolbox.attacks.L2PGD(steps=5), 1.5),
        (InL1, foolbox.attacks.L1FastGradientAttack(), 4.0),
    ],
)
def test_in_any_norm_it_is_held_to_its_budget(
    net: nn.Module, images: Tensor, user_attack: Any, declared: type[InL1], attack: Any, epsilon: float
) -> None:
    user_attack(attack)
    settings = declared(epsilons=(epsilon,))
    norm = settings.budget_norm
    assert norm is not None
    result = run(net, images, "theirs", settings)
    (found,) = result.images.values()
    assert list(result.images) == [f"norm={norm} epsilon={epsilon:g}"]
    assert threat_model.distances(images, found)[norm].max() > 0.5 * epsilon
    threat_model.check(images, found, norm, epsilon, "theirs")
    assert result.unchanged[f"norm={norm} epsilon={epsilon:g}"] == 0


def test_a_broken_l1_budget_raises(net: nn.Module, images: Tensor, user_attack: Any) -> None:
    user_attack(foolbox.attacks.L2PGD(steps=5))
    with pytest.raises(BudgetError, match="lies at l1 distance"):
        run(net, images, "theirs", InL1(epsilons=(1.0,)))


@pytest.mark.parametrize(
    ("declared", "attack"),
    [
        (InL2, foolbox.attacks.L2DeepFoolAttack(steps=20)),
        (InL1, foolbox.attacks.L1FMNAttack(steps=40)),
    ],
)
def test_one_that_minimises_fails_where_it_goes_farther(
    net: nn.Module, images: Tensor, user_attack: Any, declared: type[InL1], attack: Any
) -> None:
    class Free(AttackSettings):
        def points(self) -> tuple[Point, ...]:
            return (Point(name="steps", value=20, epsilon=None),)

    user_attack(attack)
    free = run(net, images, "theirs", Free())
    norm = declared.norms[0]
    lengths = threat_model.distances(images, free.images["steps=20"])[norm]
    fooled = lengths > 0
    assert fooled.sum() >= 7
    budget = round(float(lengths[fooled].median()) + 1e-3, 4)
    held = run(net, images, "theirs", declared(epsilons=(budget,)))
    (found,), (predicted,) = held.images.values(), held.predictions.values()
    near = fooled & (lengths <= budget)
    assert 0 < near.sum() < fooled.sum()
    torch.testing.assert_close(found[near], free.images["steps=20"][near])
    assert torch.equal(found[~near], images[~near])
    labels = judge.predict(net, images, 9, "cpu").argmax(1)
    assert torch.equal(predicted == labels, ~near)


def test_what_is_neither_is_refused(net: nn.Module, images: Tensor, user_attack: Any) -> None:
    with pytest.raises(StudyError, match="attack mine: build\\(\\) should return an object with perturb"):
        adapt(object(), "mine")
    user_attack(lambda batch: batch.images)
    with pytest.raises(StudyError, match="attack theirs"):
        run(net, images, "theirs")


def test_foolbox_is_not_imported_for_our_own_attacks() -> None:
    """It takes long, and every attack job would wait."""
    ours = ", ".join(f"reproof.attacks.{name}" for name in registry.names("attacks"))
    code = f"import sys, reproof.attacking.engine, {ours}; assert 'foolbox' not in sys.modules"
    source = str(Path(engine.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": source})


@pytest.mark.parametrize("edge", [-1e-7, 1 + 1.2e-7])
def test_an_image_that_rounding_put_outside_is_attacked_and_not_died_of(
    user_attack: Any, net: nn.Module, images: Tensor, edge: float
) -> None:
    """Foolbox holds images against [0, 1] by a bare assertion, to the last bit."""
    outside = images.clone()
    outside[:, 0, 0, 0] = edge
    user_attack(foolbox.attacks.LinfPGD(steps=3, random_start=False))
    found = run(net, outside, "theirs")
    assert_same(found, run(net, outside.clamp(0, 1), "theirs"))
    assert min(float(moved.min()) for moved in found.images.values()) >= 0
    model = foolbox.PyTorchModel(net, bounds=(0, 1))
    with pytest.raises(AssertionError):
        foolbox.attacks.LinfPGD(steps=3).run(
            model, outside, foolbox.criteria.Misclassification(torch.zeros(9)), epsilon=0.1
        )
