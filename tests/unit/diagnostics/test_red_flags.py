"""A made-up masked model raises its gates, an honest one none, and missing attacks leave them unchecked."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from scipy.stats import binom

from reproof.csv_tables import RED_FLAGS
from reproof.diagnostics.comparison import ALPHA, MARGIN
from reproof.diagnostics.red_flags import find, table_rows
from reproof.diagnostics.sanity_check import CHECKS, at_least
from reproof.measuring.outcomes import Outcomes, Trial
from tests.ours import here, is_here, needs

COUNT = 100


def trial(setting, attack, epsilon, standing, *, source="net", kind=None, images=COUNT, view="logits"):
    """An attack that leaves the given images robust: a count (the first ones) or a set."""
    left = set(range(standing)) if isinstance(standing, int) else set(standing)
    return Trial(
        setting=setting,
        threat=setting,
        source=source,
        attack=attack,
        kind=kind or attack.split("_")[0],
        view=view,
        norm="linf",
        parameters=f"epsilon={epsilon}",
        epsilon=epsilon,
        images=np.arange(images),
        correct=np.array([image in left for image in range(images)]),
        refused=np.zeros(images, dtype=bool),
        failed=None,
        l2=np.ones(images),
        model="net",
    )


def noise(epsilon, standing):
    return trial("white_box", "random_noise", epsilon, standing, kind="random_noise")


def unmoved(standing, *, l2=0.0, epsilon=None):
    """C&W that hands back all images as they were, or nearly so."""
    like = trial("white_box", "carlini_wagner", epsilon, standing, kind="carlini_wagner")
    return dataclasses.replace(like, parameters="c=0.1", norm="l2", l2=np.full(COUNT, l2))


PROBE = {
    "images": 100,
    "classes": 10,
    "largest_class": 0.1,
    "differentiable": True,
    "zero_gradients": 0,
    "broken_gradients": 0,
    "zero_losses": 0,
    "saturated": 0,
    "margin": 5.0,
    "probabilities": False,
    "difference": 0.0,
    "random": False,
    "changed": 0,
    "compared": 100,
    "misled": 0,
}


def outcomes(*trials, seed=0, model="net", clean=95, probe=None, notes=None):
    whose = {"study": "s", "dataset": "d", "architecture": "a", "defense": "x", "training": "clean"}
    correct = np.arange(COUNT) < clean
    return Outcomes(
        **whose, model=model, seed=seed, images=np.arange(COUNT), clean=correct, trials=trials,
        probe=probe or {}, notes=notes or {},
    )  # fmt: skip


def composed(left, taken):
    """Return an attack in parts, of which each took so many images."""
    by = [part for part, count in taken.items() for _ in range(count)]
    made = trial("white_box", "strongest", 0.3, left)
    return dataclasses.replace(made, taken_by=("",) * left + tuple(by) + ("",) * (COUNT - left - len(by)))


HONEST = {
    "fgsm_low": trial("white_box", "fgsm", 0.1, 80),
    "fgsm_high": trial("white_box", "fgsm", 0.3, 40),
    "pgd_low": trial("white_box", "pgd", 0.1, 70),
    "pgd_high": trial("white_box", "pgd", 0.3, 20),
    "transfer": trial("black_box", "fgsm", 0.3, 75, source="vgg19"),
    "noise": noise(0.3, 90),
    "adaptive": trial("adaptive", "pgd", 0.3, 22, view="joint"),
    "square": trial("white_box", "square", 0.3, 60),
    "square_longer": trial("white_box", "square_longer", 0.3, 57),
    "longer": trial("white_box", "pgd_long", 0.3, 19),
    "restarted": trial("white_box", "pgd_restarts", 0.3, 19),
    "autoattack": trial("white_box", "autoattack", 0.3, 18),
    "unbounded": trial("white_box", "pgd", 1.0, 5),
    "composed": composed(17, {"cross-entropy": 70, "Square": 8}),
}
HONEST = {name: found for name, found in HONEST.items() if here("attacks", found.kind)}
ASKED_OF = {
    "white_box_vs_noise": "random_noise",
    "white_box_vs_gradient_free": "square",
    "more_queries": "square",
    "search_after_gradients": "strongest",
    "autoattack_vs_gradients": "autoattack",
}
"""Check -> the attack that it is about: without its file nothing is asked."""
UNASKED = {check for check, attack in ASKED_OF.items() if not here("attacks", attack)}
ATTACKS = {
    "pgd": {
        "kind": "pgd",
        "epsilons": [0.1, 0.3, 1.0],
        "steps": 10,
        "step_size": 0.1,
        "restarts": 1,
        "samples": 1,
    },
    "pgd_long": {
        "kind": "pgd",
        "epsilons": [0.3],
        "steps": 100,
        "step_size": 0.02,
        "restarts": 1,
        "samples": 1,
    },
    "pgd_restarts": {
        "kind": "pgd",
        "epsilons": [0.3],
        "steps": 10,
        "step_size": 0.1,
        "restarts": 5,
        "samples": 1,
    },
    "fgsm": {"kind": "fgsm", "epsilons": [0.1, 0.3]},
    "square": {"kind": "square", "epsilons": [0.3], "queries": 100, "restarts": 1},
    "square_longer": {"kind": "square", "epsilons": [0.3], "queries": 1000, "restarts": 1},
    "autoattack": {"kind": "autoattack", "epsilons": [0.3], "version": "standard"},
}


def noted(share=0.0):
    """Return what an attack noted of its gradients: so many of them were no numbers."""
    parts = {"parts": [("cross-entropy", "gradient"), ("Square", "score")]}
    return {"white_box": {"net": {"pgd": {"gradient_broken_share": share}, "strongest": parts}}}


def flags(changes=None, *, attacks=ATTACKS, probe=PROBE, notes=None, suite_overrides=None):
    notes = noted() if notes is None else notes
    trials = [t for t in {**HONEST, **(changes or {})}.values() if t is not None]
    found = find([outcomes(*trials, probe=probe, notes=notes)], attacks, suite_overrides)
    return {flag.check: flag for flag in found}


def raised(**changes):
    return {gate: flag.raised for gate, flag in flags(changes).items()}


def only(gate):
    return {name: None if name in UNASKED else name == gate for name in CHECKS}


@needs("attacks/autoattack")
def test_an_honest_model_raises_nothing():
    assert raised() == only(None)


@needs("attacks/autoattack")
@pytest.mark.parametrize(
    ("gate", "change", "beaten"),
    [
        ("iterative_vs_single_step", {"pgd_low": trial("white_box", "pgd", 0.1, 95)}, False),
        ("white_box_vs_transfer", {"transfer": trial("black_box", "fgsm", 0.3, 2, source="vgg19")}, True),
        ("white_box_vs_noise", {"noise": noise(0.3, 2)}, True),
        ("white_box_vs_gradient_free", {"square": trial("white_box", "square", 0.3, 2)}, True),
        ("search_after_gradients", {"composed": composed(15, {"cross-entropy": 55, "Square": 25})}, False),
        ("monotone_in_epsilon", {"fgsm_low": trial("white_box", "fgsm", 0.1, 15), "pgd_low": None}, False),
        ("unbounded_budget", {"unbounded": trial("white_box", "pgd", 1.0, 19)}, False),
        ("more_steps", {"longer": trial("white_box", "pgd_long", 0.3, 5)}, False),
        ("more_restarts", {"restarted": trial("white_box", "pgd_restarts", 0.3, 5)}, False),
        ("more_queries", {"square": trial("white_box", "square", 0.3, 75)}, False),
        ("adaptive_vs_plain", {"adaptive": trial("adaptive", "pgd", 0.3, 2, view="joint")}, True),
        ("plain_vs_adaptive", {"low": trial("adaptive", "pgd", 0.1, 85, view="joint")}, False),
        ("adaptive_vs_strongest", {"other": trial("adaptive", "mim", 0.3, 35, view="votes")}, False),
        (
            "autoattack_vs_gradients",
            {
                "autoattack": trial("white_box", "autoattack", 0.3, 5),
                "adaptive": trial("adaptive", "pgd", 0.3, 15, view="joint"),
            },
            "composed" not in HONEST,  # its parts leave 17
        ),
        (
            "paper_attack_vs_worst_case",
            {  # each takes half of what the gradients leave
                name: trial("black_box", "fgsm", 0.3, {*half, *range(20, 95)}, source=name)
                for name, half in {"one": range(10), "other": range(10, 20)}.items()
            },
            True,
        ),
    ],
)
def test_each_gate_alone(gate, change, beaten):
    """Where something else than the logits' gradients finds more, the papers' attack is beaten, too."""
    if not all(is_here(f"attacks/{found.kind}") for found in change.values() if found is not None):
        pytest.skip("its attack was deleted")
    expected = only(gate) | {"paper_attack_vs_worst_case": beaten}
    assert raised(**change) == expected


@pytest.mark.parametrize(
    ("gate", "fact"),
    [
        ("zero_gradients", {"zero_gradients": 30}),
        ("zero_gradients", {"zero_gradients": 100, "differentiable": False}),
        ("broken_gradients", {"broken_gradients": 1}),
        ("misleading_gradients", {"misled": 40}),
        ("misleading_gradients", {"followed": 32, "astray": 30}),
        ("misleading_gradients", {"asked": 64, "hidden": 30}),
        ("misleading_gradients", {"compared": 60, "unresolved": 40}),
        ("misleading_gradients", {"compared": 0, "unresolved": 100}),
        ("saturated_loss", {"zero_losses": 70, "saturated": 70}),
        ("probabilities", {"probabilities": True}),
        ("randomness", {"random": True, "difference": 2.0, "changed": 3}),
    ],
)
def test_each_fact_alone(gate, fact):
    hard = {  # nothing that follows gradients gets below chance level, which would excuse a saturated loss
        "pgd_high": trial("white_box", "pgd", 0.3, 20),
        "unbounded": trial("white_box", "pgd", 1.0, 14),
    }
    found = flags(hard, probe=PROBE | fact)
    assert {name for name, flag in found.items() if flag.raised} == {gate}


@needs("attacks/random_noise", "attacks/square", "attacks/autoattack")
def test_a_masked_model_raises_them_all():
    changes = {
        "pgd_high": trial("white_box", "pgd", 0.3, 93),
        "fgsm_high": trial("white_box", "fgsm", 0.3, 60),
        "transfer": trial("black_box", "fgsm", 0.3, 20, source="vgg19"),
        "noise": noise(0.3, 30),
        "adaptive": trial("adaptive", "pgd", 0.3, 10, view="joint"),
        "square": trial("white_box", "square", 0.3, 40),
        "square_longer": trial("white_box", "square_longer", 0.3, 20),
        "idle_loss": trial("adaptive", "pgd", 0.1, 93, view="joint"),
        "autoattack_low": trial("white_box", "autoattack", 0.1, 50),
        "longer": trial("white_box", "pgd_long", 0.3, 60),
        "restarted": trial("white_box", "pgd_restarts", 0.3, 60),
        "autoattack": trial("white_box", "autoattack", 0.3, 3),
        "unbounded": trial("white_box", "pgd", 1.0, 50),
        "idle": unmoved(95),
        "composed": composed(2, {"cross-entropy": 10, "Square": 83}),
    }
    facts = {"zero_gradients": 90, "zero_losses": 90, "probabilities": True, "random": True, "misled": 100}
    masked = PROBE | facts
    found = flags(changes, probe=masked, notes=noted(0.2))
    assert {name: flag.raised for name, flag in found.items()} == dict.fromkeys(CHECKS, True)


@pytest.mark.parametrize(
    ("l2", "epsilon", "clean", "expected"),
    [
        (1.7e-5, None, 95, True),  # 6e-7 in each of 784 pixels
        (0.0019, None, 95, True),  # less than half a grey level in one pixel
        (0.0020, None, 95, False),
        (0.0004, 0.001, 95, True),
        (0.0006, 0.001, 95, False),  # a budget smaller than half a level is used up
        (1.7e-5, None, 0, None),  # nothing to do on images that are wrong without it
    ],
)
def test_an_attack_that_moves_no_image_is_a_flag(l2, epsilon, clean, expected):
    idle = unmoved(95, l2=l2, epsilon=epsilon)
    found = find([outcomes(idle, clean=clean)])[-1]
    assert (found.check, found.raised) == ("unmoved_images", expected)
    assert found.rows == (("white_box carlini_wagner c=0.1",) if expected else ())


def test_one_image_that_moves_in_one_seed_clears_an_attack_but_no_other():
    idle = unmoved(95)
    moved = dataclasses.replace(idle, l2=np.where(np.arange(COUNT) == 7, 0.5, 0.0))
    assert find([outcomes(idle), outcomes(moved, seed=1)])[-1].raised is False
    found = find([outcomes(idle, trial("white_box", "fgsm", 0.3, 40)), outcomes(idle, seed=1)])[-1]
    assert found.raised is True
    assert found.evidence.startswith("White-box C&W at c = 0.1 leaves all of 200 images as they were:")


def test_an_adaptive_attack_that_moves_nothing_is_a_flag_too():
    idle = dataclasses.replace(trial("adaptive", "pgd", 0.3, 95, view="joint"), l2=np.zeros(COUNT))
    found = flags({"adaptive": idle})["unmoved_images"]
    assert found.raised is True
    assert found.rows == ("adaptive pgd epsilon=0.3",)


@needs("attacks/square")
def test_a_search_and_transferred_images_may_stay_where_they_were():
    """A search hands back what it cannot fool; what moves on a source says nothing of the target."""
    still = {
        "square": dataclasses.replace(trial("white_box", "square", 0.3, 95), l2=np.zeros(COUNT)),
        "transfer": dataclasses.replace(
            trial("black_box", "fgsm", 0.3, 95, source="vgg19"), l2=np.zeros(COUNT)
        ),
    }
    assert flags(still)["unmoved_images"].raised is False


def test_a_few_images_are_no_flag():
    """Four images more under PGD than under FGSM (p = 1/16) are chance; twelve are not."""
    none = dict.fromkeys(("adaptive", "longer", "restarted", "autoattack", "composed"))
    assert not any(raised(pgd_high=trial("white_box", "pgd", 0.3, 44), **none).values())
    assert raised(pgd_high=trial("white_box", "pgd", 0.3, 52))["iterative_vs_single_step"] is True


def test_pairs_count_not_totals():
    """Ten images apart in total, but 35 against 25 discordant ones: no sign of anything (p = 0.12)."""
    unlike = trial("white_box", "pgd", 0.3, set(range(40, 75)) | set(range(15)))
    assert raised(pgd_high=unlike, adaptive=None)["iterative_vs_single_step"] is False


@needs("attacks/bim", "attacks/mim")
def test_many_comparisons_are_corrected_for():
    """p = 1/64 (six images to none) is a flag as the only comparison, and none among four."""
    single = trial("white_box", "fgsm", 0.3, 40)
    odd = trial("white_box", "pgd", 0.3, 46)
    (flag, *_) = find([outcomes(single, odd)])
    assert (flag.check, flag.raised) == ("iterative_vs_single_step", True)
    others = [trial("white_box", name, 0.3, 20) for name in ("bim", "mim", "pgd_converged")]
    (flag, *_) = find([outcomes(single, odd, *others)])
    assert flag.raised is False


def test_missing_attacks_leave_gates_unchecked():
    flags = find([outcomes(trial("white_box", "fgsm", 0.3, 40))])
    assert [flag.check for flag in flags] == list(CHECKS)
    *others, moved = flags
    assert {flag.raised for flag in others} == {None}
    assert all(flag.evidence.startswith("Not checked") and flag.rows == () for flag in others)
    assert (moved.check, moved.raised) == ("unmoved_images", False), "which asks nothing but one attack"


def test_other_budgets_and_norms_are_not_compared():
    weaker = trial("white_box", "pgd", 0.1, 95)
    *flags, _ = find([outcomes(trial("white_box", "fgsm", 0.3, 40), weaker, noise(0.2, 1))])
    assert {flag.raised for flag in flags} == {None}


def test_adaptive_attacks_do_not_defend_the_plain_ones():
    """The adaptive attack is as strong as transfer; the plain ones are not, which is what the gate asks."""
    found = raised(
        adaptive=trial("adaptive", "pgd", 0.3, 5, view="joint"),
        transfer=trial("black_box", "fgsm", 0.3, 5, source="vgg19"),
    )
    assert found["white_box_vs_transfer"] is True


def test_images_misclassified_clean_prove_nothing():
    """Transfer makes ten clean errors right again and noise as many wrong: neither makes an attack weak."""
    correct_by_accident = trial("white_box", "pgd", 0.3, set(range(20)) | set(range(85, 100)))
    (flag, *_) = find([outcomes(trial("white_box", "fgsm", 0.3, 20), correct_by_accident, clean=85)])
    assert flag.raised is False


def test_images_misclassified_clean_hide_nothing():
    """PGD leaves 13 images more than FGSM; 15 clean errors that FGSM mends do not make up for them."""
    mends = trial("white_box", "fgsm", 0.3, set(range(20)) | set(range(85, 100)))
    (flag, *_) = find([outcomes(mends, trial("white_box", "pgd", 0.3, 33), clean=85)])
    assert flag.raised is True


def test_noise_is_no_white_box_attack():
    """Noise beats transfer, but the attacks that use gradients do not."""
    found = raised(transfer=trial("black_box", "fgsm", 0.3, 5, source="vgg19"), noise=noise(0.3, 4))
    assert found["white_box_vs_transfer"] is True


def test_only_shared_images_are_compared():
    """PGD on the first 50 images leaves 30 of them; FGSM leaves 40 of those and none of the other 50."""
    flags = find(
        [outcomes(trial("white_box", "fgsm", 0.3, 40), trial("white_box", "pgd", 0.3, 30, images=50))]
    )
    assert flags[0].raised is False
    assert "30 of 50" in flags[0].evidence


def test_seeds_are_pooled_and_models_are_not():
    """Three images on each of three seeds are evidence together."""
    pair = (trial("white_box", "fgsm", 0.3, 40), trial("white_box", "pgd", 0.3, 43))
    assert find([outcomes(*pair)])[0].raised is False
    pooled = find([outcomes(*pair, seed=seed) for seed in range(3)])[0]
    assert pooled.raised is True
    assert "129 of 300" in pooled.evidence
    apart = find([outcomes(*pair, model=model) for model in ("b", "a", "c")])
    assert [flag.raised for flag in apart if flag.check == "iterative_vs_single_step"] == [False] * 3
    assert [flag.model for flag in apart[:: len(CHECKS)]] == ["a", "b", "c"]


def test_evidence_has_numbers_and_rows():
    (flag, *_) = find([outcomes(trial("white_box", "fgsm", 0.3, 40), trial("white_box", "pgd", 0.3, 90))])
    assert flag.evidence == (
        "White-box PGD at ε = 0.3 leaves a robust accuracy of 90 of 100 images, white-box FGSM at ε = 0.3 leaves 40; "
        "50 withstand only the former, 0 only the latter (p = 8.9e-16, corrected for 1 comparison)."
    )
    assert flag.rows == ("white_box fgsm epsilon=0.3", "white_box pgd epsilon=0.3")
    text = RED_FLAGS.text(RED_FLAGS.frame(table_rows([flag])))
    assert text.splitlines()[0] == "model,gate,raised,evidence,rows,detectable,images"
    assert text.splitlines()[1].startswith("net,iterative_vs_single_step,true,")


def test_attacks_on_single_members_are_not_the_ensemble_s_own() -> None:
    own = trial("white_box", "fgsm", 0.3, 60)
    members = [trial("white_box", "fgsm", 0.3, count, source=name) for name, count in (("a", 5), ("b", 8))]
    together = trial("white_box", "pgd", 0.3, 90, source="members")
    transfer = trial("black_box", "pgd", 0.3, 10, source="other")
    flags = {flag.check: flag for flag in find([outcomes(own, *members, together, transfer)])}
    # The joint attack leaves 60 where transfer leaves 10; members' images, of which 5 are left, do not excuse it.
    assert flags["white_box_vs_transfer"].raised
    assert "60 of 100" in flags["white_box_vs_transfer"].evidence
    # The only iterative attack is that on all members together, which is none on the ensemble's own logits.
    assert flags["iterative_vs_single_step"].raised is None
    assert {t.name for t in (own, *members, together)} == {
        "white_box fgsm epsilon=0.3",
        "white_box fgsm epsilon=0.3 from a",
        "white_box fgsm epsilon=0.3 from b",
        "white_box pgd epsilon=0.3 from members",
    }


def test_every_gate_has_words_for_a_column_and_a_sentence():
    assert len({check.heading for check in CHECKS.values()}) == len(CHECKS)
    assert all(check.shows.endswith(".") for check in CHECKS.values())


@pytest.mark.parametrize(
    "gate", ["more_steps", "more_restarts", *sorted({"autoattack_vs_gradients"} - UNASKED)]
)
def test_stronger_attacks_may_find_a_little_more(gate):
    """9 images of 100 against none are no chance (p = 0.002), but may be fewer than 5 points; 13 may not."""
    names = {
        "more_steps": "pgd_long",
        "more_restarts": "pgd_restarts",
        "autoattack_vs_gradients": "autoattack",
    }
    for more, expected in ((9, False), (13, True)):
        pair = (trial("white_box", "pgd", 0.3, 50), trial("white_box", names[gate], 0.3, 50 - more))
        (flag,) = [flag for flag in find([outcomes(*pair)], ATTACKS) if flag.check == gate]
        assert flag.raised is expected
        assert f"{more}.0 points fewer" in flag.evidence


def test_a_margin_s_evidence_is_its_bound():
    """12 of 100: (12 / 102 - 1.645 sqrt(13 - 144 / 102) / 102), by hand 6.3 points."""
    assert (ALPHA, MARGIN) == (0.05, 0.05)
    pair = (trial("white_box", "pgd", 0.3, 50), trial("white_box", "pgd_long", 0.3, 38))
    flag = next(flag for flag in find([outcomes(*pair)], ATTACKS) if flag.check == "more_steps")
    assert flag.evidence == (
        "White-box PGD at ε = 0.3 leaves a robust accuracy of 50 of 100 images, white-box PGD long at ε = 0.3 leaves 38: "
        "12.0 points fewer, at least 6.3 of them no chance (95 %, corrected for 1 comparison); up to 5 are usual."
    )
    assert flag.rows == ("white_box pgd epsilon=0.3", "white_box pgd_long epsilon=0.3")


def test_lengths_are_compared_within_one_attack_only():
    pair = (trial("white_box", "pgd", 0.3, 50), trial("white_box", "pgd_long", 0.3, 5))

    def judged(settings, pair=pair):
        found = find([outcomes(*pair)], ATTACKS | {"pgd_long": ATTACKS["pgd_long"] | settings})
        return {flag.check: flag.raised for flag in found if flag.check.startswith("more_")}

    none = dict.fromkeys(("more_steps", "more_restarts", "more_queries"))
    assert judged({}) == none | {"more_steps": True}
    assert judged({"restarts": 5}) == none | {"more_steps": True}
    assert judged({"samples": 8}) == none | {"more_steps": True}
    assert judged({"steps": 10, "step_size": 0.1, "restarts": 5}) == none | {"more_restarts": True}
    for other in (
        {"loss": "margin"},
        {"steps": 10},
        {"steps": 10, "restarts": 5},
        {"steps": 5, "samples": 8},
    ):
        assert judged(other) == none, other
    # What takes fewer steps but more restarts is neither longer nor shorter.
    few = ATTACKS | {"pgd": ATTACKS["pgd"] | {"restarts": 7}}
    found = find([outcomes(*pair)], few)
    assert {flag.raised for flag in found if flag.check.startswith("more_")} == {None}


def test_a_suite_s_own_settings_count():
    """The study's stanza has 100 steps; on this model it was run with as few as the other."""
    place = ("net", "white_box", "net", "pgd_long")
    changed = ATTACKS["pgd_long"] | {"steps": 10, "step_size": 0.1}
    assert flags(suite_overrides={place: changed})["more_steps"].raised is None
    assert flags(suite_overrides={("other", *place[1:]): changed})["more_steps"].raised is False


