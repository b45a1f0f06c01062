"""Claims beside hand-made measurements."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from reproof.claims.paper import Paper
from reproof.csv_tables import KEY, MEASUREMENTS, SUMMARY
from reproof.errors import StudyError
from reproof.judging.difference import Difference
from reproof.judging.measured import Measured
from reproof.judging.study_facts import ModelFacts, StudyFacts
from reproof.judging.verdicts import Judge, Verdict
from tests.hand_made_papers import DESCRIPTION, claim
from tests.hand_made_tables import changed, frame
from tests.ours import is_here


def judge(
    claimed, rows, *, models=None, paper=None, attacks=None, overrides=None, looks=1, also=()
) -> Verdict:
    """Judge a claim beside hand-made rows of the summary, each of one seed; also: other claims of its paper."""
    facts = StudyFacts(models or {}, attacks or {}, overrides or {}, looks)
    own = (paper or described()).model_copy(update={"claims": (claimed, *also)})
    seeds = [seed for row in rows for seed in getattr(row, "by_seed", [changed(row, seed=0)])]
    measured = Measured(frame(SUMMARY, rows), frame(MEASUREMENTS, seeds))
    return Judge(measured, facts, [own]).verdict(claimed)


def said(verdict: Verdict) -> list[str]:
    """Return a verdict's differences, a line each: `kind: here | there`."""
    return [f"{one.kind}: {one.here} | {one.there}" for one in verdict.differences]


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


def facts(model="pcl", dataset="mnist", architecture="cnn6", epochs=350, **changes) -> ModelFacts:
    """Return a model that was trained as the hand-made protocol says; settings: what it has otherwise."""
    settings = {"training.epochs": epochs, "training_images": 60000, **changes.pop("settings", {})}
    defense = changes.pop("defense", "prototype_conformity")
    return ModelFacts(
        model, dataset, architecture, defense, settings=settings, chosen=tuple(settings), **changes
    )


def stated(*stanzas, **tables) -> Paper:
    """Return a paper of these experiments."""
    return Paper.model_validate(
        {**DESCRIPTION, "key": "p", "tables": tables, "claims": (), "protocol": list(stanzas)}
    )


def values(**settings) -> dict:
    """Return printed settings; `__` stands for the dot of a name."""
    return {name.replace("__", "."): {"is": value, "place": "Sec. 5"} for name, value in settings.items()}


PROTOCOL = {
    "of": {"dataset": "mnist"},
    "settings": values(training__epochs=350, training_images=60000, images=10_000),
}


def described() -> Paper:
    return stated(PROTOCOL)


A = {"pcl": facts()}
"""A study whose one model is the paper's own."""


@pytest.mark.parametrize(
    ("claimed", "verdict", "reason"),
    [
        (0.199, "reproduced", ""),
        (0.185, "undecided", "images"),
        (0.2, "reproduced", ""),
        (0.25, "lower", ""),
        (0.15, "higher", ""),
    ],
)
def test_a_word_needs_the_whole_interval(claimed, verdict, reason):
    """Measured 20 % of 10,000: exactly 19.22 to 20.80 %; the margin is two points."""
    found = judge(claim(value=claimed), [measured(2_000, 10_000)], models=A)
    assert (found.verdict, found.undecided_by, found.grade) == (verdict, reason, "A")
    assert (found.low, found.high) == pytest.approx((0.19220, 0.20797), abs=2e-5)
    assert found.margin == 0.02


def test_a_look_more_widens_every_interval():
    once, twice = (judge(claim(), [measured(2_000, 10_000)], models=A, looks=n) for n in (1, 2))
    assert twice.low < once.low < once.high < twice.high


def seeded(*counts, total=10_000, **changes) -> SimpleNamespace:
    """Return a row of several seeds."""
    row = measured(sum(counts), total * len(counts), seeds=len(counts), **changes)
    row.by_seed = [changed(measured(one, total, **changes), seed=seed) for seed, one in enumerate(counts)]
    return row


@pytest.mark.parametrize(
    ("counts", "word", "reason", "words"),
    [
        ((2_000, 1_990, 2_010), "reproduced", "", ("reproduced",) * 3),
        ((1_000, 1_100, 1_050), "lower", "", ("lower",) * 3),
        ((1_000, 2_000), "undecided", "seeds", ("lower", "reproduced")),
        ((1_500, 2_500), "undecided", "seeds", ("lower", "higher")),
    ],
)
def test_each_seed_says_its_own_word(counts, word, reason, words):
    """The mean of 15 and 25 % is the claim; neither seed is."""
    found = judge(claim(value=0.2), [seeded(*counts)], models=A)
    assert (found.verdict, found.undecided_by, found.seed_words) == (word, reason, words)
    assert found.low < min(counts) / 10_000
    assert found.high > max(counts) / 10_000


