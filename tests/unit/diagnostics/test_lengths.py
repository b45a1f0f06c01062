"""Attacks that are too short: found among adaptive ones and searches too, each family of runs compared once."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from reproof import registry
from reproof.diagnostics import lengths
from reproof.diagnostics.red_flags import find
from reproof.diagnostics.sanity_check import RedFlag
from reproof.diagnostics.trials import kind_named
from reproof.measuring.outcomes import Trial
from tests.ours import needs
from tests.unit.diagnostics.made_up_trials import outcomes, trial

SHORT: dict[str, Any] = {
    "kind": "pgd",
    "epsilons": [0.1],
    "steps": 10,
    "restarts": 1,
    "loss": "cross_entropy",
}
LONG = SHORT | {"steps": 40, "restarts": 3, "early_stop": True}
ATTACKS: dict[str, dict[str, Any]] = {
    "pgd": SHORT,
    "pgd_middle": SHORT | {"steps": 20},
    "pgd_longer": LONG,
    "pgd_margin": LONG | {"loss": "margin"},
    "pgd_votes": SHORT,
    "pgd_votes_longer": LONG,
    "square": {"kind": "square", "epsilons": [0.1], "queries": 300, "restarts": 1},
    "square_longer": {"kind": "square", "epsilons": [0.1], "queries": 3000, "restarts": 1},
}


def flags(*trials: Trial, attacks: dict[str, dict[str, Any]] = ATTACKS) -> dict[str, RedFlag]:
    return {flag.check: flag for flag in find([outcomes(*trials)], attacks)}


def adaptive(attack: str, share: float, images: int, view: str = "joint", **more: Any) -> Trial:
    return trial(attack, round(share * images), images=images, setting="adaptive", view=view, **more)


def family(name: str, short: float, long: float, images: int, view: str = "votes") -> list[Trial]:
    """Return a short and a long run on one loss; names of attacks are a study's, one for each of its suites."""
    return [
        adaptive(f"{name}{twin}", share, images, view, kind="pgd")
        for twin, share in (("", short), ("_longer", long))
    ]


def entries(*names: str) -> dict[str, dict[str, Any]]:
    return ATTACKS | {
        f"{name}{twin}": told for name in names for twin, told in (("", SHORT), ("_longer", LONG))
    }


@pytest.mark.parametrize("images", [48, 100])
@pytest.mark.parametrize(("short", "long"), [(0.61, 0.32), (0.58, 0.27)])
def test_a_vote_that_ten_steps_do_not_break_is_noticed(short: float, long: float, images: int) -> None:
    """Ten steps against 40 with 3 restarts, measured on distilled and diverse ensembles; beside five honest families."""
    names = [f"pgd_{number}" for number in range(5)]
    honest = [one for name in names for one in family(name, 0.5, 0.5, images, view=name)]
    for others in ((), honest):
        attacks = entries(*names)
        flag = flags(*family("pgd_votes", short, long, images), *others, attacks=attacks)["more_steps"]
        assert flag.raised is True
        assert flag.rows == ("adaptive pgd_votes epsilon=0.1", "adaptive pgd_votes_longer epsilon=0.1")
        assert f" {round(short * images)} of {images} images" in flag.evidence


def test_thirteen_points_are_noticed_at_100_images_and_their_chance_told_at_48() -> None:
    """MagNet's reformer, joint: 64 and 51 %. Of 48 images six may differ, and seven are needed."""
    assert flags(adaptive("pgd", 0.64, 100), adaptive("pgd_longer", 0.51, 100))["more_steps"].raised is True
    few = flags(
        trial("pgd", 30, images=48, setting="adaptive", view="joint"),
        trial("pgd_longer", 24, images=48, setting="adaptive", view="joint"),
    )["more_steps"]
    assert few.raised is False
    assert few.power is not None
    assert few.power.words == "Would notice 18 points at 48 images."


@needs("attacks/square")
def test_a_search_with_more_queries_is_compared() -> None:
    pair = (
        trial("square", 60, images=100, kind="square"),
        trial("square_longer", 30, images=100, kind="square"),
    )
    found = flags(*pair)
    assert (found["more_queries"].raised, found["more_steps"].raised) == (True, None)
    assert found["more_queries"].left_out == ()


@pytest.mark.parametrize(
    "change",
    [
        {"view": "votes"},
        {"source": "member_1"},
        {"epsilon": 0.2},
        {"norm": "l2"},
        {"kind": "bim"},
        {"setting": "black_box"},
        {"attack": "pgd_margin"},
        {"epsilon": None, "parameters": "c=1"},
        {"attack": "unheard_of"},
    ],
)
def test_what_differs_in_more_than_length_is_not_compared(change: dict[str, Any]) -> None:
    other = {"attack": "pgd_longer", "standing": 10, "images": 100, "setting": "adaptive", "view": "joint"}
    assert flags(adaptive("pgd", 0.9, 100), trial(**other))["more_steps"].raised is True
    assert flags(adaptive("pgd", 0.9, 100), trial(**{**other, **change}))["more_steps"].raised is None


