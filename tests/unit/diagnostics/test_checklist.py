"""The checklist's answers, each from a made-up study where the answer is known, and where it turns."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from reproof.csv_tables import CHECKLIST
from reproof.diagnostics import red_flags
from reproof.diagnostics.checklist import ITEMS, answer, table_rows
from reproof.diagnostics.checklist_case import ANSWERS, Facts, Subject, facts
from reproof.diagnostics.sanity_check import CHECKS, Power, RedFlag
from reproof.diagnostics.trials import named
from reproof.judging.verdicts import Verdict
from reproof.measuring.outcomes import Outcomes, Trial
from reproof.settings.parameters import PrintedNumber
from tests.ours import needs

COUNT = 100
ATTACKS = {
    "fgsm": {"kind": "fgsm", "epsilons": [0.1, 0.2, 0.3]},
    "pgd": {"kind": "pgd", "epsilons": [0.1, 0.2, 0.3], "steps": 10, "restarts": 1},
    "pgd_converged": {"kind": "pgd", "epsilons": [0.3], "steps": 100, "restarts": 10},
    "carlini_wagner": {"kind": "carlini_wagner", "constants": [1], "steps": 100},
    "jsma": {"kind": "jsma", "steps": [200]},
    "random_noise": {"kind": "random_noise", "epsilons": [0.3], "repeats": 10},
    "square": {"kind": "square", "epsilons": [0.3]},
    "autoattack": {"kind": "autoattack", "epsilons": [0.3]},
}


def trial(setting, attack, parameters, standing, *, source="", view="logits", norm="linf", model="net"):
    """An attack that leaves the given images right: the first ones, or a set of them."""
    left = set(range(standing)) if isinstance(standing, int) else set(standing)
    name, _, value = parameters.partition("=")
    return Trial(
        setting=setting,
        threat=setting,
        source=source or model,
        attack=attack,
        kind=ATTACKS[attack]["kind"],
        view=view,
        norm=norm,
        parameters=parameters,
        epsilon=PrintedNumber(value) if name == "epsilon" else None,
        images=np.arange(COUNT),
        correct=np.array([image in left for image in range(COUNT)]),
        refused=np.zeros(COUNT, dtype=bool),
        failed=None,
        l2=np.arange(COUNT, dtype=float),
        model=model,
    )


def white(attack, parameters, standing, **more):
    return trial("white_box", attack, parameters, standing, **more)


def outcomes(*trials, model="net", seed=0, clean=95, **more):
    whose = {"study": "s", "dataset": "digits", "architecture": "cnn6", "defense": "x", "training": "clean"}
    correct = np.arange(COUNT) < clean
    return Outcomes(
        **whose, model=model, seed=seed, images=np.arange(COUNT), clean=correct, trials=trials, **more
    )


def subject(**changes):
    whole = Subject("digits", "cnn6", "prototype_conformity", "clean", "", 10, ("joint",))
    return dataclasses.replace(whole, **changes)


PLAIN = subject(defense="undefended", views=())


def study(models=None, threats=None):
    return Facts(models or {"net": subject()}, ATTACKS, threats or {"white_box": "white_box"})


def told(item, *trials, about=None, flags=(), models=None, others=(), **more):
    """Return the answer and the evidence of one item for the model `net`, or for the study."""
    given = study({"net": about or subject(), **(models or {})})
    replies = answer(given, [outcomes(*trials, **more), *others], flags)
    (found,) = [r for r in replies if r.item == item and r.model in ("net", "")]
    return found.answer, found.evidence


def raised(gate, value, evidence="Evidence."):
    return RedFlag("net", gate, value, evidence, ())


def test_every_item_is_answered_once_for_each_model_or_once_for_the_study():
    given = study({"net": subject(), "plain": PLAIN})
    replies = answer(given, [outcomes(white("pgd", "epsilon=0.3", 5)), outcomes(model="plain")], ())
    for item in ITEMS:
        models = [reply.model for reply in replies if reply.item == item.key]
        assert models in ([""], ["net", "plain"]), item.key
    assert [r.item for r in replies] == sorted(
        (r.item for r in replies), key=[item.key for item in ITEMS].index
    )
    assert {reply.answer for reply in replies} <= set(ANSWERS)
    for reply in replies:
        assert reply.evidence.endswith("."), reply
        assert reply.evidence[0].isupper() or reply.evidence[0].isdigit(), reply


def test_a_model_that_was_not_run_gets_no_answer():
    replies = answer(study({"net": subject(), "planned": PLAIN}), [outcomes()], ())
    assert "planned" not in {reply.model for reply in replies}


def test_the_table_says_item_group_place_and_answer():
    rows = table_rows(answer(study(), [outcomes()], ()))
    text = CHECKLIST.text(CHECKLIST.frame(rows))
    assert text.splitlines()[0] == "item,group,section,model,answer,evidence"
    clean = next(row for row in rows if row["item"] == "clean_accuracy")
    assert (clean["group"], clean["section"], clean["model"]) == ("Common severe flaws", "4.2", "net")
    assert clean["evidence"].startswith("95 of 100 test images")


@pytest.mark.parametrize(
    ("item", "gate"),
    [
        ("iterative", "iterative_vs_single_step"),
        ("monotone", "monotone_in_epsilon"),
        ("transfer_weaker", "white_box_vs_transfer"),
        ("steps", "more_steps"),
        ("restarts", "more_restarts"),
    ],
)
def test_sanity_tests_are_the_red_flags_own(item, gate):
    assert gate in CHECKS
    assert told(item, flags=[raised(gate, False, "It holds.")]) == ("yes", "It holds.")
    assert told(item, flags=[raised(gate, True, "It does not.")]) == ("no", "It does not.")
    if item != "restarts":
        assert told(item, flags=[raised(gate, None, "Not checked: none.")]) == ("no", "Not checked: none.")
    assert told(item)[0] == "no"


@pytest.mark.parametrize(
    ("item", "gate"),
    [("steps", "more_steps"), ("restarts", "more_restarts"), ("monotone", "monotone_in_epsilon")],
)
def test_what_notices_little_or_leaves_attacks_out_is_answered_in_part(item, gate):
    held = raised(gate, False, "It holds.")
    fine = dataclasses.replace(held, power=Power(0.2, 48))
    assert told(item, flags=[fine]) == ("yes", "It holds. Would notice 20 points at 48 images.")
    coarse = dataclasses.replace(held, power=Power(0.3, 48))
    assert told(item, flags=[coarse]) == ("partly", "It holds. Would notice 30 points at 48 images.")
    alone = dataclasses.replace(fine, left_out=("adaptive BIM",))
    assert told(item, flags=[alone])[0] == "partly"


def test_steps_are_queries_too():
    steps, queries = (
        raised("more_steps", False, "Steps hold."),
        raised("more_queries", False, "Queries hold."),
    )
    assert told("steps", flags=[steps, queries]) == ("yes", "Steps hold. Queries hold.")
    short = raised("more_queries", True, "Queries do not.")
    assert told("steps", flags=[steps, short]) == ("no", "Steps hold. Queries do not.")
    no_search = raised("more_queries", None, "Not checked: none.")
    assert told("steps", flags=[steps, no_search]) == ("yes", "Steps hold.")
    alone = dataclasses.replace(no_search, left_out=("white-box Square",))
    assert told("steps", flags=[steps, alone]) == ("partly", "Steps hold. Not checked: none.")
    assert told("steps", flags=[raised("more_steps", None, "Not checked."), no_search])[0] == "no"


def test_restarts_that_were_not_compared_are_told_by_their_number():
    assert told("restarts", white("pgd_converged", "epsilon=0.3", 5)) == (
        "partly",
        "PGD starts at 10 random points of the ball; more starts were not compared with fewer.",
    )
    assert told("restarts", white("fgsm", "epsilon=0.3", 5))[0] == "no"


def test_adaptive_attacks_maximise_every_loss_that_is_declared():
    joint = trial("adaptive", "pgd", "epsilon=0.3", 5, view="joint")
    two = subject(views=("joint", "votes"))
    assert told("adaptive", about=PLAIN)[0] == "does not apply"
    assert told("adaptive", about=subject(views=()))[0] == "partly"
    assert told("adaptive", white("pgd", "epsilon=0.3", 5))[0] == "no"
    assert told("adaptive", joint)[0] == "yes"
    word, evidence = told("adaptive", joint, about=two)
    assert word == "partly"
    assert "none maximises votes" in evidence


def test_a_purifier_is_attacked_as_a_whole_only_through_it():
    purifier = subject(views=("straight", "joint"), surrogates=("straight",), purifies=True)
    plain = white("pgd", "epsilon=0.3", 5)
    through = trial("adaptive", "pgd", "epsilon=0.3", 5, view="straight")
    assert told("end_to_end", plain, about=purifier)[0] == "no"
    assert told("not_differentiable", plain, about=purifier)[0] == "no"
    word, evidence = told("end_to_end", plain, through, about=purifier)
    assert (word, "(view straight)" in evidence) == ("yes", True)
    assert told("not_differentiable", plain, through, about=purifier)[0] == "yes"
    other = trial("adaptive", "pgd", "epsilon=0.3", 5, view="joint")
    for item in ("end_to_end", "not_differentiable"):
        assert told(item, plain, other, about=purifier)[0] == "no"
    assert told("not_differentiable", plain)[0] == "does not apply"


def test_each_surrogate_of_a_vote_is_asked_for():
    ballot = subject(views=("sum", "ballot"), surrogates=("ballot", "sum"), members=3)
    one = trial("adaptive", "fgsm", "epsilon=0.3", 5, view="ballot")
    other = trial("adaptive", "pgd", "epsilon=0.3", 5, view="sum")
    assert told("not_differentiable", about=ballot) == ("no", "No attack maximises ballot and sum.")
    assert told("not_differentiable", one, about=ballot) == ("partly", "Attacks maximise ballot, none sum.")
    assert told("not_differentiable", one, other, about=ballot)[0] == "yes"


def test_an_ensemble_is_attacked_as_a_whole_through_all_its_members():
    ensemble = subject(defense="diverse_ensemble", views=("mean_logits", "votes"), members=3)
    member = white("fgsm", "epsilon=0.3", 5, source="first")
    together = white("fgsm", "epsilon=0.3", 5, source="members")
    assert told("end_to_end", member, about=ensemble)[0] == "no"
    assert told("end_to_end", member, together, about=ensemble)[0] == "yes"


@needs("attacks/autoattack")
def test_the_strongest_attack_is_named_with_what_it_leaves():
    pgd = white("pgd", "epsilon=0.3", 40)
    assert told("strongest")[0] == "no"
    word, evidence = told("strongest", pgd, white("fgsm", "epsilon=0.3", 60))
    assert (word, "PGD at ε = 0.3 leaves a robust accuracy of 40 of 100" in evidence) == ("partly", True)
    word, evidence = told("strongest", pgd, white("autoattack", "epsilon=0.3", 30))
    assert (word, "leaves a robust accuracy of 30 of 100" in evidence) == ("yes", True)


@needs("attacks/random_noise")
def test_noise_and_images_wrong_from_the_start_are_no_feat_of_an_attack():
    """Image 99 is wrong clean and right under the attack: it does not stand."""
    noise = white("random_noise", "epsilon=0.3", 0)
    assert told("strongest", noise)[0] == "no"
    assert (
        "leaves a robust accuracy of 3 of 100"
        in told("strongest", white("pgd", "epsilon=0.3", {0, 1, 2, 99}))[1]
    )


@pytest.mark.parametrize(("right", "word"), [(0, "yes"), (10, "yes"), (15, "yes"), (16, "no"), (60, "no")])
def test_guessing_is_the_classes_chance_within_the_interval(right, word):
    """Of 100 images, Wilson's interval of 15 begins at 9.3 %, that of 16 at 10.1 %; chance is 1 in 10."""
    small = white("pgd", "epsilon=0.1", 0)
    assert told("guessing", small, white("pgd", "epsilon=0.3", right))[0] == word