@needs("attacks/autoattack")
def test_what_is_unknown_is_not_checked():
    unknown = {"more_steps", "more_restarts", "more_queries", "plain_vs_adaptive", *UNASKED}
    assert {gate for gate, flag in flags(attacks=None).items() if flag.raised is None} == unknown
    facts = {
        "unbounded_budget",
        "zero_gradients",
        "misleading_gradients",
        "saturated_loss",
        "probabilities",
        "randomness",
        *UNASKED,
    }
    assert {gate for gate, flag in flags(probe={}).items() if flag.raised is None} == facts
    assert flags({"unbounded": None})["unbounded_budget"].raised is None
    assert flags(notes={})["broken_gradients"].raised is None


@pytest.mark.parametrize(("share", "expected"), [(0.0, False), (0.001, True), (1.0, True)])
def test_any_gradient_that_is_no_number_is_a_flag(share, expected):
    flag = flags(notes=noted(share))["broken_gradients"]
    assert flag.raised is expected
    assert f"{100 * share:.3g} % were NaN or infinite" in flag.evidence


@pytest.mark.parametrize(("left", "share", "expected"), [(15, 0.1, False), (16, 0.1, True), (16, 0.2, False)])
def test_without_a_bound_accuracy_is_guessing(left, share, expected):
    """P(X >= 15) = 0.073 and P(X >= 16) = 0.040 for Binomial(100, 0.1)."""
    found = flags({"unbounded": trial("white_box", "pgd", 1.0, left)}, probe=PROBE | {"largest_class": share})
    assert found["unbounded_budget"].raised is expected
    assert f"{left} of 100" in found["unbounded_budget"].evidence