def test_one_family_is_one_comparison_chosen_by_its_lengths_alone() -> None:
    """The middle run leaves fewest, by chance: the shortest is held against the longest all the same."""
    runs = adaptive("pgd", 0.9, 100), adaptive("pgd_middle", 0.2, 100), adaptive("pgd_longer", 0.4, 100)
    flag = flags(*runs)["more_steps"]
    assert flag.rows == ("adaptive pgd epsilon=0.1", "adaptive pgd_longer epsilon=0.1")
    assert "corrected for 1 comparison)" in flag.evidence
    twice = flags(*runs, *family("pgd_votes", 0.5, 0.5, 100))
    assert "corrected for 2 comparisons)" in twice["more_steps"].evidence


@needs("attacks/bim", "attacks/square", "attacks/deepfool")
def test_attacks_without_a_longer_run_are_named() -> None:
    alone = (
        adaptive("bim", 0.5, 100, kind="bim"),
        trial("square", 60, images=100, kind="square"),
        trial("deepfool", 0, images=100, kind="deepfool", epsilon=None, parameters="steps=200", norm="l2"),
        trial("fgsm", 50, images=100, kind="fgsm"),
        trial("random_noise", 90, images=100, kind="random_noise"),
        trial("bim", 50, images=100, kind="bim", setting="black_box", source="other"),
    )
    found = flags(adaptive("pgd", 0.5, 100), adaptive("pgd_longer", 0.5, 100), *alone)
    assert found["more_steps"].left_out == ("adaptive BIM", "white-box DeepFool")
    assert found["more_steps"].evidence.endswith("Length not checked: adaptive BIM and white-box DeepFool.")
    assert found["more_queries"].evidence.endswith(". Length not checked: white-box Square.")
    assert found["more_queries"].raised is None
    # One of its budgets compared is enough.
    low = adaptive("pgd", 0.7, 100, epsilon=0.05)
    assert (
        flags(adaptive("pgd", 0.5, 100), adaptive("pgd_longer", 0.5, 100), low)["more_steps"].left_out == ()
    )


@needs("attacks/deepfool")
def test_a_point_stands_for_a_setting_that_is_swept() -> None:
    told = {"kind": "deepfool", "steps": [1, 200], "overshoot": 0.02}
    one, many = (lengths.length_of("deepfool", told, f"steps={steps}") for steps in (1, 200))
    assert one is not None
    assert many is not None
    assert (one.cost, many.cost) == (1, 200)
    assert (one.grows(many), many.grows(one), one.grows(one)) == ("more_steps", None, None)
    other = lengths.length_of("deepfool", told | {"overshoot": 0.05}, "steps=200")
    assert other is not None
    assert one.grows(other) is None


def refusing(attack: str, right: int, wrong: int, **more: Any) -> Trial:
    """Return an adaptive attack on 100 images that leaves the first ones right, makes the last ones wrong, others refused."""
    made = adaptive(attack, right / 100, 100, **more)
    return dataclasses.replace(made, refused=(np.arange(100) >= right) & (np.arange(100) < 100 - wrong))


def refused_flags(*trials: Trial) -> dict[str, RedFlag]:
    seen = dataclasses.replace(outcomes(*trials), clean_refused=np.zeros(100, dtype=bool))
    return {flag.check: flag for flag in find([seen], ATTACKS)}


def test_of_a_model_that_refuses_the_wrong_and_accepted_are_compared_too() -> None:
    """Ten steps and 40 leave none right; the longer run alone gets images past the detectors."""
    pair = refusing("pgd", 0, 1), refusing("pgd_longer", 0, 49)
    flag = refused_flags(*pair)["more_steps"]
    assert flag.raised is True
    assert (
        "leaves 99 of 100 images right or refused, adaptive PGD longer at ε = 0.1 leaves 51" in flag.evidence
    )
    assert "corrected for 2 comparisons" in flag.evidence
    assert flags(*pair)["more_steps"].raised is False, "of which nothing is seen in what is right"
    right = refusing("pgd", 60, 10), refusing("pgd_longer", 20, 10)
    assert refused_flags(*right)["more_steps"].raised is True


@needs("attacks/autoattack")
def test_an_attack_past_detectors_is_not_weak_for_what_others_make_refused() -> None:
    """It leaves 30 right, where cross-entropy and an ensemble leave none and are refused."""
    past = refusing("pgd", 30, 49)
    plain = dataclasses.replace(trial("pgd", 0, images=100), refused=np.arange(100) < 99)
    for other, check in ((plain, "plain_vs_adaptive"), ("autoattack", "adaptive_vs_strongest")):
        shown = dataclasses.replace(plain, attack="all", kind=other) if isinstance(other, str) else other
        assert refused_flags(past, shown)[check].raised is False
        assert flags(past, shown)[check].raised is True
        better = dataclasses.replace(shown, refused=np.zeros(100, dtype=bool))
        assert refused_flags(past, better)[check].raised is True