def test_the_papers_own_experiment_has_no_differences():
    found = judge(claim(value=0.2), [measured(2_000, 10_000)], models=A)
    assert (found.verdict, found.grade, said(found)) == ("reproduced", "A", [])


def test_fewer_images_are_listed_and_are_no_other_experiment():
    found = judge(claim(value=0.05), [measured()], models=A)
    assert (found.verdict, found.grade, said(found)) == ("higher", "A", ["images: 300 | 10000"])


def test_fewer_epochs_are_grade_b_with_their_share():
    found = judge(claim(value=0.2), [measured(2_000, 10_000)], models={"pcl": facts(epochs=35)})
    assert (found.verdict, found.grade, said(found)) == ("reproduced", "B", ["training.epochs: 35 | 350"])
    assert found.training_share == pytest.approx(0.1)


def test_a_training_that_is_not_on_record_is_grade_b():
    found = judge(claim(value=0.2), [measured(2_000, 10_000)], models={}, paper=stated())
    assert (found.verdict, found.grade, said(found)) == ("reproduced", "B", ["protocol:  | "])


def test_another_data_set_or_network_is_shown_and_not_judged():
    models = {"pcl": facts(dataset="digits", settings={"architecture.width": 0.25})}
    found = judge(claim(), [measured(dataset="digits")], models=models)
    assert (found.verdict, found.measured, found.grade) == ("not comparable", 0.2, "C")
    assert said(found) == ["dataset: digits | mnist", "architecture.width: 0.25 | ", "images: 300 | 10000"]


def test_images_of_another_size_are_another_data_set_and_another_data_set_has_its_own():
    paper = stated(PROTOCOL, {"of": {"dataset": "mnist"}, "settings": values(dataset__image_size=128)})
    small = {"pcl": facts(settings={"dataset.image_size": 32})}
    found = judge(claim(), [measured(1990, 10_000)], models=small, paper=paper)
    assert (found.grade, said(found)) == ("C", ["dataset.image_size: 32 | 128"])
    digits = {"pcl": facts(dataset="digits", settings={"dataset.image_size": 32})}
    found = judge(claim(), [measured(1990, 10_000, dataset="digits")], models=digits, paper=paper)
    assert (found.grade, said(found)) == ("C", ["dataset: digits | mnist"])


def test_the_nearest_model_is_chosen_whatever_the_order():
    rows = [
        measured(dataset="digits", model="a", total=10_000, correct=2_000),
        measured(30, architecture="lenet", model="b"),
        measured(90, model="z"),
    ]
    models = {"a": facts("a", "digits"), "b": facts("b", architecture="lenet"), "z": facts("z")}
    for order in (rows, rows[::-1]):
        assert judge(claim(), order, models=models).model == "z"
    for order in (rows[:2], rows[1::-1]):
        assert judge(claim(), order, models=models).model == "b", "the same data set first"


def test_two_models_that_fit_alike_are_rivals_until_one_is_named():
    rows = [measured(30, model="a"), measured(90, model="b")]
    with pytest.raises(StudyError, match=r"models a and b fit p\.table_1\.ours\.pgd alike.*stands_for"):
        judge(claim(), rows, models={"a": facts("a"), "b": facts("b")})
    for named in ("p.*", "p.table_1.ours.pgd"):
        models = {"a": facts("a"), "b": facts("b", stands_for=(named,))}
        assert judge(claim(), rows, models=models).model == "b"
    models = {"a": facts("a"), "b": facts("b", stands_for=("q.*",))}
    assert judge(claim(), rows, models=models).model == "a", "the other stands for another paper"


def test_a_copy_from_other_first_weights_is_no_rival():
    """Sources and members stand under an attack too, and have an accuracy without one."""
    rows = [measured(30, model="copy"), measured(90, model="first")]
    for order in (rows, rows[::-1]):
        models = {"copy": facts("copy", seed_offset=100), "first": facts("first")}
        assert judge(claim(), order, models=models).model == "first"
    models["copy"] = facts("copy", seed_offset=100, stands_for=("p.*",))
    assert judge(claim(), rows, models=models).model == "copy", "it is named"
    assert judge(claim(), rows[:1], models={"copy": facts("copy", seed_offset=100)}).model == "copy", "alone"
    other = {"copy": facts("copy", seed_offset=100), "first": facts("first", epochs=5)}
    assert judge(claim(), rows, models=other).model == "copy", "another training is another model"


