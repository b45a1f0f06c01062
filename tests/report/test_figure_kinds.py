"""Figures choose and order attacks and defenses by what their files declare."""

from __future__ import annotations

import pytest

from reproof.figures.kinds import attack_order, baselines, strong_ascents, trains_plainly

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
    ordered = [
        "random_noise",
        "fgsm",
        "bim",
        "mim",
        "pgd",
        "autoattack",
        "deepfool",
        "pgd_long",
        "square",
        "vanished",
    ]
    assert sorted([*ordered, "worst_case"], key=attack_order) == [*ordered, "worst_case"]


def test_noise_and_the_strong_ascent_are_told_from_the_rest() -> None:
    assert baselines(KINDS) == {"random_noise"}
    assert strong_ascents(KINDS) == {"pgd"}


@pytest.mark.parametrize(
    ("defense", "plain"),
    [
        ("undefended", True),
        ("fgsm_training", True),
        ("pgd_training[steps=3]", True),
        ("dynamic_training", True),
        ("domain_adaptation", False),
        ("defensive_features", False),
        ("prototype_conformity", False),
        ("vanished_training", False),
    ],
)
def test_plain_training_is_with_the_ordinary_loss(defense: str, plain: bool) -> None:
    assert trains_plainly(defense) is plain
