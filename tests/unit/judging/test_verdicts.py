"""Claims beside hand-made measurements."""

from __future__ import annotations

import dataclasses

import pytest

from reproof.claims.paper import Paper
from reproof.judging.verdicts import Budget, judge
from reproof.measuring.measurements import Summary
from tests.hand_made_papers import DESCRIPTION, claim


def measured(correct=60, total=300, **changes) -> Summary:
    row = Summary(
        study="s",
        dataset="mnist",
        architecture="cnn6",
        defense="prototype_conformity",
        training="clean",
        seeds=1,
        setting="white_box",
        source=changes.get("model", "pcl"),
        attack="pgd",
        parameters="epsilon=0.3",
        metric="accuracy",
        value=correct / total,
        correct=correct,
        total=total,
        low=correct / total - 0.03,
        high=correct / total + 0.03,
        model="pcl",
        value_min=correct / total,
        value_max=correct / total,
    )
    return dataclasses.replace(row, **changes)


def plain(value, **changes) -> Summary:
    """Return a row without counts and interval."""
    nothing = {"correct": None, "total": None, "low": None, "high": None}
    return dataclasses.replace(measured(), value=value, **nothing, **changes)


def budget(model="pcl", dataset="mnist", architecture="cnn6", width=1.0, epochs=1, **changes) -> Budget:
    return Budget(model, dataset, architecture, width, epochs, **changes)


def paper(**changes) -> Paper:
    return Paper.model_validate({**DESCRIPTION, "key": "p", "tables": {}, "claims": (), **changes})


@pytest.mark.parametrize(
    ("claimed", "verdict"),
    [(0.2, "reproduced"), (0.25, "reproduced"), (0.2501, "lower"), (0.15, "reproduced"), (0.1499, "higher")],
)
def test_verdict_from_interval_and_tolerance(claimed, verdict):
    """Measured 20 % in [17, 23] with two points of tolerance: claims from 15 to 25 % are reproduced."""
    assert judge(claim(value=claimed), [measured()], 0.02).verdict == verdict


def test_tolerance_is_the_studys():
    assert judge(claim(value=0.24), [measured()], 0.0).verdict == "lower"
    assert judge(claim(value=0.24), [measured()], 0.01).verdict == "reproduced"


@pytest.mark.parametrize(
    "metric", ["accuracy", "train_error", "fooling_set_accuracy", "accuracy_gain", "confidence"]
)
def test_shares_have_an_absolute_tolerance(metric):
    """Two points of 10 % are allowed, not two hundredths of it."""
    for claimed, verdict in (
        (0.119, "reproduced"),
        (0.121, "lower"),
        (0.081, "reproduced"),
        (0.079, "higher"),
    ):
        assert (
            judge(claim(metric=metric, value=claimed), [plain(0.1, metric=metric)], 0.02).verdict == verdict
        )


@pytest.mark.parametrize(
    "metric",
    [
        "l2_mean",
        "epoch_seconds",
        "seconds_to_accuracy",
        "failed_majorities",
        "chosen_round",
        "strongest_epsilon",
    ],
)
def test_distances_seconds_and_counts_have_a_relative_tolerance(metric):
    """Two hundredths of the claim, 8 of 400."""
    rows = [plain(400.0, metric=metric)]
    for claimed, verdict in ((408, "reproduced"), (409, "lower"), (392.2, "reproduced"), (392, "higher")):
        assert judge(claim(metric=metric, value=claimed), rows, 0.02).verdict == verdict
    assert judge(claim(metric=metric, value=0), rows, 0.02).verdict == "higher"


def test_exact_match_goes_before_everything_else():
    rows = [
        measured(dataset="digits", model="a", total=10_000, correct=2_000),
        measured(30, architecture="lenet", model="b"),
        measured(90, model="z"),
    ]
    for order in (rows, rows[::-1]):
        verdict = judge(claim(), order)
        assert (verdict.model, verdict.measured, verdict.verdict) == ("z", 0.3, "higher")
        assert verdict.differences == ""


def test_another_data_set_or_network_is_shown_and_not_judged():
    budgets = {"pcl": budget(dataset="digits", width=0.25, epochs=20)}
    verdict = judge(claim(), [measured(dataset="digits")], budgets=budgets)
    assert (verdict.verdict, verdict.measured) == ("not comparable", 0.2)
    assert verdict.differences == "dataset: digits, not mnist; architecture: cnn6 (width 0.25), not cnn6"
    narrow = judge(claim(), [measured()], budgets=budgets)
    assert (narrow.verdict, narrow.differences) == (
        "not comparable",
        "architecture: cnn6 (width 0.25), not cnn6",
    )