def table(one_model: str) -> dict:
    return {"Table 1": {"caption": "c", "rows": 1, "columns": 2, "cells": 2, "one_model": one_model}}


@pytest.mark.parametrize(("layout", "model"), [("row", "near"), ("cell", "far")])
def test_what_a_paper_measured_on_one_model_is_judged_on_one(layout, model):
    """BIM met the far model alone: in a row of one model it was not measured, as a cell by itself it was."""
    bim = claim(column="BIM", attack="bim")
    rows = [measured(model="near"), measured(model="far"), measured(model="far", attack="bim")]
    models = {"near": facts("near"), "far": facts("far", epochs=5)}
    paper = stated(PROTOCOL, **table(layout))
    found = judge(bim, rows, models=models, paper=paper, also=[claim()])
    if layout == "row":
        assert (found.verdict, said(found)) == ("not measured", ["lacks.model: near | "])
    else:
        assert (found.model, found.grade) == (model, "B")
    assert judge(claim(), rows, models=models, paper=paper, also=[bim]).model == "near"


def test_of_models_of_one_grade_the_one_that_answers_most_of_a_row_stands_for_it():
    bim = claim(column="BIM", attack="bim")
    rows = [measured(model="near"), measured(model="far"), measured(model="far", attack="bim")]
    farther = {"training.learning_rate": 1}
    models = {"near": facts("near", epochs=5), "far": facts("far", epochs=5, settings=farther)}
    paper = stated(PROTOCOL, **table("row"))
    for one, other in ((bim, claim()), (claim(), bim)):
        found = judge(one, rows, models=models, paper=paper, also=[other])
        assert (found.model, found.grade) == ("far", "B")
    models["near"] = facts("near")
    assert judge(claim(), rows, models=models, paper=paper, also=[bim]).model == "near", "grade A first"


def test_a_model_trained_half_as_long_answers_nothing_and_tells_what_is_stable():
    models = {
        "pcl": facts(epochs=100),
        "half": facts("half", epochs=50, half_of="pcl"),
    }
    rows = [measured(2_000, 10_000), measured(1_000, 10_000, model="half")]
    assert judge(claim(value=0.2), rows, models=models).stable == "no"
    assert judge(claim(value=0.5), rows, models=models).stable == "yes"
    assert judge(claim(value=0.5), rows[:1], models=models).stable == ""
    assert judge(claim(value=0.2), rows[1:], models=models).verdict == "not measured"
    whole = {**models, "pcl": facts(), "half": facts("half", epochs=175, half_of="pcl")}
    assert judge(claim(value=0.5), rows, models=whole).stable == "", "grade A needs no such support"


ATTACKS = [
    ({"steps": 10, "step_size": 0.1}, {}, ("reproduced", "higher", "lower"), "A"),
    ({"steps": 5, "step_size": 0.1}, {"attack.steps": "5 | 10"}, ("undecided", "undecided", "lower"), "B"),
    (
        {"steps": 50, "step_size": 0.1},
        {"attack.steps": "50 | 10"},
        ("reproduced", "higher", "undecided"),
        "B",
    ),
    ({"steps": 10, "step_size": 0.5}, {"attack.step_size": "0.5 | 0.1"}, ("undecided",) * 3, "B"),
    (
        {"steps": 50, "step_size": 0.5},
        {"attack.step_size": "0.5 | 0.1", "attack.steps": "50 | 10"},
        ("undecided",) * 3,
        "B",
    ),
    (
        {"steps": 10, "step_size": 0.1, "early_stop": True},
        {"attack.early_stop": "true | "},
        ("undecided",) * 3,
        "B",
    ),
]