def test_the_strongest_unbounded_attack_counts():
    weak = {"one_step": trial("white_box", "fgsm", 1.0, 60), "small": trial("white_box", "pgd", 0.49, 15)}
    assert flags(weak)["unbounded_budget"].raised is False
    assert flags(weak | {"unbounded": None})["unbounded_budget"].raised is True
    gradients = {"one_step": trial("white_box", "fgsm", 0.5, 60), "unbounded": None}
    searched = {
        "search": trial("white_box", "square", 0.5, 0),
        "auto": trial("white_box", "autoattack", 0.5, 0),
    }
    assert flags(gradients | searched)["unbounded_budget"].raised is True


def test_what_an_unbounded_attack_leaves_by_guessing_is_no_rise():
    """PGD leaves none at 0.3 and 14 at 1, where every answer is the same."""
    found = flags(
        {"pgd_high": trial("white_box", "pgd", 0.3, 0), "unbounded": trial("white_box", "pgd", 1.0, 14)}
    )
    assert found["monotone_in_epsilon"].raised is False


@needs("attacks/autoattack", "attacks/square")
def test_autoattack_and_search_do_not_defend_the_gradients():
    """They find everything, by searching; the attacks that follow gradients find less than transfer does."""
    changes = {
        "pgd_high": trial("white_box", "pgd", 0.3, 90),
        "fgsm_high": trial("white_box", "fgsm", 0.3, 90),
        "longer": None,
        "restarted": None,
        "autoattack": trial("white_box", "autoattack", 0.3, 0),
        "square": trial("white_box", "square", 0.3, 0),
    }
    assert flags(changes)["white_box_vs_transfer"].raised is True