def test_the_same_data_set_goes_before_the_same_network():
    rows = [measured(dataset="digits", model="a"), measured(architecture="lenet", model="b")]
    assert judge(claim(), rows).model == "b"
    assert judge(claim(), rows).differences == "architecture: lenet, not cnn6"


def test_the_claims_network_goes_before_others_of_the_wrong_data_set():
    """A narrow CNN-6 and a LeNet differ in as many words; the CNN-6 is nearer."""
    budgets = {
        "b": budget("b", "digits", width=0.25),
        "a": budget("a", "digits", "lenet"),
    }
    rows = [
        measured(dataset="digits", architecture=one.architecture, model=one.model) for one in budgets.values()
    ]
    for order in (rows, rows[::-1]):
        assert judge(claim(), order, budgets=budgets).model == "b"


def test_more_images_go_before_fewer():
    rows = [measured(model="a"), measured(200, 1000, model="b")]
    for order in (rows, rows[::-1]):
        assert judge(claim(), order).model == "b"


def test_a_smaller_budget_is_listed_and_judged():
    budgets = {"pcl": budget(epochs=20, train_images=60000, test_images=10000, seeds=2)}
    verdict = judge(
        claim(),
        [measured(120, 600, seeds=2)],
        budgets=budgets,
        paper=paper(),
        attacks={"pgd": {"kind": "pgd", "steps": 5, "step_size": 0.1}, "bim": {"steps": 99}},
    )
    assert verdict.verdict == "reproduced"
    assert verdict.differences == "images: 300 of 10000; epochs: 20 of 350; pgd steps: 5, not 10"


def test_the_papers_own_budget_has_no_differences():
    budgets = {"pcl": budget(epochs=350, train_images=60000, test_images=10000)}
    attacks = {"pgd": {"steps": 10, "step_size": 0.1}}
    verdict = judge(claim(), [measured(1990, 10_000)], budgets=budgets, paper=paper(), attacks=attacks)
    assert (verdict.verdict, verdict.differences) == ("reproduced", "")


BUDGETS = {
    "vgg": budget("vgg", architecture="vgg19"),
    "small": budget("small", architecture="vgg19", width=0.125),
    "lenet": budget("lenet", architecture="lenet"),
    "vgg_fgsm": budget("vgg_fgsm", architecture="vgg19", defense="fgsm_training", training="fgsm"),
    "vgg_pgd": budget("vgg_pgd", architecture="vgg19", training="pgd"),
}


def transferred(correct, source):
    return measured(correct, setting="black_box", source=source)


def test_transfer_from_another_source_is_another_quantity():
    asked = claim(setting="black_box", source="vgg19")
    rows = [transferred(30, "lenet"), transferred(90, "small"), transferred(60, "vgg")]
    for order in (rows, rows[::-1]):
        found = judge(asked, order, budgets=BUDGETS, paper=paper())
        assert (found.measured, found.differences) == (0.2, "images: 300 of 10000")
    for order in (rows[:2], rows[1::-1]):
        narrow = judge(asked, order, budgets=BUDGETS, paper=paper())
        assert narrow.measured == 0.3, (
            "a narrow VGG-19 is nearer to the paper's source than any other network"
        )
    verdict = judge(asked, rows[:1], budgets=BUDGETS, paper=paper())
    assert (verdict.verdict, verdict.differences) == (
        "not comparable",
        "source: lenet, not vgg19; images: 300 of 10000",
    )
    verdict = judge(asked, rows[1:2], budgets=BUDGETS, paper=paper())
    assert verdict.differences.startswith("source: vgg19 (width 0.125), not vgg19;")


SOURCES = [
    ("vgg19", "vgg", ""),
    ("vgg19:fgsm_training", "vgg_fgsm", ""),
    ("vgg19:undefended:pgd", "vgg_pgd", ""),
    ("vgg19:fgsm_training", "vgg", "source: vgg19, not vgg19 with fgsm_training"),
    ("vgg19", "vgg_fgsm", "source: vgg19 with fgsm_training, not vgg19"),
    ("vgg19", "vgg_pgd", "source: vgg19, trained on pgd examples, not vgg19"),
    (
        "vgg19:fgsm_training:pgd",
        "vgg_fgsm",
        "source: vgg19 with fgsm_training, not vgg19 with fgsm_training, trained on pgd examples",
    ),
    ("vgg19:fgsm_training", "small", "source: vgg19 (width 0.125), not vgg19 with fgsm_training"),
    ("vgg19*3", "vgg", "source: vgg19, not 3 vgg19"),
    ("vgg19*3 + lenet*2", "lenet", "source: lenet, not 3 vgg19 and 2 lenet"),
]


