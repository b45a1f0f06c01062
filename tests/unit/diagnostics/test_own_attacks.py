"""An attack that is added as a file alone is judged by what it declares; one whose file is gone breaks nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from reproof import registry
from reproof.diagnostics import red_flags
from reproof.diagnostics.checklist import answer
from reproof.diagnostics.checklist_case import Facts, Subject
from reproof.diagnostics.trials import kind_of
from reproof.measuring.outcomes import Outcomes, Trial
from tests.ours import needs
from tests.plugin_copies import copy_without

COUNT = 100
SUBJECT = Subject("digits", "cnn6", "prototype_conformity", "clean", "", 10)


def declared(title, family, access, *facts, field=""):
    """Return the file of an attack, which nobody else has heard of."""
    lines = [f'title: ClassVar[str] = "{title}"', f'family: ClassVar[str] = "{family}"']
    lines += [f'access: ClassVar[Access] = "{access}"', *(f"{fact}: ClassVar[bool] = True" for fact in facts)]
    body = "\n".join(f"    {line}" for line in [*lines, field] if line)
    return (
        "from typing import ClassVar\nfrom reproof.settings.attack import Access, EpsilonAttackSettings\n"
        f'\n\nclass Settings(EpsilonAttackSettings):\n    """Own."""\n\n{body}\n'
    )


OWN = {
    "zoo": declared("ZOO", "gradients estimated by scores", "score", "iterative"),
    "boundary": declared("Boundary", "walk along the boundary", "decision", "iterative"),
    "salt": declared("Salt and pepper", "salt", "decision", "randomised", "baseline"),
    "apgd": declared(
        "APGD",
        "gradient signs",
        "gradient",
        "iterative",
        "randomised",
        field="restarts: int = 1\n    samples: int = 1",
    ),
    "ffgsm": declared("Fast FGSM", "gradient signs", "gradient"),
    "composite": declared("Composite", "several", "gradient", "ensemble", "iterative", "targeted"),
    "rotation": declared("Rotation", "rotations", "score", "transforms"),
    "towards": declared("Towards", "logits", "gradient", "iterative", "targeted"),
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    copy = copy_without(tmp_path, **{f"attacks__{name}": text for name, text in OWN.items()})
    monkeypatch.setattr(registry, "PACKAGE", copy)


def trial(kind, standing, epsilon=0.3, **changes):
    whole = Trial(
        setting="white_box", threat="white_box", source="net", attack=kind, kind=kind, view="logits", norm="linf",
        parameters=f"epsilon={epsilon}", epsilon=epsilon, images=np.arange(COUNT), correct=np.arange(COUNT) < standing,
        refused=np.zeros(COUNT, dtype=bool), failed=None, l2=np.ones(COUNT), model="net",
    )  # fmt: skip
    return dataclasses.replace(whole, **changes)


def looked_at(*trials, attacks=None, probe=None):
    """Return the red flags by name, and the checklist's answers and evidence by item."""
    whose = {"study": "s", "dataset": "d", "architecture": "a", "defense": "x", "training": "clean"}
    images = np.arange(COUNT)
    seen = Outcomes(
        **whose, model="net", seed=0, images=images, clean=images < 95, trials=trials, probe=probe or {}
    )
    attacks = attacks or {t.attack: {"kind": t.kind, "epsilons": [0.3]} for t in trials}
    flags = red_flags.find([seen], attacks)
    replies = answer(Facts({"net": SUBJECT}, attacks, {"white_box": "white_box"}), [seen], flags)
    return (
        {flag.check: flag for flag in flags},
        {reply.item: (reply.answer, reply.evidence) for reply in replies},
    )


@pytest.mark.parametrize("kind", ["zoo", "boundary"])
def test_a_search_that_finds_more_than_gradients_raises_the_flag(own, kind):
    """By scores or by classes: masked gradients cannot hide from it."""
    pgd = trial("pgd", 60)
    flags, _ = looked_at(pgd, trial(kind, 5))
    assert flags["white_box_vs_gradient_free"].raised is True
    flags, _ = looked_at(pgd, trial(kind, 70))
    assert flags["white_box_vs_gradient_free"].raised is False