@pytest.mark.parametrize(("settings", "differences", "words", "grade"), ATTACKS)
def test_an_attack_s_strength_limits_what_may_be_said(settings, differences, words, grade):
    paper = stated(
        PROTOCOL, {"of": {"attack": "pgd"}, "settings": values(attack__steps=10, attack__step_size=0.1)}
    )
    for claimed, word in zip((0.2, 0.1, 0.3), words, strict=True):
        attacks = {"pgd": {"kind": "pgd", "epsilons": [0.3], **settings}}
        found = judge(claim(value=claimed), [measured(2_000, 10_000)], models=A, paper=paper, attacks=attacks)
        assert (found.verdict, found.grade) == (word, grade)
        assert said(found) == [f"{kind}: {text}" for kind, text in differences.items()]
        assert found.undecided_by == ("attack" if word == "undecided" else "")


@pytest.mark.parametrize("steps", [5, 50])
@pytest.mark.parametrize(
    ("asked", "row"),
    [
        ({"setting": "black_box", "source": "vgg19"}, {"setting": "black_box", "source": "vgg"}),
        ({"metric": "nearest_prototype_accuracy"}, {"metric": "nearest_prototype_accuracy"}),
        ({"metric": "refused"}, {"metric": "refused"}),
    ],
    ids=["black box", "nearest prototype", "refused"],
)
def test_only_of_accuracy_on_its_own_network_is_a_longer_attack_the_stronger(asked, row, steps):
    """More steps may fit images to their source alone, and they raise what is refused."""
    paper = stated(PROTOCOL, {"of": {"attack": "pgd"}, "settings": values(attack__steps=10)})
    attacks = {"pgd": {"kind": "pgd", "epsilons": [0.3], "steps": steps}}
    models = {**A, "vgg": facts("vgg", architecture="vgg19", defense="undefended")}
    for claimed in (0.1, 0.2, 0.3):
        found = judge(
            claim(value=claimed, **asked),
            [measured(2_000, 10_000, **row)],
            models=models,
            paper=paper,
            attacks=attacks,
        )
        assert (found.verdict, found.undecided_by, found.grade) == ("undecided", "attack", "B")


@pytest.mark.parametrize(
    ("setting", "view", "stated_view", "difference"),
    [
        ("white_box", "joint", None, "attack.view: joint | logits"),
        ("white_box", None, None, None),
        ("adaptive", "prototypes", None, None),
        ("adaptive", "joint", "joint", None),
        ("adaptive", "prototypes", "joint", "attack.view: prototypes | joint"),
        ("adaptive", None, "joint", "attack.view: logits | joint"),
    ],
)
def test_another_attack_loss_is_another_attack_of_which_nobody_knows_which_is_stronger(
    setting, view, stated_view, difference
):
    own = {"of": {"setting": "adaptive"}, "settings": values(attack__view=stated_view)}
    paper = stated(PROTOCOL, *([own] if stated_view else []))
    loss = {"view": view} if view else {}
    found = judge(
        claim(setting=setting),
        [measured(1_990, 10_000, setting=setting)],
        models=A,
        paper=paper,
        overrides={("pcl", setting, "pcl", "pgd"): {"kind": "pgd", **loss}},
    )
    assert said(found) == ([difference] if difference else [])
    assert (found.grade, found.verdict) == (("B", "undecided") if difference else ("A", "reproduced"))


def test_an_attack_of_another_kind_under_the_same_name_is_another_experiment():
    found = judge(claim(), [measured()], models=A, attacks={"pgd": {"kind": "fgsm", "epsilons": [0.3]}})
    assert (found.verdict, said(found)[0]) == ("not comparable", "attack.kind: fgsm | pgd")


def test_a_suite_that_sets_an_attack_otherwise_is_named_for_its_own_rows_only():
    paper = stated(PROTOCOL, {"of": {"attack": "pgd"}, "settings": values(attack__steps=10)})
    for place, named in (
        (("pcl", "white_box", "pcl", "pgd"), True),
        (("pcl", "adaptive", "pcl", "pgd"), False),
    ):
        found = judge(
            claim(),
            [measured(1990, 10_000)],
            models=A,
            paper=paper,
            attacks={"pgd": {"kind": "pgd", "steps": 10}},
            overrides={place: {"kind": "pgd", "steps": 50}},
        )
        assert ("attack.steps: 50 | 10" in said(found)) is named


MODELS = {
    "vgg": facts("vgg", architecture="vgg19", defense="undefended"),
    "small": facts(
        "small", architecture="vgg19", defense="undefended", settings={"architecture.width": 0.125}
    ),
    "lenet": facts("lenet", architecture="lenet", defense="undefended"),
    "vgg_fgsm": facts("vgg_fgsm", architecture="vgg19", defense="fgsm_training", training="fgsm"),
    "vgg_pgd": facts("vgg_pgd", architecture="vgg19", defense="undefended", training="pgd"),
    "pcl": facts(),
}