@pytest.mark.parametrize(
    ("claimed", "made_on", "differences"), SOURCES, ids=[f"{c} on {m}" for c, m, _ in SOURCES]
)
def test_sources_differ_in_network_defense_training_and_number(claimed, made_on, differences):
    found = judge(claim(setting="black_box", source=claimed), [transferred(60, made_on)], budgets=BUDGETS)
    assert found.differences == differences
    assert found.verdict == ("not comparable" if differences else "reproduced")


@pytest.mark.parametrize(
    ("claimed", "chosen"),
    [
        ("vgg19:fgsm_training", "vgg_fgsm"),
        ("vgg19:undefended:pgd", "vgg_pgd"),
        ("vgg19", "vgg"),
        ("lenet", "lenet"),
    ],
)
def test_the_papers_own_kind_of_source_is_chosen(claimed, chosen):
    rows = [transferred(number, source) for number, source in enumerate(BUDGETS)]
    expected = list(BUDGETS).index(chosen) / 300
    for order in (rows, rows[::-1]):
        assert judge(claim(setting="black_box", source=claimed), order, budgets=BUDGETS).measured == expected


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_a_narrow_source_of_the_papers_kind_goes_before_another_kind(names):
    narrow, other = names
    kind = {"architecture": "vgg19", "defense": "fgsm_training", "training": "fgsm"}
    budgets = {
        narrow: budget(narrow, width=0.125, **kind),
        other: budget(other, architecture="vgg19"),
    }
    rows = [transferred(30, narrow), transferred(60, other)]
    asked = claim(setting="black_box", source="vgg19:fgsm_training")
    assert judge(asked, rows, budgets=budgets).measured == 0.1


def test_white_box_sources_are_the_target():
    """In the white box a row's source is the model itself, which no claim names."""
    found = judge(claim(), [measured()], budgets={"pcl": budget()})
    assert (found.verdict, found.differences) == ("reproduced", "")


def test_members_of_an_ensemble_are_not_the_whole():
    rows = [measured(30, source="member"), measured(60, source="members"), measured(90)]
    for order in (rows, rows[::-1]):
        for source, value in (("member", 0.1), ("members", 0.2), ("", 0.3)):
            assert judge(claim(source=source), order).measured == value
    for source, words in (
        ("member", "pgd was not run against single members of an ensemble"),
        ("members", "pgd was not run against all members of an ensemble together"),
    ):
        found = judge(claim(source=source), rows[2:])
        assert (found.verdict, found.differences) == ("not measured", words)
    found = judge(claim(), rows[:2])
    assert (found.verdict, found.differences) == ("not measured", "pgd was not run against a whole ensemble")


def test_one_named_member_is_neither_the_whole_nor_the_mean_over_members():
    """The row of images made on the member `a` sorts before the ensemble's own, and has less left."""
    own, one = measured(90), measured(30, source="a")
    for order in ([own, one], [one, own]):
        assert judge(claim(), order).measured == 0.3
    for source, words in (
        ("", "pgd was not run against a whole ensemble"),
        ("member", "pgd was not run against single members of an ensemble"),
    ):
        found = judge(claim(source=source), [one])
        assert (found.verdict, found.differences) == ("not measured", words)


def counted(here, count=20.0, seeds=1, **changes):
    """Return a row that counts images among so many of each seed."""
    return dataclasses.replace(
        plain(count),
        **{"metric": "failed_majorities", "total": here * seeds, "seeds": seeds, **changes},
        source=changes.get("model", "pcl"),
    )


def test_a_count_among_another_number_of_images_is_another_quantity():
    asked = claim(metric="failed_majorities", unit="images", printed="20", value=20)
    described = paper()
    found = judge(asked, [counted(10_000)], paper=described)
    assert (found.verdict, found.measured) == ("reproduced", 20.0)
    assert "count among" not in found.differences
    found = judge(asked, [counted(300)], paper=described)
    assert (found.verdict, found.measured) == ("not comparable", 20.0)
    assert found.differences.startswith("a count among 300 images, not 10000")
    found = judge(asked, [counted(10_000, seeds=3)], paper=described)
    assert found.verdict == "reproduced", "each of three seeds saw all images"
    found = judge(asked, [counted(100, seeds=100)], paper=described)
    assert found.verdict == "not comparable", "a hundred seeds do not make 10,000 images"
    for unknown in (None, paper(budgets={}), paper(budgets={"mnist": {"epochs": 5}})):
        assert judge(asked, [counted(300)], paper=unknown).verdict == "reproduced"