@needs("attacks/autoattack")
def test_autoattack_is_held_against_all_gradients_together():
    """PGD and FGSM leave 40 each, but only 10 both: AutoAttack's 8 are hardly fewer."""
    pgd = trial("white_box", "pgd", 0.3, range(40))
    fgsm = trial("white_box", "fgsm", 0.3, range(30, 70))
    found = {
        f.check: f for f in find([outcomes(pgd, fgsm, trial("white_box", "autoattack", 0.3, range(30, 38)))])
    }
    assert found["autoattack_vs_gradients"].raised is False
    assert "together leave a robust accuracy of 10 of 100" in found["autoattack_vs_gradients"].evidence
    alone = {f.check: f for f in find([outcomes(pgd, trial("white_box", "autoattack", 0.3, range(30, 38)))])}
    assert alone["autoattack_vs_gradients"].raised is True


def in_l2(*arguments, **options):
    return dataclasses.replace(
        trial(*arguments, **options), norm="l2", parameters=f"norm=l2 epsilon={arguments[2]}"
    )


@needs("attacks/autoattack")
def test_no_check_compares_budgets_of_two_norms():
    """Each pair would raise its check if both were in one norm."""
    for check, strong, weak in (
        ("iterative_vs_single_step", ("white_box", "pgd", 0.3, 60), ("white_box", "fgsm", 0.3, 20)),
        ("white_box_vs_transfer", ("white_box", "pgd", 0.3, 60), ("black_box", "fgsm", 0.3, 20)),
        ("monotone_in_epsilon", ("white_box", "pgd", 0.3, 60), ("white_box", "pgd", 0.1, 20)),
        ("more_steps", ("white_box", "pgd", 0.3, 60), ("white_box", "pgd_long", 0.3, 20)),
        ("adaptive_vs_plain", ("white_box", "pgd", 0.3, 60), ("adaptive", "pgd", 0.3, 20)),
        ("autoattack_vs_gradients", ("white_box", "pgd", 0.3, 60), ("white_box", "autoattack", 0.3, 20)),
    ):

        def raised(first, second, check=check):
            return {f.check: f.raised for f in find([outcomes(first, second)], ATTACKS)}[check]

        assert raised(trial(*strong), trial(*weak)) is True, check
        assert raised(in_l2(*strong), in_l2(*weak)) is True, check
        assert raised(in_l2(*strong), trial(*weak)) is None, check
        assert raised(trial(*strong), in_l2(*weak)) is None, check