def test_chance_depends_on_the_number_of_classes():
    large = white("pgd", "epsilon=0.3", 30)
    assert told("guessing", large)[0] == "no"
    assert told("guessing", large, about=subject(classes=3))[0] == "yes"


def test_an_l2_budget_over_1_is_no_larger_than_one_of_linf():
    linf, l2 = white("pgd", "epsilon=0.3", 0), white("pgd_converged", "epsilon=3", 60, norm="l2")
    assert told("guessing", linf, l2)[0] == "yes"
    assert told("guessing", l2)[0] == "no"


def test_budgets_of_two_norms_make_no_curve_and_are_named():
    low, middle = white("pgd", "epsilon=0.1", 50), white("pgd", "epsilon=0.2", 20)
    assert told("curve", low, middle, white("pgd", "epsilon=0.5", 0, norm="l2"))[0] == "no"
    longest = [white("pgd", f"epsilon={epsilon}", 0, norm="l2") for epsilon in (0.5, 1, 3)]
    assert "PGD at 3 budgets up to L2, ε = 3, where 0 of 100" in told("curve", low, middle, *longest)[1]


def test_a_curve_needs_three_budgets_and_reaches_zero():
    low, middle = white("pgd", "epsilon=0.1", 50), white("pgd", "epsilon=0.2", 20)
    assert told("curve")[0] == "no"
    assert told("curve", low, middle)[0] == "no"
    assert told("curve", low, middle, white("pgd", "epsilon=0.3", 5))[0] == "partly"
    assert told("curve", low, middle, white("pgd", "epsilon=0.3", 0))[0] == "yes"
    elsewhere = trial("black_box", "pgd", "epsilon=0.3", 0, source="other")
    assert told("curve", low, middle, elsewhere)[0] == "no", "points of two curves make none of three"


