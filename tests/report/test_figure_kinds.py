"""Figures choose and order attacks and defenses by what their files declare."""

from __future__ import annotations

import pytest
from tests.ours import cases_here, here, needs

from reproof.claims.vocabulary import variant_of
from reproof.figures.kinds import attack_order, baselines, papers_attack, strong_ascents, trains_plainly

KINDS = {
    "random_noise",
    "fgsm",
    "bim",
    "pgd",
    "autoattack",
    "square",
    "deepfool",
    "carlini_wagner",
    "vanished",
}


def test_attacks_stand_from_noise_to_the_worst_case() -> None:
    """Variants of a kind, searches, ensembles and what is gone stand behind; so do attacks without a budget."""
    followed = here("attacks", "random_noise", "fgsm", "bim", "mim", "pgd")
    ordered = [*followed, "autoattack", "deepfool", "pgd_long", "square", "vanished"]
    assert sorted([*ordered, "worst_case"], key=attack_order) == [*ordered, "worst_case"]


def test_noise_and_the_strong_ascent_are_told_from_the_rest() -> None:
    assert baselines(KINDS) == set(here("attacks", "random_noise"))
    assert strong_ascents(KINDS) == {"pgd"}


@needs("attacks/pgd", "attacks/fgsm")
def test_the_papers_attack_is_pgd_as_its_plain_entry_has_it() -> None:
    assert papers_attack(["worst_case", "pgd_longer", "pgd", "autoattack", "fgsm"]) == "pgd"
    assert papers_attack(["fgsm", "worst_case", "square"]) == "fgsm"
    assert papers_attack(["vanished", "worst_case"]) == "vanished"


TRAININGS = [
    ("undefended", True),
    ("fgsm_training", True),
    ("pgd_training[steps=3]", True),
    ("dynamic_training", True),
    ("domain_adaptation", False),
    ("defensive_features", False),
    ("prototype_conformity", False),
]


@pytest.mark.parametrize(
    ("defense", "plain"),
    [*cases_here("defenses", TRAININGS, lambda case: variant_of(case[0])), ("vanished_training", False)],
)
def test_plain_training_is_with_the_ordinary_loss(defense: str, plain: bool) -> None:
    assert trains_plainly(defense) is plain
