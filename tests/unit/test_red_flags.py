"""A made-up masked model raises its gates, an honest one none, and missing attacks leave them unchecked."""

from __future__ import annotations

import numpy as np
import pytest

from reproof.red_flags import COLUMNS, GATES, find, table_rows
from reproof.tables import Outcomes, Trial, to_csv

COUNT = 100


def trial(setting, attack, epsilon, standing, *, source="net", kind=None, images=COUNT, view="logits"):
    """An attack that leaves the given images standing: a count (the first ones) or a set."""
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


def outcomes(*trials, seed=0, model="net", clean=95):
    whose = {"study": "s", "dataset": "d", "architecture": "a", "defense": "x", "training": "clean"}
    correct = np.arange(COUNT) < clean
    return Outcomes(**whose, model=model, seed=seed, images=np.arange(COUNT), clean=correct, trials=trials)


HONEST = {
    "fgsm_low": trial("white_box", "fgsm", 0.1, 80),
    "fgsm_high": trial("white_box", "fgsm", 0.3, 40),
    "pgd_low": trial("white_box", "pgd", 0.1, 70),
    "pgd_high": trial("white_box", "pgd", 0.3, 20),
    "transfer": trial("black_box", "fgsm", 0.3, 75, source="vgg19"),
    "noise": noise(0.3, 90),
    "adaptive": trial("adaptive", "pgd", 0.3, 22, view="joint"),
}


def raised(**changes):
    trials = {**HONEST, **changes}
    return {
        flag.gate: flag.raised for flag in find([outcomes(*(t for t in trials.values() if t is not None))])
    }


def only(gate):
    return {name: name == gate for name in GATES}


def test_an_honest_model_raises_nothing():
    assert raised() == only(None)


@pytest.mark.parametrize(
    ("gate", "change"),
    [
        ("iterative_vs_single_step", {"pgd_low": trial("white_box", "pgd", 0.1, 95)}),
        ("white_box_vs_transfer", {"transfer": trial("black_box", "fgsm", 0.3, 5, source="vgg19")}),
        ("white_box_vs_noise", {"noise": noise(0.3, 5)}),
        ("monotone_in_epsilon", {"fgsm_low": trial("white_box", "fgsm", 0.1, 15), "pgd_low": None}),
        ("adaptive_vs_plain", {"adaptive": trial("adaptive", "pgd", 0.3, 5, view="joint")}),
    ],
)
def test_each_gate_alone(gate, change):
    assert raised(**change) == only(gate)


def test_a_masked_model_raises_them_all():
    flags = raised(
        pgd_high=trial("white_box", "pgd", 0.3, 93),
        fgsm_high=trial("white_box", "fgsm", 0.3, 60),
        transfer=trial("black_box", "fgsm", 0.3, 20, source="vgg19"),
        noise=noise(0.3, 30),
        adaptive=trial("adaptive", "pgd", 0.3, 10, view="joint"),
    )
    assert flags == dict.fromkeys(GATES, True)


def test_a_few_images_are_no_flag():
    """Four images more under PGD than under FGSM (p = 1/16) are chance; twelve are not."""
    adaptive = trial("adaptive", "pgd", 0.3, 44, view="joint")
    assert raised(pgd_high=trial("white_box", "pgd", 0.3, 44), adaptive=adaptive) == only(None)
    assert raised(pgd_high=trial("white_box", "pgd", 0.3, 52))["iterative_vs_single_step"] is True


def test_pairs_count_not_totals():
    """Ten images apart in total, but 35 against 25 discordant ones: no sign of anything (p = 0.12)."""
    unlike = trial("white_box", "pgd", 0.3, set(range(40, 75)) | set(range(15)))
    assert raised(pgd_high=unlike, adaptive=None)["iterative_vs_single_step"] is False


def test_many_comparisons_are_corrected_for():
    """p = 1/64 (six images to none) is a flag as the only comparison, and none among four."""
    single = trial("white_box", "fgsm", 0.3, 40)
    odd = trial("white_box", "pgd", 0.3, 46)
    (flag, *_) = find([outcomes(single, odd)])
    assert (flag.gate, flag.raised) == ("iterative_vs_single_step", True)
    others = [trial("white_box", name, 0.3, 20) for name in ("bim", "mim", "pgd_converged")]
    (flag, *_) = find([outcomes(single, odd, *others)])
    assert flag.raised is False


def test_missing_attacks_leave_gates_unchecked():
    flags = find([outcomes(trial("white_box", "fgsm", 0.3, 40))])
    assert [flag.gate for flag in flags] == list(GATES)
    assert {flag.raised for flag in flags} == {None}
    assert all(flag.evidence.startswith("Not checked") and flag.rows == () for flag in flags)


def test_other_budgets_and_norms_are_not_compared():
    weaker = trial("white_box", "pgd", 0.1, 95)
    flags = find([outcomes(trial("white_box", "fgsm", 0.3, 40), weaker, noise(0.2, 1))])
    assert {flag.raised for flag in flags} == {None}


def test_adaptive_attacks_do_not_defend_the_plain_ones():
    """The adaptive attack is as strong as transfer; the plain ones are not, which is what the gate asks."""
    flags = raised(
        adaptive=trial("adaptive", "pgd", 0.3, 5, view="joint"),
        transfer=trial("black_box", "fgsm", 0.3, 5, source="vgg19"),
    )
    assert flags["white_box_vs_transfer"] is True


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
    flags = raised(transfer=trial("black_box", "fgsm", 0.3, 5, source="vgg19"), noise=noise(0.3, 4))
    assert flags["white_box_vs_transfer"] is True


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
    assert [flag.raised for flag in apart if flag.gate == "iterative_vs_single_step"] == [False] * 3
    assert [flag.model for flag in apart[:: len(GATES)]] == ["a", "b", "c"]


def test_evidence_has_numbers_and_rows():
    (flag, *_) = find([outcomes(trial("white_box", "fgsm", 0.3, 40), trial("white_box", "pgd", 0.3, 90))])
    assert flag.evidence == (
        "White-box PGD at ε = 0.3 leaves 90 of 100 images standing, white-box FGSM at ε = 0.3 leaves 40; "
        "50 stand only the former, 0 only the latter (p = 8.9e-16, corrected for 1 comparison)."
    )
    assert flag.rows == ("white_box fgsm epsilon=0.3", "white_box pgd epsilon=0.3")
    text = to_csv(table_rows([flag]), COLUMNS)
    assert text.splitlines()[0] == "model,gate,raised,evidence,rows"
    assert text.splitlines()[1].startswith("net,iterative_vs_single_step,true,")


def test_attacks_on_single_members_are_not_the_ensemble_s_own() -> None:
    own = trial("white_box", "fgsm", 0.3, 60)
    members = [trial("white_box", "fgsm", 0.3, count, source=name) for name, count in (("a", 5), ("b", 8))]
    together = trial("white_box", "pgd", 0.3, 90, source="members")
    transfer = trial("black_box", "pgd", 0.3, 10, source="other")
    flags = {flag.gate: flag for flag in find([outcomes(own, *members, together, transfer)])}
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
