"""Claims beside hand-made measurements."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from reproof.claims.paper import Paper
from reproof.csv_tables import KEY, SUMMARY
from reproof.judging import verdicts
from reproof.judging.difference import Difference
from reproof.judging.measured import Measured
from reproof.judging.study_facts import TOLERANCE, ModelFacts, StudyFacts
from reproof.judging.verdicts import Verdict
from tests.hand_made_papers import DESCRIPTION, claim
from tests.hand_made_tables import changed, frame


def judge(
    claimed, rows, tolerance=TOLERANCE, *, models=None, paper=None, attacks=None, overrides=None
) -> Verdict:
    """Judge a claim beside hand-made rows of the summary."""
    facts = StudyFacts(models or {}, attacks or {}, overrides or {}, tolerance)
    return verdicts.judge(claimed, Measured(frame(SUMMARY, rows)), facts, paper)


def said(verdict: Verdict) -> list[str]:
    """Return a verdict's differences, a line each: `kind: here | there`."""
    return [f"{kind}: {here} | {there}" for kind, here, there in verdict.differences]


def measured(correct=60, total=300, **changes) -> SimpleNamespace:
    row = SimpleNamespace(
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
    return changed(row, **changes)


def plain(value, **changes) -> SimpleNamespace:
    """Return a row without counts and interval."""
    nothing = {"correct": None, "total": None, "low": None, "high": None}
    return changed(measured(), value=value, **nothing, **changes)


def facts(model="pcl", dataset="mnist", architecture="cnn6", width=1.0, epochs=1, **changes) -> ModelFacts:
    return ModelFacts(model, dataset, architecture, width, epochs, **changes)


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
        assert said(verdict) == []


def test_another_data_set_or_network_is_shown_and_not_judged():
    models = {"pcl": facts(dataset="digits", width=0.25, epochs=20)}
    verdict = judge(claim(), [measured(dataset="digits")], models=models)
    assert (verdict.verdict, verdict.measured) == ("not comparable", 0.2)
    assert said(verdict) == ["dataset: digits | mnist", "architecture: cnn6 (width 0.25) | cnn6"]
    narrow = judge(claim(), [measured()], models=models)
    assert (narrow.verdict, said(narrow)) == ("not comparable", ["architecture: cnn6 (width 0.25) | cnn6"])


def test_the_same_data_set_goes_before_the_same_network():
    rows = [measured(dataset="digits", model="a"), measured(architecture="lenet", model="b")]
    assert judge(claim(), rows).model == "b"
    assert said(judge(claim(), rows)) == ["architecture: lenet | cnn6"]


def test_the_claims_network_goes_before_others_of_the_wrong_data_set():
    """A narrow CNN-6 and a LeNet differ in as many words; the CNN-6 is nearer."""
    models = {
        "b": facts("b", "digits", width=0.25),
        "a": facts("a", "digits", "lenet"),
    }
    rows = [
        measured(dataset="digits", architecture=one.architecture, model=one.model) for one in models.values()
    ]
    for order in (rows, rows[::-1]):
        assert judge(claim(), order, models=models).model == "b"


def test_more_images_go_before_fewer():
    rows = [measured(model="a"), measured(200, 1000, model="b")]
    for order in (rows, rows[::-1]):
        assert judge(claim(), order).model == "b"


def test_a_smaller_budget_is_listed_and_judged():
    models = {"pcl": facts(epochs=20, train_images=60000, seeds=2)}
    verdict = judge(
        claim(),
        [measured(120, 600, seeds=2)],
        models=models,
        paper=paper(),
        attacks={"pgd": {"kind": "pgd", "steps": 5, "step_size": 0.1}, "bim": {"steps": 99}},
    )
    assert verdict.verdict == "reproduced"
    assert said(verdict) == ["images: 300 | 10000", "epochs: 20 | 350", "attack.steps: 5 | 10"]


def test_the_papers_own_budget_has_no_differences():
    models = {"pcl": facts(epochs=350, train_images=60000)}
    attacks = {"pgd": {"steps": 10, "step_size": 0.1}}
    verdict = judge(claim(), [measured(1990, 10_000)], models=models, paper=paper(), attacks=attacks)
    assert (verdict.verdict, said(verdict)) == ("reproduced", [])


MODELS = {
    "vgg": facts("vgg", architecture="vgg19"),
    "small": facts("small", architecture="vgg19", width=0.125),
    "lenet": facts("lenet", architecture="lenet"),
    "vgg_fgsm": facts("vgg_fgsm", architecture="vgg19", defense="fgsm_training", training="fgsm"),
    "vgg_pgd": facts("vgg_pgd", architecture="vgg19", training="pgd"),
}


def transferred(correct, source):
    return measured(correct, setting="black_box", source=source)


def test_transfer_from_another_source_is_another_quantity():
    asked = claim(setting="black_box", source="vgg19")
    rows = [transferred(30, "lenet"), transferred(90, "small"), transferred(60, "vgg")]
    for order in (rows, rows[::-1]):
        found = judge(asked, order, models=MODELS, paper=paper())
        assert (found.measured, said(found)) == (0.2, ["images: 300 | 10000"])
    for order in (rows[:2], rows[1::-1]):
        narrow = judge(asked, order, models=MODELS, paper=paper())
        assert narrow.measured == 0.3, (
            "a narrow VGG-19 is nearer to the paper's source than any other network"
        )
    verdict = judge(asked, rows[:1], models=MODELS, paper=paper())
    assert (verdict.verdict, said(verdict)) == (
        "not comparable",
        ["source: lenet | vgg19", "images: 300 | 10000"],
    )
    verdict = judge(asked, rows[1:2], models=MODELS, paper=paper())
    assert said(verdict)[0] == "source: vgg19 (width 0.125) | vgg19"


SOURCES = [
    ("vgg19", "vgg", []),
    ("vgg19:fgsm_training", "vgg_fgsm", []),
    ("vgg19:undefended:pgd", "vgg_pgd", []),
    ("vgg19:fgsm_training", "vgg", ["vgg19"]),
    ("vgg19", "vgg_fgsm", ["vgg19:fgsm_training:fgsm"]),
    ("vgg19", "vgg_pgd", ["vgg19:undefended:pgd"]),
    ("vgg19:fgsm_training:pgd", "vgg_fgsm", ["vgg19:fgsm_training:fgsm"]),
    ("vgg19:fgsm_training", "small", ["vgg19 (width 0.125)"]),
    ("vgg19*3", "vgg", ["vgg19"]),
    ("vgg19*3 + lenet*2", "lenet", ["lenet"]),
]


@pytest.mark.parametrize(
    ("claimed", "made_on", "differences"), SOURCES, ids=[f"{c} on {m}" for c, m, _ in SOURCES]
)
def test_sources_differ_in_network_defense_training_and_number(claimed, made_on, differences):
    found = judge(claim(setting="black_box", source=claimed), [transferred(60, made_on)], models=MODELS)
    assert [each.here for each in found.differences] == differences
    assert all((each.kind, each.there) == ("source", claimed) for each in found.differences)
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
    rows = [transferred(number, source) for number, source in enumerate(MODELS)]
    expected = list(MODELS).index(chosen) / 300
    for order in (rows, rows[::-1]):
        assert judge(claim(setting="black_box", source=claimed), order, models=MODELS).measured == expected


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_a_narrow_source_of_the_papers_kind_goes_before_another_kind(names):
    narrow, other = names
    kind = {"architecture": "vgg19", "defense": "fgsm_training", "training": "fgsm"}
    models = {
        narrow: facts(narrow, width=0.125, **kind),
        other: facts(other, architecture="vgg19"),
    }
    rows = [transferred(30, narrow), transferred(60, other)]
    asked = claim(setting="black_box", source="vgg19:fgsm_training")
    assert judge(asked, rows, models=models).measured == 0.1


def test_white_box_sources_are_the_target():
    """In the white box a row's source is the model itself, which no claim names."""
    found = judge(claim(), [measured()], models={"pcl": facts()})
    assert (found.verdict, said(found)) == ("reproduced", [])


def test_members_of_an_ensemble_are_not_the_whole():
    rows = [measured(30, source="member"), measured(60, source="members"), measured(90)]
    for order in (rows, rows[::-1]):
        for source, value in (("member", 0.1), ("members", 0.2), ("", 0.3)):
            assert judge(claim(source=source), order).measured == value
    for source in ("member", "members"):
        found = judge(claim(source=source), rows[2:])
        assert (found.verdict, said(found)) == ("not measured", [f"lacks.members:  | {source}"])
    found = judge(claim(), rows[:2])
    assert (found.verdict, said(found)) == ("not measured", ["lacks.members: member, members | "])


def test_one_named_member_is_neither_the_whole_nor_the_mean_over_members():
    """The row of images made on the member `a` sorts before the ensemble's own, and has less left."""
    own, one = measured(90), measured(30, source="a")
    for order in ([own, one], [one, own]):
        assert judge(claim(), order).measured == 0.3
    for source in ("", "member"):
        found = judge(claim(source=source), [one])
        assert (found.verdict, said(found)) == ("not measured", [f"lacks.members: a | {source}"])


def counted(here, count=20.0, seeds=1, **changes):
    """Return a row that counts images among so many of each seed."""
    return changed(
        plain(count),
        **{"metric": "failed_majorities", "total": here * seeds, "seeds": seeds, **changes},
        source=changes.get("model", "pcl"),
    )


def test_a_count_among_another_number_of_images_is_another_quantity():
    asked = claim(metric="failed_majorities", unit="images", printed="20", value=20)
    described = paper()
    found = judge(asked, [counted(10_000)], paper=described)
    assert (found.verdict, found.measured) == ("reproduced", 20.0)
    assert "counted_images" not in {each.kind for each in found.differences}
    found = judge(asked, [counted(300)], paper=described)
    assert (found.verdict, found.measured) == ("not comparable", 20.0)
    assert said(found)[0] == "counted_images: 300 | 10000"
    found = judge(asked, [counted(10_000, seeds=3)], paper=described)
    assert found.verdict == "reproduced", "each of three seeds saw all images"
    found = judge(asked, [counted(100, seeds=100)], paper=described)
    assert found.verdict == "not comparable", "a hundred seeds do not make 10,000 images"
    for unknown in (None, paper(budgets={}), paper(budgets={"mnist": {"epochs": 5}})):
        assert judge(asked, [counted(300)], paper=unknown).verdict == "reproduced"


def test_shares_of_fewer_images_are_still_compared():
    found = judge(claim(value=0.2), [measured()], paper=paper())
    assert (found.verdict, said(found)) == ("reproduced", ["images: 300 | 10000"])
    asked = claim(metric="accuracy_gain", unit="points", value=0.02)
    gain = changed(plain(0.03, metric="accuracy_gain"), total=300)
    assert judge(asked, [gain], paper=paper()).verdict == "reproduced"


def test_the_count_s_own_images_go_before_others():
    asked = claim(metric="failed_majorities", unit="images", printed="20", value=20)
    rows = [counted(300, 20.0, model="a"), counted(10_000, 90.0, model="z")]
    for order in (rows, rows[::-1]):
        found = judge(asked, order, paper=paper())
        assert (found.model, found.verdict) == ("z", "higher")


NOT_MEASURED = {
    "defense": ({"defense": "adaptive_diversity"}, ["lacks.defense:  | adaptive_diversity"]),
    "variant": (
        {"defense": "prototype_conformity[released_code]"},
        ["lacks.defense:  | prototype_conformity[released_code]"],
    ),
    "training": ({"training": "pgd"}, ["lacks.training: clean | pgd"]),
    "setting": ({"setting": "black_box", "source": "vgg19"}, ["lacks.setting: white_box | black_box"]),
    "attack": ({"attack": "bim"}, ["lacks.attack: pgd | bim"]),
    "parameters": ({"parameters": "epsilon=0.2"}, ["lacks.parameters: epsilon=0.3 | epsilon=0.2"]),
    "metric": ({"metric": "l2_mean"}, ["lacks.metric: accuracy | l2_mean"]),
    "time": ({"metric": "epoch_seconds"}, ["lacks.metric: accuracy | epoch_seconds"]),
    "time to an accuracy": (
        {"metric": "seconds_to_accuracy", "parameters": "accuracy=0.5"},
        ["lacks.metric: accuracy | seconds_to_accuracy"],
    ),
    "data set": (
        {"attack": "bim", "dataset": "svhn"},
        ["lacks.attack: pgd | bim", "lacks.dataset:  | svhn"],
    ),
}


@pytest.mark.parametrize(("change", "reason"), NOT_MEASURED.values(), ids=NOT_MEASURED)
def test_reason_for_no_measurement(change, reason):
    verdict = judge(claim(**change), [measured()])
    assert verdict.verdict == "not measured"
    assert (verdict.measured, verdict.low, verdict.model) == (None, None, "")
    assert said(verdict) == reason
    assert verdict.key == ("",) * len(KEY)


def test_reason_names_clean_training():
    verdict = judge(claim(), [measured(training="pgd")])
    assert said(verdict) == ["lacks.training: pgd | clean"]


def test_nothing_measured_at_all():
    assert judge(claim(), []).verdict == "not measured"


@pytest.mark.parametrize(("printed", "certainty"), [("-", "certain"), ("-/-", "certain"), ("?", "lost")])
def test_a_dash_or_a_lost_cell_is_no_claim(printed, certainty):
    verdict = judge(claim(printed=printed, certainty=certainty), [measured()])
    assert (verdict.verdict, verdict.claimed, verdict.measured) == ("not claimed", None, None)
    assert verdict.differences == ()


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


def test_no_second_verdict_without_an_epsilon():
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
    models = {"pcl": facts(epochs=350, train_images=60000)}
    for place, named in (
        (("pcl", "white_box", "pcl", "pgd"), True),
        (("pcl", "adaptive", "pcl", "pgd"), False),
    ):
        verdict = judge(
            claim(),
            [measured(1990, 10_000)],
            models=models,
            paper=paper(),
            attacks=stanza,
            overrides={place: {"steps": 50, "step_size": 0.1}},
        )
        assert ("attack.steps: 50 | 10" in said(verdict)) is named


JOINED = {
    **MODELS,
    "vgg_too": facts("vgg_too", architecture="vgg19"),
    "lenet2": facts("lenet2", architecture="lenet"),
    "lenet3": facts("lenet3", architecture="lenet"),
}


@pytest.mark.parametrize(
    ("claimed", "made_on", "differences"),
    [
        ("vgg19*2 + lenet", "vgg+lenet+vgg_too", []),
        ("lenet + vgg19*2", "vgg+lenet+vgg_too", []),
        ("lenet*3", "lenet+lenet2+lenet3", []),
        ("lenet*3", "lenet+lenet2", ["lenet*2"]),
        ("lenet", "lenet+lenet2", ["lenet*2"]),
        ("vgg19 + lenet", "vgg+lenet+vgg_too", ["vgg19*2 + lenet"]),
        ("vgg19*2", "vgg+vgg_fgsm", ["vgg19 + vgg19:fgsm_training:fgsm"]),
        ("vgg19*2", "vgg+small", ["vgg19 + vgg19 (width 0.125)"]),
    ],
)
def test_images_made_together_are_compared_by_kinds_and_numbers(claimed, made_on, differences):
    row = transferred(60, made_on)
    found = judge(claim(setting="black_box", source=claimed), [row], models=JOINED)
    assert [each.here for each in found.differences] == differences
    assert all((each.kind, each.there) == ("source", claimed) for each in found.differences)
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
        found = judge(claim(setting="black_box", source=claimed), order, models=JOINED)
        assert found.measured == names.index(chosen) / 300


def test_a_set_of_fooling_images_has_no_number_to_reach():
    asked = claim(setting="black_box", source="lenet*3", metric="fooling_set_accuracy")
    row = changed(transferred(60, "lenet+lenet2+lenet3"), metric="fooling_set_accuracy")
    found = judge(asked, [row], models=JOINED, paper=paper())
    assert (found.verdict, said(found)) == ("reproduced", [])
    empty = judge(asked, [transferred(60, "lenet+lenet2+lenet3")], models=JOINED, paper=paper())
    assert (empty.verdict, said(empty)) == ("not measured", ["lacks.fooling_set:  | pgd"])


def test_a_verdict_has_the_key_of_the_row_that_was_chosen():
    """Two rows of one value: only the key tells which of them was judged."""
    rows = [measured(dataset="digits", model="a"), measured(model="b"), measured(attack="bim", model="b")]
    for order in (rows, rows[::-1]):
        found = judge(claim(), order)
        assert found.key == ("s", "b", "white_box", "b", "pgd", "epsilon=0.3", "accuracy")
        assert found.key == tuple(getattr(found, name) for name in KEY)


def test_budgets_are_matched_as_numbers_and_keep_the_print_of_their_row():
    asked = claim(parameters="epsilon=8/255")
    rows = [
        measured(parameters=f"epsilon={8 / 255}"),
        worst(6, parameters=f"norm=linf epsilon={8 / 255}"),
        measured(parameters="epsilon=0.031", model="near"),
    ]
    found = judge(asked, rows)
    assert (found.verdict, found.parameters) == ("reproduced", f"epsilon={8 / 255}")
    assert (found.strongest_parameters, found.strongest_value) == (f"norm=linf epsilon={8 / 255}", 0.02)
    lacking = judge(asked, rows[2:])
    assert lacking.differences == (Difference("lacks.parameters", "epsilon=0.031", "epsilon=8/255"),)


def test_what_was_run_is_listed_in_the_order_of_numbers():
    rows = [measured(attack="carlini_wagner", parameters=f"c={c}") for c in ("10", "2")]
    found = judge(claim(attack="carlini_wagner", parameters="c=5"), rows)
    assert said(found) == ["lacks.parameters: c=2, c=10 | c=5"]