def test_an_l2_budget_of_one_half_makes_no_image_grey():
    def flag(attack):
        return {f.check: f.raised for f in find([outcomes(attack, probe=PROBE)], ATTACKS)}["unbounded_budget"]

    assert flag(trial("white_box", "pgd", 0.5, 60)) is True
    assert flag(in_l2("white_box", "pgd", 3.0, 60)) is None


@needs("attacks/deepfool")
def test_settings_that_are_lists_have_their_largest_as_length():
    """DeepFool with a budget has its steps in a list of one."""
    lengths = {"deepfool": 5, "deepfool_long": 50}
    attacks = {name: {"kind": "deepfool", "steps": [n], "epsilons": [0.5]} for name, n in lengths.items()}
    left = {"deepfool": 60, "deepfool_long": 20}
    pair = [in_l2("white_box", name, 0.5, count, kind="deepfool") for name, count in left.items()]
    flag = next(f for f in find([outcomes(*pair)], attacks) if f.check == "more_steps")
    assert flag.raised is True
    assert "at L2, ε = 0.5" in flag.evidence


def test_all_attacks_together_are_those_inside_the_budget():
    """A transfer attack with less budget counts, one with more or of another norm does not."""
    pgd = trial("white_box", "pgd", 0.3, 50)

    def judged(*others):
        found = {f.check: f.raised for f in find([outcomes(pgd, *others)], ATTACKS)}
        return found["paper_attack_vs_worst_case"]

    assert judged() is None
    assert judged(trial("black_box", "fgsm", 0.2, 20, source="a")) is True
    assert judged(trial("black_box", "fgsm", 0.4, 20, source="a")) is None
    assert judged(dataclasses.replace(trial("black_box", "fgsm", 0.2, 20, source="a"), norm="l2")) is None
    # The study's own variant is none of the papers' attacks.
    variant = trial("white_box", "pgd_weak", 0.3, 90)
    found = {
        f.check: f.raised for f in find([outcomes(variant, trial("white_box", "fgsm", 0.3, 20))], ATTACKS)
    }
    assert found["paper_attack_vs_worst_case"] is None