def test_distortion_is_that_of_the_fooled_images():
    """95 are right clean; the attack leaves the first 90, so 90 to 94 are fooled, of L2 90 to 94."""
    free = white("carlini_wagner", "c=1", 90, norm="l2")
    assert told("distortion", white("pgd", "epsilon=0.3", 5))[0] == "does not apply"
    assert told("distortion", free) == (
        "yes",
        "1 of 1 measurements without a budget have a mean L2 distance; white-box C&W at c = 1: 92.",
    )
    assert told("distortion", white("carlini_wagner", "c=1", 95, norm="l2"))[0] == "partly"
    assert told("distortion", free, white("jsma", "steps=200", 95, norm="l0"))[0] == "partly"


def test_an_adaptive_attack_that_finds_less_is_said_to():
    plain = white("pgd", "epsilon=0.3", 20)
    assert told("adaptive_best", plain, about=PLAIN)[0] == "does not apply"
    assert told("adaptive_best", plain)[0] == "no"
    as_strong = trial("adaptive", "pgd", "epsilon=0.3", 21, view="joint")
    weaker = trial("adaptive", "pgd", "epsilon=0.3", 60, view="joint")
    assert told("adaptive_best", plain, as_strong)[0] == "yes"
    word, evidence = told("adaptive_best", plain, weaker)
    assert word == "no"
    assert "leaves 60 of 100" in evidence
    assert "leaves 20" in evidence
    # The strongest of the adaptive attacks counts, and only in the same budget.
    stronger = trial("adaptive", "fgsm", "epsilon=0.3", 20, view="joint")
    assert told("adaptive_best", plain, weaker, stronger)[0] == "yes"
    small = trial("adaptive", "pgd", "epsilon=0.1", 0, view="joint")
    assert told("adaptive_best", plain, small)[0] == "no"