@needs("attacks/random_noise")
def test_gradient_free_follows_from_the_results_of_an_own_search(own):
    pgd, noise = trial("pgd", 60), trial("random_noise", 90)
    assert looked_at(pgd)[1]["gradient_free"][0] == "no"
    assert looked_at(pgd, trial("boundary", 70))[1]["gradient_free"][0] == "partly"
    assert looked_at(pgd, trial("zoo", 70), noise)[1]["gradient_free"][0] == "yes"
    assert looked_at(pgd, trial("zoo", 70), trial("boundary", 70))[1]["gradient_free"][0] == "yes"
    word, evidence = looked_at(pgd, trial("zoo", 5), noise)[1]["gradient_free"]
    assert (word, "zoo" in evidence.lower()) == ("no", True)


def test_an_own_search_is_no_gradient_attack(own):
    """However many images it leaves, it hides no weaker gradients from the flags."""
    flags, told = looked_at(trial("fgsm", 40), trial("zoo", 95))
    assert flags["iterative_vs_single_step"].raised is None
    assert told["combination"][1] == "Run: search by scores; not run: transfer and random noise."
    assert told["diverse"] == (
        "partly",
        "2 kinds of attack search in 2 ways: gradient signs and gradients estimated by scores.",
    )


def test_own_steps_are_compared(own):
    flags, _ = looked_at(trial("ffgsm", 40), trial("apgd", 80))
    assert flags["iterative_vs_single_step"].raised is True
    assert "Fast FGSM" in flags["iterative_vs_single_step"].evidence
    flags, _ = looked_at(trial("ffgsm", 40), trial("apgd", 20))
    assert flags["iterative_vs_single_step"].raised is False


def test_own_noise_is_a_baseline_and_no_attack(own):
    flags, told = looked_at(trial("pgd", 60), trial("salt", 5))
    assert flags["white_box_vs_noise"].raised is True
    assert flags["white_box_vs_gradient_free"].raised is None
    assert told["targeted"] == ("partly", "Only away from the true class: PGD.")
    assert told["validated"][1].startswith("0 of 1 kind")


def test_an_own_ensemble_of_attacks_is_the_strongest_and_hides_no_gradients(own):
    flags, told = looked_at(trial("pgd", 60), trial("composite", 10))
    assert told["strongest"][0] == "yes"
    assert told["strongest"][1].startswith("Composite was run: white-box")
    assert flags["autoattack_vs_gradients"].raised is True


def test_own_restarts_and_targets_are_told_by_title(own):
    attacks = {
        "apgd": {"kind": "apgd", "epsilons": [0.3], "restarts": 4},
        "towards": {"kind": "towards", "epsilons": [0.3]},
    }
    _, told = looked_at(trial("apgd", 60), trial("towards", 50), attacks=attacks)
    assert told["restarts"] == (
        "partly",
        "APGD starts at 4 random points of the ball; more starts were not compared with fewer.",
    )
    assert told["targeted"] == ("yes", "Towards a class: Towards; away from the true one: APGD.")


def test_a_broader_threat_is_one_that_says_so(own):
    """An attack that a list did not know used to count as one."""
    assert looked_at(trial("pgd", 60), trial("zoo", 60))[1]["broader"][0] == "no"
    assert looked_at(trial("pgd", 60), trial("rotation", 60))[1]["broader"] == (
        "yes",
        "Norms L∞, and Rotation.",
    )


def test_averaging_over_randomness_is_asked_of_the_attack(own):
    probe = {
        "images": 100, "classes": 10, "largest_class": 0.1, "differentiable": True, "zero_gradients": 0,
        "zero_losses": 0, "saturated": 0, "margin": 5.0, "probabilities": False, "difference": 2.0, "random": True,
        "changed": 3, "compared": 100, "misled": 0,
    }  # fmt: skip
    for samples, raised in ((1, True), (8, False)):
        attacks = {"apgd": {"kind": "apgd", "epsilons": [0.3], "samples": samples}}
        flags, _ = looked_at(trial("apgd", 60), attacks=attacks, probe=probe)
        assert flags["randomness"].raised is raised


def test_a_kind_whose_file_is_gone_is_shown_and_judges_nothing():
    gone = trial("vanished_attack", 1)
    flags, told = looked_at(gone, trial("pgd", 60))
    assert kind_of(gone).title == "vanished attack"
    assert [name for name, flag in flags.items() if flag.raised] == ["paper_attack_vs_worst_case"]
    assert told["broader"][0] == "no"
    assert told["gradient_free"][0] == "no"
    assert "vanished attack" in told["diverse"][1]
    flags, told = looked_at(gone)
    assert {flag.raised for flag in flags.values()} == {None}