def papers_flag(*others, ours=50, notes=None):
    made = outcomes(trial("white_box", "pgd", 0.3, ours), *others, notes=noted() if notes is None else notes)
    return {f.check: f for f in find([made], ATTACKS)}["paper_attack_vs_worst_case"]


@needs("attacks/mim")
def test_a_paper_s_attack_that_longer_ones_beat_is_weak_and_no_sign_of_masking():
    """All attacks leave 20; the same gradients, followed longer, leave 20 too, or 45: only the latter is masked."""
    search = trial("white_box", "square", 0.3, 20)
    for longer in (
        trial("white_box", "pgd_long", 0.3, 20),
        trial("white_box", "mim_tuned", 0.3, 20),
        trial("white_box", "pgd_long", 0.1, 20),
    ):
        flag = papers_flag(search, longer)
        assert flag.raised is False
        assert "PGD at ε = 0.3 leaves a robust accuracy of 50 of 100 images, all attacks" in flag.evidence
        assert "That is the attack's own weakness: All that follow the logits' gradients" in flag.evidence
    flag = papers_flag(search, trial("white_box", "pgd_long", 0.3, 45))
    assert flag.raised is True
    assert "No longer one closes the gap: All that follow the logits' gradients" in flag.evidence
    assert "together leave a robust accuracy of 45 of 100" in flag.evidence
    assert flag.rows == ("white_box pgd epsilon=0.3",)