def test_per_example_is_the_worst_case_and_not_the_least_mean():
    """Each attack alone leaves 50; together they leave none."""
    first, second = white("pgd", "epsilon=0.3", set(range(50))), white("fgsm", "epsilon=0.3", range(50, 95))
    word, evidence = told("per_example", first, second)
    assert word == "yes"
    assert evidence.startswith("0 of 100 images withstand all 2 measurements up to L∞ ε = 0.3")
    assert "leaves a robust accuracy of 45 of 100" in evidence


@needs("attacks/random_noise")
def test_ways_of_searching_count_once_each():
    signs = [white(attack, "epsilon=0.3", 5) for attack in ("fgsm", "pgd", "pgd_converged")]
    free = white("carlini_wagner", "c=1", 5, norm="l2")
    assert told("diverse", *signs)[0] == "no"
    assert told("diverse", *signs, free)[0] == "partly"
    assert told("diverse", *signs, free, white("jsma", "steps=200", 5, norm="l0"))[0] == "yes"
    assert told("diverse", *signs, free, white("random_noise", "epsilon=0.3", 5))[0] == "partly"


@needs("attacks/random_noise", "attacks/square")
def test_searches_without_gradients():
    gate, pgd = "white_box_vs_gradient_free", white("pgd", "epsilon=0.3", 20)
    noise, square = white("random_noise", "epsilon=0.3", 80), white("square", "epsilon=0.3", 40)
    assert told("gradient_free", pgd)[0] == "no"
    assert told("gradient_free", pgd, noise)[0] == "partly"
    assert told("gradient_free", pgd, square, flags=[raised(gate, False)])[0] == "partly"
    assert told("gradient_free", pgd, square, noise, flags=[raised(gate, False)])[0] == "yes"
    assert told("gradient_free", pgd, square, noise, flags=[raised(gate, True)])[0] == "no"
    assert gate in CHECKS
    assert told("combination", pgd)[0] == "no"
    assert told("combination", pgd, noise)[0] == "partly"
    moved = trial("black_box", "fgsm", "epsilon=0.3", 50, source="other")
    assert told("combination", pgd, noise, square, moved)[0] == "yes"