def transferred(correct, source):
    return measured(correct, setting="black_box", source=source)


def test_transfer_from_another_source_is_another_quantity():
    asked = claim(setting="black_box", source="vgg19")
    rows = [transferred(30, "lenet"), transferred(90, "small"), transferred(60, "vgg")]
    for order in (rows, rows[::-1]):
        found = judge(asked, order, models=MODELS)
        assert (found.measured, found.grade, said(found)) == (0.2, "A", ["images: 300 | 10000"])
    for order in (rows[:2], rows[1::-1]):
        narrow = judge(asked, order, models=MODELS)
        assert narrow.measured == 0.3, "a narrow VGG-19 is nearer to the paper's than any other network"
        assert (narrow.verdict, said(narrow)[0]) == ("not comparable", "source.architecture.width: 0.125 | ")
    found = judge(asked, rows[:1], models=MODELS)
    assert (found.verdict, said(found)) == (
        "not comparable",
        ["source: lenet | vgg19", "images: 300 | 10000"],
    )


def test_a_source_of_which_nothing_is_known_is_another_experiment():
    found = judge(claim(setting="black_box", source="vgg19"), [transferred(60, "unknown")], models=MODELS)
    assert (found.verdict, said(found)[0]) == ("not comparable", "source: unknown | vgg19")


def test_a_source_with_the_weights_of_the_target_or_of_another_source_is_no_other_network():
    plain = {"architecture": "vgg19", "defense": "undefended"}
    own = {**plain, "model": "vgg_own"}
    asked = claim(setting="black_box", **plain, source="vgg19")
    for offset, twin in ((0, True), (1, False)):
        models = {**MODELS, "vgg_own": facts("vgg_own", **plain, seed_offset=offset)}
        found = judge(asked, [changed(transferred(60, "vgg"), **own)], models=models)
        assert ("source.twin: vgg | vgg_own" in said(found), found.grade) == (twin, "C" if twin else "A")
    models = {**MODELS, "again": facts("again", **plain)}
    found = judge(claim(setting="black_box", source="vgg19*2"), [transferred(60, "again+vgg")], models=models)
    assert (found.grade, said(found)[0]) == ("C", "source.twin: vgg | again")


def test_a_source_trained_less_than_its_protocol_is_grade_b():
    models = {**MODELS, "vgg": facts("vgg", architecture="vgg19", defense="undefended", epochs=3)}
    clean = measured(
        270, model="vgg", architecture="vgg19", defense="undefended", attack="none", parameters=""
    )
    clean.source = ""
    found = judge(claim(setting="black_box", source="vgg19"), [transferred(90, "vgg"), clean], models=models)
    assert (found.verdict, found.grade) == ("higher", "B")
    assert said(found)[0] == "source.training.epochs: 3 | 350"
    assert found.source_accuracy == 0.9


TRAINED = "defenses/fgsm_training"
SOURCES = [
    ("vgg19", "vgg", []),
    ("vgg19:fgsm_training", "vgg_fgsm", []),
    ("vgg19:undefended:pgd", "vgg_pgd", []),
    ("vgg19:fgsm_training", "vgg", ["vgg19"]),
    ("vgg19", "vgg_fgsm", ["vgg19:fgsm_training:fgsm"]),
    ("vgg19", "vgg_pgd", ["vgg19:undefended:pgd"]),
    ("vgg19:fgsm_training:pgd", "vgg_fgsm", ["vgg19:fgsm_training:fgsm"]),
    ("vgg19:fgsm_training", "small", ["vgg19"]),
    ("vgg19*3", "vgg", ["vgg19"]),
    ("vgg19*3 + lenet*2", "lenet", ["lenet"]),
]
SOURCES = [case for case in SOURCES if is_here(TRAINED) or "fgsm_training" not in repr(case)]


@pytest.mark.parametrize(
    ("claimed", "made_on", "differences"), SOURCES, ids=[f"{c} on {m}" for c, m, _ in SOURCES]
)
def test_sources_differ_in_network_defense_training_and_number(claimed, made_on, differences):
    found = judge(claim(setting="black_box", source=claimed), [transferred(60, made_on)], models=MODELS)
    named = [each for each in found.differences if each.kind == "source"]
    assert [each.here for each in named] == differences
    assert all(each.there == claimed for each in named)
    assert (found.grade == "C") == bool(differences) or made_on == "small"