@pytest.mark.parametrize("excuse", ["square", "transfer", "adaptive", "member"])
def test_only_the_model_s_own_logits_excuse_a_paper_s_attack(excuse):
    """What searches, is made elsewhere, or follows another loss does not say what the gradients can do."""
    found = {
        "square": trial("white_box", "square", 0.3, 20),
        "transfer": trial("black_box", "pgd", 0.3, 20, source="vgg19"),
        "adaptive": trial("adaptive", "pgd", 0.3, 20, view="joint"),
        "member": trial("white_box", "pgd", 0.3, 20, source="vgg19"),
    }
    assert papers_flag(found[excuse]).raised is True


@needs("attacks/strongest")
@pytest.mark.parametrize(
    ("part", "access", "expected"),
    [
        ("cross-entropy", "gradient", False),
        ("margin", "gradient", False),
        ("targeted margin", "gradient", False),
        ("joint, margin", "gradient", True),
        ("AutoAttack", "ensemble", True),
        ("Square", "score", True),
        ("transfer from other", "transfer", True),
    ],
)
def test_the_parts_of_a_composed_attack_that_follow_the_logits_excuse_it_too(part, access, expected):
    notes = {"white_box": {"net": {"strongest": {"parts": [(part, access)]}}}}
    assert papers_flag(composed(20, {part: 75}), notes=notes).raised is expected