def test_shares_of_fewer_images_are_still_compared():
    found = judge(claim(value=0.2), [measured()], paper=paper())
    assert (found.verdict, found.differences) == ("reproduced", "images: 300 of 10000")
    asked = claim(metric="accuracy_gain", unit="points", value=0.02)
    gain = dataclasses.replace(plain(0.03, metric="accuracy_gain"), total=300)
    assert judge(asked, [gain], paper=paper()).verdict == "reproduced"


def test_the_count_s_own_images_go_before_others():
    asked = claim(metric="failed_majorities", unit="images", printed="20", value=20)
    rows = [counted(300, 20.0, model="a"), counted(10_000, 90.0, model="z")]
    for order in (rows, rows[::-1]):
        found = judge(asked, order, paper=paper())
        assert (found.model, found.verdict) == ("z", "higher")


NOT_MEASURED = {
    "defense": ({"defense": "adaptive_diversity"}, "defense adaptive_diversity was not built in this study"),
    "variant": (
        {"defense": "prototype_conformity[released_code]"},
        "defense prototype_conformity[released_code] was not built in this study",
    ),
    "training": (
        {"training": "pgd"},
        "defense prototype_conformity was not trained on pgd examples in this study",
    ),
    "setting": (
        {"setting": "black_box", "source": "vgg19"},
        "setting black_box was not run against prototype_conformity",
    ),
    "attack": ({"attack": "bim"}, "attack bim was not run in setting white_box"),
    "parameters": (
        {"parameters": "epsilon=0.2"},
        "parameters: pgd was not run at epsilon=0.2 (only at epsilon=0.3)",
    ),
    "metric": ({"metric": "l2_mean"}, "mean L2 distance of the successful examples was not measured"),
    "time": ({"metric": "epoch_seconds"}, "median time of a training epoch was not measured"),
    "time to an accuracy": (
        {"metric": "seconds_to_accuracy", "parameters": "accuracy=0.5"},
        "training time until a validation accuracy was not measured",
    ),
    "data set": (
        {"attack": "bim", "dataset": "svhn"},
        "attack bim was not run in setting white_box; data set svhn is not in this study",
    ),
}


@pytest.mark.parametrize(("change", "reason"), NOT_MEASURED.values(), ids=NOT_MEASURED)
def test_reason_for_no_measurement(change, reason):
    verdict = judge(claim(**change), [measured()])
    assert verdict.verdict == "not measured"
    assert (verdict.measured, verdict.low, verdict.model) == (None, None, "")
    assert verdict.differences == reason


def test_reason_names_clean_training():
    verdict = judge(claim(), [measured(training="pgd")])
    assert (
        verdict.differences
        == "defense prototype_conformity was not trained on clean images alone in this study"
    )


def test_nothing_measured_at_all():
    assert judge(claim(), []).verdict == "not measured"


@pytest.mark.parametrize(
    ("printed", "certainty", "reason"),
    [
        ("-", "certain", "the paper prints a dash"),
        ("-/-", "certain", "the paper prints a dash"),
        ("?", "lost", "the number is lost in the text that was read"),
    ],
)
def test_a_dash_or_a_lost_cell_is_no_claim(printed, certainty, reason):
    verdict = judge(claim(printed=printed, certainty=certainty), [measured()])
    assert (verdict.verdict, verdict.claimed, verdict.measured) == ("not claimed", None, None)
    assert verdict.differences == reason


def worst(correct, **changes):
    place = {"setting": "all", "source": "", "attack": "worst_case", "parameters": "norm=linf epsilon=0.3"}
    return measured(correct, **{**place, **changes})


@pytest.mark.parametrize("parameters", ["epsilon=0.3", "epsilon=0.3 steps=200"])
def test_second_verdict_under_the_strongest_attack(parameters):
    rows = [
        measured(parameters=parameters),
        worst(6),
        worst(60, model="other"),
        worst(60, parameters="norm=linf epsilon=0.1"),
        worst(60, parameters="norm=l2 epsilon=0.3"),
    ]
    for order in (rows, rows[::-1]):
        verdict = judge(claim(parameters=parameters), order)
        assert verdict.verdict == "reproduced"
        assert (verdict.strongest_attack, verdict.strongest_value) == ("worst_case", 0.02)
        assert verdict.strongest_verdict == "lower"