@pytest.mark.parametrize(
    ("claimed", "chosen"),
    [
        *([("vgg19:fgsm_training", "vgg_fgsm")] if is_here(TRAINED) else []),
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


def test_white_box_sources_are_the_target():
    """In the white box a row's source is the model itself, which no claim names."""
    found = judge(claim(value=0.2), [measured(2_000, 10_000)], models=A)
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


def counted(here, count, **changes):
    """Return a row that counts images among so many."""
    return changed(plain(float(count)), metric="failed_majorities", total=here, source="pcl", **changes)


@pytest.mark.parametrize(
    ("here", "count", "word", "shown"),
    [
        (10_000, 20, "reproduced", 20),
        (10_000, 200, "higher", 200),
        (1_000, 2, "undecided", 20),  # exactly the same share, on too few images
        (1_000, 40, "higher", 400),
        (100, 20, "higher", 2_000),  # the same count is not the same share
    ],
)
def test_counts_are_compared_as_shares_of_their_images(here, count, word, shown):
    asked = claim(metric="failed_majorities", unit="images", printed="20", value=20)
    found = judge(asked, [counted(here, count)], models=A)
    assert (found.verdict, found.measured) == (word, pytest.approx(shown))
    assert found.low < shown < found.high
    assert found.margin == pytest.approx(50), "half a point of 10,000 images"


def test_a_count_of_none_is_compared_too():
    asked = claim(metric="failed_majorities", unit="images", printed="0", value=0)
    for count, word, shown in ((0, "reproduced", 0), (90, "higher", 90)):
        found = judge(asked, [counted(10_000, count)], models=A)
        assert (found.verdict, found.measured, found.margin) == (
            word,
            pytest.approx(shown),
            pytest.approx(50),
        )


@pytest.mark.parametrize(
    ("value", "low", "high", "word"),
    [
        (0.012, 0.0115, 0.0125, "reproduced"),
        (0.02, 0.019, 0.021, "higher"),
        (-0.015, -0.016, -0.014, "lower"),
        (0.012, 0.002, 0.022, "undecided"),
    ],
)
def test_gains_are_compared_by_half_of_the_claim(value, low, high, word):
    asked = claim(metric="accuracy_gain", unit="points", printed="1.2", value=0.012)
    gain = changed(plain(value, metric="accuracy_gain"), total=300, low=low, high=high)
    assert judge(asked, [gain], models=A).verdict == word


def test_a_look_more_widens_the_interval_of_a_gain_too():
    asked = claim(metric="accuracy_gain", unit="points", printed="1.2", value=0.012)
    gain = changed(plain(0.012, metric="accuracy_gain"), total=300, low=0.0062, high=0.0178)
    once, twice = (judge(asked, [gain], models=A, looks=looks) for looks in (1, 2))
    assert (once.verdict, once.low, once.high) == ("reproduced", 0.0062, 0.0178)
    assert twice.verdict == "undecided", "at 97.5 % the interval reaches over half of the claimed gain"
    assert twice.high - twice.low == pytest.approx(0.0116 * 2.241403 / 1.959964, rel=1e-5)
    assert twice.low + twice.high == pytest.approx(0.024)


def test_a_copied_number_of_an_unknown_protocol_is_no_claim_about_a_narrow_network():
    """Nothing is stated of it; but a network a quarter as wide is not what anybody publishes under its name."""
    asked = claim(evidence="copied from X et al. 2019")
    for width, word, grade in ((1.0, "reproduced", "B"), (0.25, "not comparable", "C")):
        models = {"pcl": facts(settings={"architecture.width": width})}
        found = judge(asked, [measured(1990, 10_000)], models=models)
        assert (found.verdict, found.grade) == (word, grade)


def timed(seconds, **changes) -> SimpleNamespace:
    return plain(seconds, metric="epoch_seconds", attack="none", parameters="", source="", **changes)


@pytest.mark.parametrize(
    ("own", "word"), [(15.0, "reproduced"), (18.0, "reproduced"), (20.0, "higher"), (11.0, "lower")]
)
def test_times_are_ratios_to_the_undefended_network(own, word):
    """Claimed: 9 minutes beside 6, a ratio of 1.5; on another device 10 s stand for the 6 minutes."""
    time = {"metric": "epoch_seconds", "unit": "min:s", "attack": "none", "parameters": "", "column": "Time"}
    asked = claim(printed="9:00m", value=540, **time)
    base = claim(printed="6:00m", value=360, row="Base", **{**time, "defense": "undefended"})
    rows = [timed(own), timed(10.0, defense="undefended", model="base")]
    models = {**A, "base": facts("base", defense="undefended")}
    found = judge(asked, rows, models=models, also=[base])
    assert (found.verdict, found.measured) == (word, pytest.approx(own / 10))
    alone = judge(asked, rows[:1], models=models, also=[base])
    assert (alone.verdict, said(alone)[0]) == ("not comparable", "undefended:  | ")
    assert judge(base, rows, models=models, also=[asked]).verdict == "not comparable", "its own measure"
    half = facts("half", defense="undefended", epochs=175, half_of="base")
    slow = [timed(own), timed(1.0, defense="undefended", model="half"), rows[1]]
    found = judge(asked, slow, models={**models, "half": half}, also=[base])
    assert (found.verdict, found.grade) == (word, "A"), "one trained half as long stands for nothing"
    narrow = {**models, "base": facts("base", defense="undefended", settings={"architecture.width": 0.5})}
    found = judge(asked, rows, models=narrow, also=[base])
    assert (found.grade, said(found)[0]) == ("C", "architecture.width: 0.5 | ")


def test_each_seed_s_time_is_a_ratio_of_its_own():
    time = {"metric": "epoch_seconds", "unit": "min:s", "attack": "none", "parameters": "", "column": "Time"}
    asked = claim(printed="9:00m", value=540, **time)
    base = claim(printed="6:00m", value=360, row="Base", **{**time, "defense": "undefended"})
    own, plain_row = timed(15.0, seeds=2), timed(10.0, seeds=2, defense="undefended", model="base")
    own.by_seed = [changed(timed(10.0), seed=0), changed(timed(20.0), seed=1)]
    base_seed = {"defense": "undefended", "model": "base"}
    plain_row.by_seed = [changed(timed(10.0, **base_seed), seed=seed) for seed in (0, 1)]
    models = {**A, "base": facts("base", defense="undefended")}
    found = judge(asked, [own, plain_row], models=models, also=[base])
    assert (found.verdict, found.undecided_by, found.seed_words) == (
        "undecided",
        "seeds",
        ("lower", "higher"),
    )


@pytest.mark.parametrize(
    ("metric", "unit"), [("l2_mean", "distance"), ("chosen_round", "rounds"), ("confidence", "fraction")]
)
def test_other_quantities_lie_within_a_tenth_of_the_claim(metric, unit):
    for value, word in ((0.5, "reproduced"), (0.545, "reproduced"), (0.555, "higher"), (0.445, "lower")):
        asked = claim(metric=metric, unit=unit, printed="0.5", value=0.5)
        assert judge(asked, [plain(value, metric=metric)], models=A).verdict == word


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


@pytest.mark.parametrize("printed", ["-", "-/-"])
def test_a_dash_is_no_claim(printed):
    verdict = judge(claim(printed=printed), [measured()])
    assert (verdict.verdict, verdict.claimed, verdict.measured) == ("not claimed", None, None)
    assert verdict.differences == ()


def test_a_lost_cell_is_no_claim_and_tells_what_was_measured():
    lost = claim(printed="?", certainty="lost")
    verdict, there = judge(lost, [measured()]), judge(claim(), [measured()])
    assert (verdict.verdict, verdict.claimed) == ("not claimed", None)
    assert (verdict.measured, verdict.model, verdict.grade) == (there.measured, there.model, there.grade)
    nothing = judge(lost, [])
    assert (nothing.verdict, nothing.measured, nothing.differences) == ("not claimed", None, ())


def worst(correct, setting="", **changes):
    attack = "worst_case_in_setting" if setting else "worst_case"
    place = {"setting": setting or "all", "source": "", "attack": attack}
    return measured(correct, **{**place, "parameters": "norm=linf epsilon=0.3", **changes})


@pytest.mark.parametrize("parameters", ["epsilon=0.3", "epsilon=0.3 steps=200"])
def test_what_the_strongest_attacks_leave_stands_beside_the_word(parameters):
    rows = [
        measured(parameters=parameters),
        worst(6),
        worst(12, "white_box"),
        worst(1, "black_box"),
        worst(60, model="other"),
        worst(60, parameters="norm=linf epsilon=0.1"),
        worst(60, "white_box", parameters="norm=l2 epsilon=0.3"),
    ]
    for order in (rows, rows[::-1]):
        found = judge(claim(parameters=parameters), order, models=A)
        assert (found.strongest_attack, found.strongest_value, found.overall_value) == (
            "worst_case_in_setting",
            0.04,
            0.02,
        )


def test_a_black_box_claim_gets_a_black_box_strongest():
    rows = [transferred(60, "vgg"), worst(6), worst(3, "white_box"), worst(45, "black_box")]
    found = judge(claim(setting="black_box", source="vgg19"), rows, models=MODELS)
    assert (found.strongest_value, found.overall_value) == (0.15, 0.02)


def test_nothing_is_strongest_without_an_epsilon_or_of_other_metrics():
    bare = claim(attack="none", parameters="")
    found = judge(bare, [measured(attack="none", parameters=""), worst(6)], models=A)
    assert (found.strongest_attack, found.strongest_value, found.overall_value) == ("", None, None)
    fooled = claim(metric="fooling_set_accuracy")
    found = judge(fooled, [plain(0.2, metric="fooling_set_accuracy"), worst(6)], models=A)
    assert found.strongest_value is None


JOINED = {
    **MODELS,
    "vgg_too": facts("vgg_too", architecture="vgg19", defense="undefended", seed_offset=1),
    "lenet2": facts("lenet2", architecture="lenet", defense="undefended", seed_offset=1),
    "lenet3": facts("lenet3", architecture="lenet", defense="undefended", seed_offset=2),
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
        ("lenet*2", "vgg+small", ["vgg19*2"]),
    ],
)
def test_images_made_together_are_compared_by_kinds_and_numbers(claimed, made_on, differences):
    row = transferred(60, made_on)
    found = judge(claim(setting="black_box", source=claimed), [row], models=JOINED)
    named = [each for each in found.differences if each.kind == "source"]
    assert [each.here for each in named] == differences
    assert all(each.there == claimed for each in named)
    assert (found.grade == "C") == bool(differences) or made_on == "small"


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
    asked = claim(setting="black_box", source="lenet*3", metric="fooling_set_accuracy", value=0.2)
    row = changed(
        transferred(2_000, "lenet+lenet2+lenet3"), metric="fooling_set_accuracy", total=10_000, value=0.2
    )
    found = judge(asked, [row], models=JOINED)
    assert (found.verdict, said(found)) == ("reproduced", [])
    empty = judge(asked, [transferred(60, "lenet+lenet2+lenet3")], models=JOINED)
    assert (empty.verdict, said(empty)) == ("not measured", ["lacks.fooling_set:  | pgd"])


def test_a_verdict_has_the_key_of_the_row_that_was_chosen():
    """Two rows of one value: only the key tells which of them was judged."""
    rows = [measured(dataset="digits", model="a"), measured(model="b"), measured(attack="bim", model="b")]
    for order in (rows, rows[::-1]):
        found = judge(claim(), order, models={"a": facts("a", "digits"), "b": facts("b")})
        assert found.key == ("s", "b", "white_box", "b", "pgd", "epsilon=0.3", "accuracy")
        assert found.key == tuple(getattr(found, name) for name in KEY)


def test_budgets_are_matched_as_numbers_and_keep_the_print_of_their_row():
    asked = claim(parameters="epsilon=8/255", value=0.2)
    rows = [
        measured(2_000, 10_000, parameters=f"epsilon={8 / 255}"),
        worst(6, "white_box", parameters=f"norm=linf epsilon={8 / 255}"),
        measured(parameters="epsilon=0.031", model="near"),
    ]
    found = judge(asked, rows, models=A)
    assert (found.verdict, found.parameters) == ("reproduced", f"epsilon={8 / 255}")
    assert (found.strongest_parameters, found.strongest_value) == (f"norm=linf epsilon={8 / 255}", 0.02)
    lacking = judge(asked, rows[2:])
    assert lacking.differences == (Difference("lacks.parameters", "epsilon=0.031", "epsilon=8/255"),)


def test_what_was_run_is_listed_in_the_order_of_numbers():
    rows = [measured(attack="carlini_wagner", parameters=f"c={c}") for c in ("10", "2")]
    found = judge(claim(attack="carlini_wagner", parameters="c=5"), rows)
    assert said(found) == ["lacks.parameters: c=2, c=10 | c=5"]