@pytest.mark.parametrize(
    ("facts", "expected", "words"),
    [
        (
            {"hidden": 64, "asked": 64},
            True,
            "For 64 of 64 images, clean or moved a little, the network answers",
        ),
        ({"hidden": 17, "asked": 64}, False, "are harmless"),
        (
            {"unresolved": 100, "compared": 0},
            True,
            "At 100 of 100 clean images the gradient cannot be compared",
        ),
        ({"unresolved": 20, "compared": 80}, False, "are harmless"),
        ({"hidden": 64, "asked": 64, "compared": 0}, None, "has a gradient|have a gradient"),
    ],
)
def test_gradients_of_another_network_or_that_nothing_is_known_of_are_told(facts, expected, words):
    """P(X >= 17) is 0.42 for Binomial(64, 1/4)."""
    flag = flags(probe=PROBE | facts)["misleading_gradients"]
    assert flag.raised is expected
    assert re.search(words, flag.evidence)


@pytest.mark.parametrize(("zero", "expected"), [(9, False), (11, True)])
def test_a_few_zero_gradients_are_harmless(zero, expected):
    """P(X >= 9) = 0.063 and P(X >= 11) = 0.011 for Binomial(100, 0.05)."""
    assert flags(probe=PROBE | {"zero_gradients": zero})["zero_gradients"].raised is expected


def test_what_attacks_noted_of_their_gradients_counts():
    told = {
        "pgd": {"attacked": 90, "gradient_zero_share": 0.2},
        "random_noise": {"gradient_zero_share": None},
    }
    flag = flags(notes={"white_box": {"net": told}})["zero_gradients"]
    assert flag.raised is True
    assert "PGD" in flag.evidence
    assert "18 of 90" in flag.evidence
    assert flag.rows == ("white_box pgd epsilon=0.1",)
    for elsewhere in (
        {"white_box": {"other": told}},
        {"adaptive": {"net": told}},
        {"black_box": {"net": told}},
    ):
        assert flags(notes=elsewhere)["zero_gradients"].raised is False


def test_a_saturated_loss_that_attacks_succeed_all_the_same_is_no_flag():
    """PGD leaves 5 of 100, fewer than guessing; were it 14, the loss would be to blame."""
    saturated = PROBE | {"zero_losses": 100, "saturated": 100, "margin": 25.0}
    flag = flags(probe=saturated)["saturated_loss"]
    assert flag.raised is False
    assert "succeed all the same" in flag.evidence
    stands = {"unbounded": trial("white_box", "pgd", 1.0, 14)}
    flag = flags(stands, probe=saturated)["saturated_loss"]
    assert flag.raised is True
    assert "100 have a cross-entropy" in flag.evidence


def test_random_answers_are_no_flag_where_an_attack_averages_over_them():
    answers = PROBE | {"random": True, "difference": 1.5, "changed": 4}
    assert flags(probe=answers)["randomness"].raised is True
    averaging = ATTACKS | {"pgd_long": ATTACKS["pgd_long"] | {"samples": 20}}
    flag = flags(probe=answers, attacks=averaging)["randomness"]
    assert flag.raised is False
    assert "white-box PGD long at ε = 0.3 averages over passes" in flag.evidence
    transfer = {"black_box": trial("black_box", "pgd_long", 0.3, 80, source="vgg19"), "longer": None}
    assert flags(transfer, probe=answers, attacks=averaging)["randomness"].raised is True


def test_what_only_further_passes_show_is_not_told_of_two():
    flag = flags(probe=PROBE | {"random": True, "difference": 0.0, "changed": 0})["randomness"]
    assert flag.raised is True
    assert "answer alike, but not the further passes over some of them; no attack averages" in flag.evidence


@needs("attacks/autoattack")
def test_random_answers_are_no_flag_under_the_autoattack_that_is_made_for_them():
    answers = PROBE | {"random": True, "difference": 1.5, "changed": 4}
    rand = ATTACKS | {"autoattack": ATTACKS["autoattack"] | {"version": "rand"}}
    assert flags(probe=answers, attacks=rand)["randomness"].raised is False


def test_facts_of_all_seeds_are_pooled():
    seeds = [outcomes(seed=seed, probe=PROBE | {"zero_gradients": 8}) for seed in range(3)]
    (flag,) = [flag for flag in find(seeds) if flag.check == "zero_gradients"]
    assert flag.raised is True
    assert "24 of 300" in flag.evidence
    mixed = [outcomes(seed=0, probe=PROBE), outcomes(seed=1, probe=PROBE | {"probabilities": True})]
    (flag,) = [flag for flag in find(mixed) if flag.check == "probabilities"]
    assert flag.raised is True


@pytest.mark.parametrize(
    ("count", "total", "share"), [(0, 10, 0.3), (3, 10, 0.3), (10, 10, 0.3), (700, 9000, 0.07)]
)
def test_tails_are_those_of_the_binomial_distribution(count, total, share):
    assert at_least(count, total, share) == pytest.approx(binom.sf(count - 1, total, share), rel=1e-9)
