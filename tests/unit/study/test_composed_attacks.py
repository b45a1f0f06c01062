"""Every study meets every model with a composed attack, at the budgets of the papers' suites, whole where it is large.

Which attack that is its Settings declare (`composed`); no name of ours is looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reproof.plan.jobs import Plan
from reproof.settings.attack import EpsilonAttackSettings
from reproof.study import reader
from reproof.study.layers import read_yaml
from tests.ours import WHOLE, needs
from tests.unit.study.test_studies import ROOT, planned

BUDGETS = {
    "digits": {0.1, 0.3},
    "mnist": {0.1, 0.3},
    "fashion_mnist": {0.1, 0.3},
    "cifar10": {0.03, 8 / 255, 0.1},  # the last is DKD's
    "cifar100": {0.03, 8 / 255},
    "svhn": {0.03, 8 / 255},
    "ilsvrc": {8 / 255, 16 / 255},
}
"""Data set -> L-infinity budgets at which every model of it meets the composed attack; of others one is enough."""
FILES = {path.stem: path for path in sorted((ROOT / "studies").glob("*.yaml"))}
STUDIES = [
    ("", ""),
    *((name, budget) for name, path in FILES.items() for budget in read_yaml(path).get("budgets") or [""]),
]
"""File of a study, the default one without a name, and each of its budgets."""
FULL = [(name, budget) for name, budget in STUDIES if budget == "paper" or name == "paper"]


def composed(plan: Plan, model: str) -> list[tuple[EpsilonAttackSettings, int, tuple[str, ...]]]:
    """Return the composed attacks that are made on a model itself, with their images and the networks they take."""
    found = []
    for threat in plan.threats_on(model).values():
        suite = plan.study.suites[threat.suite]
        if (
            threat.setting != "white_box"
            or plan.sources(model, threat) != (model,)
            or suite.members != "joint"
        ):
            continue
        for choice in plan.attacks_on(model, threat.suite).values():
            if choice.settings.composed:
                images = min(suite.images, choice.settings.images or suite.images)
                found.append((choice.settings, images, plan.threats.transfer_from(model, threat.suite)))
    return found


def lacking(plan: Plan) -> dict[str, set[float]]:
    """Return the models that lack a composed attack -> the budgets at which they do."""
    lacks = {}
    for name, model in plan.study.models.items():
        met = {float(epsilon) for settings, *_ in composed(plan, name) for epsilon in settings.epsilons}
        missing = BUDGETS.get(plan.study.datasets[model.dataset].settings.key, set()) - met
        if missing or not met:
            lacks[name] = missing
    return lacks


@needs("attacks/strongest")
@pytest.mark.parametrize(("name", "budget"), STUDIES)
def test_every_model_of_every_study_meets_a_composed_attack(name: str, budget: str) -> None:
    plan = planned(name, budget)
    assert lacking(plan) == {}
    models = plan.study.models
    for name_of_model, model in models.items():
        others = {
            other
            for other, its in models.items()
            if (its.dataset, its.defense_key, its.training_key) == (model.dataset, "undefended", "clean")
        } - {name_of_model}
        for _, images, networks in composed(plan, name_of_model):
            assert images >= 48
            assert set(networks) <= others
            assert networks or not others or not WHOLE, f"{name_of_model}: no images of other networks"


@needs("attacks/strongest")
@pytest.mark.parametrize(("name", "budget"), FULL)
def test_the_papers_budgets_leave_out_no_part_of_it(name: str, budget: str) -> None:
    """Its settings are the defaults, AutoAttack and Square among them; only budgets and images are the study's."""
    plan = planned(name, budget)
    for model in plan.study.models:
        for settings, images, _ in composed(plan, model):
            assert settings == type(settings)(epsilons=settings.epsilons, images=settings.images)
            assert settings.autoattack  # type: ignore[attr-defined]
            assert images >= 500


@needs("attacks/strongest", "datasets/fashion_mnist", "architectures/vgg")
@pytest.mark.parametrize(
    ("changes", "spared"),
    [
        ({"threats": {"strongest": {"exclude": ["vgg19"]}}}, lambda name: name == "vgg19"),
        ({"threats": {"strongest": {"targets": ["undefended"]}}}, lambda name: name != "undefended"),
        ({"threats": {"strongest": {"setting": "black_box", "source": "vgg19"}}}, lambda name: True),
        (
            {"suites": {"strongest": {"settings": {"strongest": {"epsilons": [0.1, 0.25]}}}}},
            lambda name: True,
        ),
    ],
)
def test_a_study_that_spares_a_model_or_a_budget_is_noticed(
    changes: dict[str, Any], spared: Callable[[str], bool]
) -> None:
    plan = Plan(reader.load([FILES["fashion_mnist"]], changes))
    assert lacking(plan).keys() == set(filter(spared, plan.study.models))