def test_a_substitute_is_alike_when_it_is_of_the_same_network():
    others = {"far": subject(architecture="vgg19"), "near": subject(defense="undefended")}
    far = trial("black_box", "fgsm", "epsilon=0.3", 50, source="far")
    both = trial("black_box", "pgd", "epsilon=0.3", 50, source="far+near")
    assert told("substitute", models=others)[0] == "no"
    assert told("substitute", far, models=others)[0] == "partly"
    assert told("substitute", far, both, models=others)[0] == "yes"


def test_randomness_is_what_the_probe_saw():
    flags = [raised("randomness", False, "Two passes answer alike.")]
    assert told("randomness")[0] == "no"
    assert told("randomness", flags=flags)[0] == "does not apply"
    assert told("randomness", flags=flags, probe={"random": True})[0] == "yes"
    assert told("randomness", flags=[raised("randomness", True)], probe={"random": True})[0] == "no"


@needs("attacks/random_noise")
def test_noise_is_asked_for_often():
    gate, noise = "white_box_vs_noise", white("random_noise", "epsilon=0.3", 80)
    assert told("noise", flags=[raised(gate, False)])[0] == "no"
    word, evidence = told("noise", noise, flags=[raised(gate, False)])
    assert (word, evidence) == ("partly", "Up to 10 draws per image. Evidence.")
    assert told("noise", noise, flags=[raised(gate, True)])[0] == "no"