def test_no_second_verdict_without_a_budget():
    verdict = judge(claim(attack="none", parameters=""), [measured(attack="none", parameters=""), worst(6)])
    assert (verdict.verdict, verdict.strongest_attack, verdict.strongest_verdict) == ("reproduced", "", "")
    assert verdict.strongest_value is None


def test_no_second_verdict_for_other_metrics():
    rows = [plain(0.2, metric="fooling_set_accuracy"), worst(6)]
    verdict = judge(claim(metric="fooling_set_accuracy"), rows)
    assert (verdict.verdict, verdict.strongest_verdict) == ("reproduced", "")


def test_second_verdict_is_not_judged_on_another_data_set():
    verdict = judge(claim(), [measured(dataset="digits"), worst(6, dataset="digits")])
    assert (verdict.strongest_verdict, verdict.strongest_value) == ("not comparable", 0.02)


def test_a_suite_that_sets_an_attack_otherwise_is_named_for_its_own_rows_only():
    stanza = {"pgd": {"steps": 10, "step_size": 0.1}}
    budget = {"pcl": Budget("pcl", "mnist", "cnn6", 1, 350, 60000, 10000, 1)}
    for place, said in (
        (("pcl", "white_box", "pcl", "pgd"), True),
        (("pcl", "adaptive", "pcl", "pgd"), False),
    ):
        verdict = judge(
            claim(),
            [measured(1990, 10_000)],
            budgets=budget,
            paper=paper(),
            attacks=stanza,
            narrowed={place: {"steps": 50, "step_size": 0.1}},
        )
        assert ("pgd steps: 50, not 10" in verdict.differences) is said


JOINED = {
    **BUDGETS,
    "vgg_too": budget("vgg_too", architecture="vgg19"),
    "lenet2": budget("lenet2", architecture="lenet"),
    "lenet3": budget("lenet3", architecture="lenet"),
}


@pytest.mark.parametrize(
    ("claimed", "made_on", "differences"),
    [
        ("vgg19*2 + lenet", "vgg+lenet+vgg_too", ""),
        ("lenet + vgg19*2", "vgg+lenet+vgg_too", ""),
        ("lenet*3", "lenet+lenet2+lenet3", ""),
        ("lenet*3", "lenet+lenet2", "source: 2 lenet, not 3 lenet"),
        ("lenet", "lenet+lenet2", "source: 2 lenet, not lenet"),
        ("vgg19 + lenet", "vgg+lenet+vgg_too", "source: 2 vgg19 and lenet, not vgg19 and lenet"),
        ("vgg19*2", "vgg+vgg_fgsm", "source: vgg19 and vgg19 with fgsm_training, not 2 vgg19"),
        ("vgg19*2", "vgg+small", "source: vgg19 and vgg19 (width 0.125), not 2 vgg19"),
    ],
)
def test_images_made_together_are_compared_by_kinds_and_numbers(claimed, made_on, differences):
    row = transferred(60, made_on)
    found = judge(claim(setting="black_box", source=claimed), [row], budgets=JOINED)
    assert found.differences == differences
    assert found.verdict == ("not comparable" if differences else "reproduced")


@pytest.mark.parametrize(
    ("claimed", "chosen"),
    [
        ("lenet", "lenet"),
        ("lenet*3", "lenet+lenet2+lenet3"),
        ("vgg19*2 + lenet", "vgg+lenet+vgg_too"),
        ("vgg19*2", "vgg+small"),
    ],
)
def test_the_papers_own_group_of_sources_is_chosen(claimed, chosen):
    names = ["lenet", "vgg", "vgg+lenet+vgg_too", "lenet+lenet2", "lenet+lenet2+lenet3", "vgg+small"]
    rows = [transferred(number, name) for number, name in enumerate(names)]
    for order in (rows, rows[::-1]):
        found = judge(claim(setting="black_box", source=claimed), order, budgets=JOINED)
        assert found.measured == names.index(chosen) / 300


def test_a_set_of_fooling_images_has_no_number_to_reach():
    asked = claim(setting="black_box", source="lenet*3", metric="fooling_set_accuracy")
    row = dataclasses.replace(transferred(60, "lenet+lenet2+lenet3"), metric="fooling_set_accuracy")
    found = judge(asked, [row], budgets=JOINED, paper=paper())
    assert (found.verdict, found.differences) == ("reproduced", "")
    empty = judge(asked, [transferred(60, "lenet+lenet2+lenet3")], budgets=JOINED, paper=paper())
    assert (empty.verdict, empty.differences) == (
        "not measured",
        "no image fools all the sources of pgd, so nothing can be counted",
    )