@needs("attacks/autoattack")
def test_ensembles_of_attacks_have_a_length_too() -> None:
    """Of one that leaves a part out, 0 queries are the least."""
    attacks = {
        f"all_{queries}": {"kind": "autoattack", "queries": queries, "version": "standard"}
        for queries in (0, 5000)
    }
    pair = [
        trial(name, left, images=100, kind="autoattack") for name, left in zip(attacks, (60, 20), strict=True)
    ]
    flag = flags(*pair, attacks=attacks)["more_queries"]
    assert flag.raised is True
    assert flag.rows == ("white_box all_0 epsilon=0.1", "white_box all_5000 epsilon=0.1")


def test_an_adaptive_attack_is_held_against_the_same_one_on_the_logits() -> None:
    """Joint loss, fixed α + KL: 24 % where cross-entropy leaves none; by the same steps, not by fewer or more."""
    plain = trial("pgd", 0, images=100)
    joint = adaptive("pgd", 0.24, 100, view="joint")
    flag = flags(plain, joint)["plain_vs_adaptive"]
    assert flag.raised is True
    assert flag.rows == ("adaptive pgd epsilon=0.1", "white_box pgd epsilon=0.1")
    longer = trial("pgd_longer", 0, images=100)
    assert flags(longer, joint)["plain_vs_adaptive"].raised is None, "which is longer, and may well find more"
    long_joint = adaptive("pgd_longer", 0.24, 100, view="joint")
    assert flags(plain, joint, long_joint)["plain_vs_adaptive"].rows == (
        "adaptive pgd_longer epsilon=0.1",
        "white_box pgd epsilon=0.1",
    )
    assert flags(trial("pgd_margin", 0, images=100), long_joint)["plain_vs_adaptive"].raised is None
    assert flags(plain, adaptive("pgd", 0.05, 100))["plain_vs_adaptive"].raised is False


@pytest.mark.parametrize("kind", [name for name in registry.names("attacks") if kind_named(name).ensemble])
def test_an_adaptive_attack_is_held_against_whatever_declares_itself_an_ensemble(kind: str) -> None:
    pair = adaptive("pgd", 0.64, 100), trial("of_any_name", 32, images=100, kind=kind)
    flag = flags(*pair)["adaptive_vs_strongest"]
    assert flag.raised is True
    assert flag.rows == ("adaptive pgd epsilon=0.1", "white_box of_any_name epsilon=0.1")


@needs("attacks/autoattack")
def test_every_adaptive_loss_is_held_against_the_ensembles_of_attacks() -> None:
    """By what attacks declare: no name says that an entry is one. The longest run of each loss counts."""
    ensemble = trial("any_name", 20, images=100, kind="autoattack")
    found = flags(adaptive("pgd", 0.9, 100), adaptive("pgd_longer", 0.25, 100), ensemble)
    assert found["adaptive_vs_strongest"].raised is False
    assert found["adaptive_vs_strongest"].evidence.startswith("Adaptive PGD longer at ε = 0.1 leaves")
    weak = adaptive("pgd_votes", 0.6, 100, view="votes")
    flag = flags(adaptive("pgd_longer", 0.25, 100), weak, ensemble)["adaptive_vs_strongest"]
    assert flag.raised is True
    assert flag.rows == ("adaptive pgd_votes epsilon=0.1", "white_box any_name epsilon=0.1")
    assert "corrected for 2 comparisons" in flag.evidence
    assert flag.evidence.endswith(
        "Left beyond it, in points: 5.0 by adaptive PGD longer at ε = 0.1 and 40.0 by adaptive PGD votes at ε = 0.1."
    )
    other = trial("another", range(15, 40), images=100, kind="autoattack")
    both = flags(adaptive("pgd", 0.6, 100), ensemble, other)["adaptive_vs_strongest"]
    assert "all ensembles of attacks at ε = 0.1 together leave 5" in both.evidence
    for change in ({"source": "member_1"}, {"epsilon": 0.2}, {"norm": "l2"}):
        elsewhere = trial("any_name", **{"standing": 20, "images": 100, "kind": "autoattack", **change})
        assert flags(adaptive("pgd", 0.6, 100), elsewhere)["adaptive_vs_strongest"].raised is None, change
    for change in ({"kind": "fgsm"}, {"view": "logits"}, {"source": "member_1"}):
        weaker = adaptive("pgd", 0.6, 100, **change)
        assert flags(weaker, ensemble)["adaptive_vs_strongest"].raised is None, change