def test_explored_settings_are_others_than_budgets(monkeypatch):
    pgd, longer = white("pgd", "epsilon=0.3", 20), white("pgd_converged", "epsilon=0.3", 10)
    assert told("explored", pgd)[0] == "no"
    assert told("explored", pgd, longer)[0] == "yes"
    monkeypatch.setitem(ATTACKS, "pgd_converged", {**ATTACKS["pgd"], "epsilons": [0.5], "images": 5})
    assert told("explored", pgd, longer)[0] == "no"


@needs("attacks/jsma")
def test_targeted_and_untargeted_attacks():
    away, towards = white("pgd", "epsilon=0.3", 20), white("jsma", "steps=200", 20, norm="l0")
    assert told("targeted", away)[0] == "partly"
    assert told("targeted", towards)[0] == "partly"
    assert told("targeted", away, towards)[0] == "yes"


def test_an_ablation_removes_every_component():
    both = subject(defense="defensive_features+polarised_contrastive", added_training="fgsm")
    assert told("ablation", about=PLAIN)[0] == "does not apply"
    assert told("ablation")[0] == "no"
    assert told("ablation", models={"plain": PLAIN})[0] == "yes"
    assert told("ablation", models={"plain": subject(defense="undefended", architecture="vgg19")})[0] == "no"
    word, evidence = told("ablation", about=both, models={"plain": PLAIN})
    assert word == "partly"
    assert evidence.startswith("1 of 7 models with fewer of its 3 components")


def test_attacks_must_break_a_similar_undefended_model():
    def beside(right, **changes):
        plain = dataclasses.replace(PLAIN, **changes)
        other = outcomes(white("pgd", "epsilon=0.3", right, model="plain"), model="plain")
        return told("undefended", models={"plain": plain}, others=[other])[0]

    assert told("undefended", about=PLAIN)[0] == "does not apply"
    assert told("undefended")[0] == "no"
    assert beside(5) == "yes"
    assert beside(60) == "no"
    assert beside(5, architecture="vgg19") == "no"


@needs("attacks/random_noise")
def test_each_kind_of_attack_is_shown_to_work_somewhere():
    """Half of the 95 that are right clean must fall, on any model."""
    weak = white("jsma", "steps=200", 60, norm="l0")
    word, evidence = told("validated", white("pgd", "epsilon=0.3", 5), weak)
    assert (word, "JSMA (37 %)" in evidence) == ("partly", True)
    other = outcomes(white("jsma", "steps=200", 10, norm="l0", model="plain"), model="plain")
    word, _ = told("validated", white("pgd", "epsilon=0.3", 5), weak, models={"plain": PLAIN}, others=[other])
    assert word == "yes"
    assert told("validated", white("random_noise", "epsilon=0.3", 95))[0] == "no"


def test_refusals_are_counted_where_there_are_any():
    assert told("refusals")[0] == "does not apply"
    refused = np.arange(COUNT) >= 97
    assert told("refusals", clean_refused=refused) == (
        "partly",
        "3 of 100 clean images are refused, at one threshold alone.",
    )


def test_the_threat_model_names_settings_and_budgets():
    replies = answer(
        study(threats={"a": "white_box", "b": "white_box", "c": "black_box"}),
        [outcomes(white("pgd", "epsilon=0.1", 5), white("carlini_wagner", "c=1", 5, norm="l2"))],
        (),
    )
    found = next(reply for reply in replies if reply.item == "threat_model")
    assert found.answer == "yes"
    assert found.evidence == (
        "3 threats (1 black-box, 2 white-box); any wrong class is the goal; L∞ budgets from 0.1 to 0.1; "
        "without a budget: C&W."
    )
    assert told("threat_model")[0] == "no"


def test_settings_that_the_study_does_not_know_are_no_report():
    known = white("pgd", "epsilon=0.3", 5)
    assert told("hyper_parameters", known) == ("yes", "3 settings of 1 attack are listed, defaults too.")
    foreign = dataclasses.replace(known, attack="mystery", parameters="epsilon=0.2", epsilon=0.2)
    assert told("hyper_parameters", known, foreign)[0] == "no"


