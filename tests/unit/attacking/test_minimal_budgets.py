"""Attacks that look for the nearest image, held to budgets: what lies farther has failed. No attack is named here."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from reproof import registry
from reproof.attacking import engine, judge, threat_model
from reproof.settings.attack import MinimalAttackSettings
from tests.digits_network import trained

KINDS = [
    kind
    for kind in registry.names("attacks")
    if issubclass(registry.attack(kind) or object, MinimalAttackSettings)
]
BUDGETS = (0.3, 0.6)


def declare(kind: str, **entry: Any) -> MinimalAttackSettings:
    declared = registry.attack(kind)
    assert declared is not None
    settings = declared.model_validate({**declared.example, **entry})  # type: ignore[attr-defined]
    assert isinstance(settings, MinimalAttackSettings)
    return settings


def run(settings: MinimalAttackSettings, kind: str) -> tuple[engine.AttackResult, Tensor]:
    net, images, labels = trained()
    clean = judge.predict(net, images, 64, "cpu").argmax(1)
    attacking = engine.AttackEngine(net, seed=0, batch_size=64, device="cpu", skip_misclassified=True)
    return attacking.run(kind, settings, images, labels, clean), clean == labels


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_farther_than_the_budget_comes_back_as_it_was_and_counts_as_right(kind: str) -> None:
    _, images, labels = trained()
    free, right = run(declare(kind), kind)
    (found,), (predicted,) = free.images.values(), free.predictions.values()
    lengths = threat_model.distances(images, found)["l2"]
    fooled = right & (predicted != labels)
    budgets = [round(float(lengths[fooled].quantile(share)), 3) for share in (0.3, 0.7)] + [4.0]
    settings = declare(kind, epsilons=budgets)
    assert settings.budget_norm == "l2"
    held, _ = run(settings, kind)
    assert list(held.images) == [f"norm=l2 epsilon={epsilon:g}" for epsilon in budgets]
    met = []
    for epsilon, moved, classes in zip(budgets, held.images.values(), held.predictions.values(), strict=True):
        near = fooled & (lengths <= epsilon)
        torch.testing.assert_close(moved[near], found[near], atol=1e-4, rtol=0)
        assert (classes[near] != labels[near]).all()
        assert torch.equal(moved[~near], images[~near])
        assert (classes == labels).sum() == (right & ~near).sum()
        threat_model.check(images, moved, "l2", epsilon, kind)
        met.append(int(near.sum()))
    assert 0 < met[0] < met[1] < met[2], "each budget decides something"


@pytest.mark.parametrize("kind", KINDS)
def test_budgets_of_one_run_are_those_of_runs_of_their_own(kind: str) -> None:
    together, _ = run(declare(kind, epsilons=BUDGETS), kind)
    for epsilon in BUDGETS:
        alone, _ = run(declare(kind, epsilons=[epsilon]), kind)
        for name, moved in alone.images.items():
            torch.testing.assert_close(together.images[name], moved, atol=1e-4, rtol=0)
            assert torch.equal(together.predictions[name], alone.predictions[name])


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_budget_it_is_told_as_ever(kind: str) -> None:
    settings = declare(kind)
    assert "epsilons" not in settings.model_dump(mode="json")
    assert all(point.epsilon is None for point in settings.points())