def verdict(word, differences=""):
    empty = {field.name: None for field in dataclasses.fields(Verdict)}
    return Verdict(**{**empty, "claim_id": "x", "verdict": word, "differences": differences})


@pytest.mark.parametrize(
    ("verdicts", "word"),
    [
        ([], "partly"),
        ([verdict("not comparable")], "partly"),
        ([verdict("reproduced")], "yes"),
        ([verdict("lower")], "partly"),
        ([verdict("lower", "epochs: 3 of 50")], "yes"),
    ],
)
def test_prior_work_is_explained_where_a_claim_fell(verdicts, word):
    given = study({"net": subject(), "other": subject(defense="magnet")})
    replies = answer(given, [outcomes(), outcomes(model="other")], (), verdicts)
    (found,) = [reply for reply in replies if reply.item == "prior_work"]
    assert found.answer == word
    (alone,) = [r for r in answer(study(), [outcomes()], (), verdicts) if r.item == "prior_work"]
    assert alone.answer == "no"


def test_seeds_are_pooled():
    first, second = (
        outcomes(white("pgd", "epsilon=0.3", 10)),
        outcomes(white("pgd", "epsilon=0.3", 30), seed=1),
    )
    replies = answer(study(), [first, second], ())
    found = {reply.item: reply.evidence for reply in replies}
    assert "leaves a robust accuracy of 40 of 200" in found["strongest"]
    assert found["clean_accuracy"].startswith("190 of 200 test images")
    assert found["per_example"].startswith("40 of 200")


def test_broader_threats_and_domains_are_what_was_run():
    one, other = white("pgd", "epsilon=0.3", 5), white("carlini_wagner", "c=1", 5, norm="l2")
    assert told("broader", one)[0] == "no"
    assert told("broader", one, other)[0] == "partly"
    assert told("domains", one)[0] == "no"
    assert told("provable", one)[0] == "no"


@needs("attacks/autoattack")
def test_budgets_are_told_as_they_were_written():
    attacks = [
        white("pgd", "epsilon=4/255", 50),
        white("pgd", "epsilon=8/255", 5),
        white("fgsm", "epsilon=0.1", 30),
    ]
    for item, words in (
        ("threat_model", "L∞ budgets from 4/255 to 0.1"),
        ("per_example", "up to L∞ ε = 8/255; the strongest of them alone: white-box PGD at ε = 8/255 leaves"),
        ("curve", "PGD at 2 budgets up to ε = 8/255, where 5 of 100"),
    ):
        found = attacks if item == "threat_model" else attacks[:2]
        assert words in told(item, *found)[1]
    flags = red_flags.find([outcomes(white("autoattack", "epsilon=8/255", 3), *attacks[:2])], ATTACKS)
    evidence = {flag.check: flag.evidence for flag in flags}
    assert "white-box attacks at ε = 8/255 together" in evidence["autoattack_vs_gradients"]
    assert "all attacks up to ε = 8/255 together" in evidence["paper_attack_vs_worst_case"]


@needs("attacks/random_noise")
def test_a_config_entry_is_told_by_its_kind_whatever_it_is_called():
    noise = dataclasses.replace(white("random_noise", "epsilon=0.3", 80), attack="pgd_noise")
    assert named(noise) == "white-box random noise (pgd noise) at ε = 0.3"
    member = dataclasses.replace(noise, kind="pgd", attack="pgd", source="member")
    assert named(member) == "white-box PGD at ε = 0.3 on one member at a time"
    transferred = dataclasses.replace(member, setting="black_box", source="a+b", parameters="")
    assert named(transferred) == "black-box PGD from a+b"


def test_what_a_job_is_told_becomes_the_facts():
    model = {**dataclasses.asdict(subject()), "views": ["joint"], "surrogates": []}
    stated = {"models": {"net": model}, "threats": {"w": "white_box"}}
    assert facts(stated, ATTACKS) == Facts({"net": subject()}, ATTACKS, {"w": "white_box"})
