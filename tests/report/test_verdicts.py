"""How verdicts are shown: words, grades, why undecided, margins, counts, and the papers' protocols in words."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any, get_args

import made_up_study
import pytest
from made_up_study import frame
from playwright.sync_api import Page
from tests.hand_made_papers import claim
from tests.ours import needs
from tests.unfolded import render

from reproof.claims.protocol import Experiment, Grade
from reproof.judging import equivalence
from reproof.judging.difference import Difference, dump
from reproof.judging.verdicts import VerdictWord
from reproof.report import numbers, protocol_words, shown_verdict, tally, verdict_words
from reproof.report.claim_cells import _differences
from reproof.report.contents import rows
from reproof.report.reasons import Clause
from reproof.report.sections import statements
from reproof.report.shared import Shared
from reproof.report.shown_verdict import ShownVerdict
from reproof.report.tally import Tally
from reproof.report.verdict_words import GRADES, MARGINS, STRENGTHS, VERDICTS


def row(**cells: Any) -> Any:
    """Return a row of verdicts.csv."""
    (found,) = rows(
        frame("verdicts", [{"claim_id": "p.1", "verdict": "lower", "grade": "A", "margin": 0.02, **cells}])
    )
    return found


def facts(one: Any, **about: Any) -> dict[str, str]:
    return dict(shown_verdict.facts(one, claim(**about)))


# Words and numbers that verdicts are made with.


def test_every_word_and_grade_of_the_judge_is_explained() -> None:
    assert set(VERDICTS) == set(get_args(VerdictWord))
    assert set(GRADES) == set(get_args(Grade))
    signs = [sign for sign, _ in VERDICTS.values()]
    assert len(set(signs)) == len(signs)
    assert set(statements.JUDGEMENTS.values()) >= {VERDICTS["undecided"][0], VERDICTS["not comparable"][0]}


def test_margins_are_those_of_the_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed anew the numbers would stay when the judge's change."""
    text = dict(MARGINS)
    assert text["an accuracy or an error"].startswith("2 points; ")
    assert text["an accuracy or an error"].endswith("never less than 0.5 points")
    assert text["a time"].startswith("25 % ")
    assert text["anything else"] == "10 % of the claim"
    assert "95 % interval" in VERDICTS["reproduced"][1]
    with monkeypatch.context() as changed:
        for name, value in (
            ("POINTS", 0.03),
            ("LEAST", 0.01),
            ("TIMES", 0.5),
            ("OTHERS", 0.2),
            ("ERROR", 0.1),
        ):
            changed.setattr(equivalence, name, value)
        again = importlib.reload(verdict_words)
        told = dict(again.MARGINS)
        assert told["an accuracy or an error"].startswith("3 points; ")
        assert told["an accuracy or an error"].endswith("never less than 1 point")
        assert (told["a time"][:4], told["anything else"][:4]) == ("50 %", "20 %")
        assert "90 % interval" in again.VERDICTS["reproduced"][1]
    importlib.reload(verdict_words)


@needs("sections/claims_overview", "sections/paper_tables", "sections/statements")
def test_the_page_says_how_verdicts_are_made(open_page: Callable[..., Page]) -> None:
    page = open_page()
    text = " ".join(page.locator("#verdict-rules").inner_text().split())
    for word, (sign, meaning) in VERDICTS.items():
        assert f"{sign} {word} {meaning}" in text
    for grade, meaning in GRADES.items():
        assert f"grade {grade} {meaning}" in text
    for what, margin in MARGINS:
        assert f"margin of {what} {margin[0].upper()}{margin[1:]}." in text
    links = page.locator("a[href='#verdicts']")
    assert links.count() >= 5, "contents, claims, tables, statements, glossary"


def test_no_word_stands_without_its_grade(open_page: Callable[..., Page]) -> None:
    """Whether in cells, cards, counts or reference runs: but where the words themselves are explained."""
    page = open_page()
    bare = page.evaluate(
        """() => [...document.querySelectorAll('.verdict')]
          .filter((e) => !e.closest('#verdict-rules, thead') && !e.querySelector('.grade'))
          .map((e) => e.textContent.replace(/[^a-z ]/g, '').trim())"""
    )
    own = {
        "not measured",
        "holds",
        "does not hold",
        "not comparable",
        "undecided",
    }  # statements in print have none
    assert set(bare) <= own
    tables = page.evaluate(
        """() => [...document.querySelectorAll('#tables .verdict, #fell ul .verdict')]
          .filter((e) => !e.querySelector('.grade')).map((e) => e.textContent.replace(/[^a-z ]/g, '').trim())"""
    )
    assert set(tables) == {"not measured"}


# One verdict.


@pytest.mark.parametrize(
    ("cells", "remarks"),
    [
        ({}, ()),
        ({"undecided_by": "images", "verdict": "undecided"}, ("too few images",)),
        (
            {"undecided_by": "seeds", "verdict": "undecided", "seed_words": "lower, lower, reproduced"},
            ("2 of 3 seeds lower",),
        ),
        ({"seed_words": "lower, lower, lower"}, ("3 of 3 seeds",)),
        ({"grade": "B", "stable": "yes"}, ("stable",)),
        ({"grade": "B", "stable": "no", "seed_words": "lower, lower"}, ("2 of 2 seeds", "not stable")),
        ({"verdict": "not comparable", "grade": "C"}, ()),
    ],
)
def test_a_cell_says_why_it_is_undecided_and_what_it_rests_on(
    cells: dict[str, Any], remarks: tuple[str, ...]
) -> None:
    assert ShownVerdict.of_row(row(**cells), claim()).remarks == remarks


@pytest.mark.parametrize(
    ("here", "there", "setting", "strength"),
    [
        ("10", "100", "steps", "weaker"),
        ("100", "10", "steps", "stronger"),
        ("0.01", "0.1", "step_size", "other"),
    ],
)
def test_an_attack_of_another_strength_is_named(here: str, there: str, setting: str, strength: str) -> None:
    differences = dump([Difference(f"attack.{setting}", here, there, "B")])
    found = row(verdict="undecided", grade="B", undecided_by="attack", differences=differences)
    assert ShownVerdict.of_row(found, claim(attack="pgd")).remarks == (STRENGTHS[strength][0],)
    assert facts(found, attack="pgd")["undecided"] == STRENGTHS[strength][1]


def test_a_card_says_all_that_a_verdict_rests_on() -> None:
    found = row(
        verdict="undecided",
        grade="B",
        undecided_by="seeds",
        seed_words="lower, reproduced, lower, undecided",
        training_share=0.0114,
        source_accuracy=0.912,
        strongest_value=0.2,
        strongest_low=0.15,
        strongest_high=0.25,
        overall_value=0.1,
        overall_low=0.05,
        overall_high=0.2,
    )
    assert facts(found, setting="black_box") == {
        "verdict": "undecided, grade B",
        "undecided": "the seeds, each judged by itself, disagree: 2 of 4 seeds lower, 1 reproduced, 1 undecided",
        "margin": "± 2.0 points",
        "training": "1.1 % of the paper’s epochs",
        "source": "91.2 % of the clean images right, the least accurate if several",
        "strongest, black-box": "20.0 % [15.0–25.0]: what is left under all of them together, within the same budget",
        "strongest, all settings": "10.0 % [5.0–20.0]: what is left under all of them together, within the same budget",
    }


def test_stability_and_seeds_of_a_decided_word() -> None:
    found = facts(row(grade="B", stable="no", seed_words="lower, lower"))
    assert found["stable"] == "no: another word at half of this training"
    assert found["seeds"] == "2 of 2 seeds, each judged by itself, say so"
    assert "not known" in facts(row(grade="B"))["stable"]
    assert "stable" not in facts(row(grade="A"))
    assert set(facts(row(verdict="not comparable", grade="C"))) == {"verdict"}, (
        "no margin of what is not judged"
    )


@pytest.mark.parametrize(
    ("about", "margin", "words"),
    [
        ({}, 0.005, "± 0.5 points"),
        ({"unit": "fraction"}, 0.02, "± 0.020"),
        ({"unit": "points", "metric": "accuracy_gain"}, 0.0006, "± 0.06 points"),
        ({"unit": "images", "metric": "failed_majorities"}, 50.0, "± 50 images"),
        (
            {"unit": "min:s", "metric": "epoch_seconds"},
            0.38,
            "± 0.38, as a ratio to the undefended network’s time",
        ),
    ],
)
def test_margins_are_in_the_unit_of_the_claim(about: dict[str, str], margin: float, words: str) -> None:
    assert facts(row(margin=margin), **about)["margin"] == words


def test_a_time_is_told_as_the_ratio_that_was_judged() -> None:
    """Claimed 3 times the undefended epoch: the margin is a quarter of that."""
    timed = claim(unit="min:s", metric="epoch_seconds", printed="6:43m", value=403.0)
    judged = row(measured=2.0, margin=3 * equivalence.TIMES)
    assert numbers.measured(judged, timed) == "2 times the undefended network’s"
    assert numbers.claimed_ratio(judged) == pytest.approx(3)
    alone = row(verdict="not comparable", grade="C", measured=61.0, margin=None)
    assert numbers.measured(alone, timed) == "1:01 min", "seconds, where there is nothing to compare with"
    assert numbers.measured(row(measured=0.951), claim()) == "95.1 %"


def test_differences_stand_by_grade_as_they_come() -> None:
    clauses = [
        Clause("network", grade="C"),
        Clause("epochs", grade="B"),
        Clause("rate", grade="B"),
        Clause("x"),
    ]
    assert list(_differences(clauses)) == [
        ("differs, C", "network"),
        ("differs, B", "epochs; rate"),
        ("differs", "x"),
    ]


# Counts.


def test_a_tally_keeps_the_grades_apart() -> None:
    judged = [
        row(verdict="reproduced"),
        row(verdict="lower", grade="B", training_share=0.5, stable="yes"),
        row(verdict="lower", grade="B", training_share=0.02, stable="no"),
        row(verdict="undecided", grade="B"),
        row(verdict="not comparable", grade="C", training_share=0.001),
        row(verdict="not measured", grade=""),
        row(verdict="not claimed", grade=""),
        None,
    ]
    found = Tally.of(judged)
    assert found == Tally(
        (("reproduced", 1),), (("lower", 2), ("undecided", 1)), 1, 2, (0.02, 0.5), stable=1, unstable=1
    )
    assert found.measured == 5
    assert found.of_each_word() == (1, 0, 0, 0)
    assert (found.of_training, found.stability) == (
        "2 % to 50 % of the paper’s epochs (2 of them)",
        "1 stable, 1 not stable",
    )
    assert [sum(part[2] for part in group) for group in found.groups] == [1, 3, 3]
    nothing = Tally.of([])
    assert (nothing.parts, nothing.of_training, nothing.stability) == ((), "", "")
    assert tally.told(nothing) == "no claim was judged at grade A"


# Statements.


def test_a_statement_names_its_heaviest_differences_and_counts_the_rest(tree: made_up_study.Tree) -> None:
    data = made_up_study.report_data(tree)
    many = [Difference(f"training.setting_{number}", "1", "2", "B") for number in range(9)]
    many += [Difference("pairs", "1", "2"), Difference("dataset", "digits", "mnist", "C")]
    table = data.statements.assign(differences=dump(many))
    (_, _, shown, _, _), *_ = statements.build(Shared(dataclasses.replace(data, statements=table)))["papers"]
    reason = shown[0].measured.reason
    assert reason.startswith("data set: digits, not MNIST; training’s setting 0: 1, not 2; ")
    assert reason.endswith("training’s setting 4: 1, not 2; and 4 more differences, on its cells’ cards")
    assert "pairs" not in reason, "all can be compared"


# Protocols.


@needs("defenses/prototype_conformity", "sections/interpretations")
def test_a_protocol_is_printed_from_its_data(open_page: Callable[..., Page]) -> None:
    page = open_page()
    fold = page.locator("#protocol-made_up")
    assert "4 settings printed, 4 read" in fold.locator("summary").inner_text()
    tables = fold.locator("table")
    assert [" ".join(text.split()) for text in tables.locator("caption").all_inner_texts()] == [
        "All claims",
        "Claims about prototype conformity, trained on FGSM examples or PGD examples, data set cifar*",
    ]
    shown = [" ".join(text.split()) for text in tables.locator("tbody tr").all_inner_texts()]
    assert shown == [
        "training.epochs 350 Sec. 5",
        "training.nesterov no our reading: Not named.",
        "training.weight_decay 0.0001 or, as plausible: 0 or 5e-4 our reading: The Made up 2001 code has it.",
        "images 10,000 Table 1",
        "training.adversarial.attack PGD or, as plausible: FGSM our reading: Both are named.",
        "training.adversarial.epsilon 8/255 Sec. 5.1 <b>",
        "training.milestones 100, 200 Sec. 5.1",
        "training.gradient_clip none our reading: None is named.",
        "device One GPU Sec. 5.2",
    ]
    assert page.locator("#protocol-invented_other").count() == 0


@pytest.mark.parametrize(
    ("of", "words"),
    [
        ({"dataset": "mnist", "architecture": ["lenet", "cnn6"]}, "Claims about MNIST, LeNet or CNN-6"),
        ({"attack": "none", "setting": "white_box"}, "Claims about no attack, white-box"),
        ({"table": "Text"}, "Claims about numbers in the prose"),
        ({"table": ["Table 1", "Table 2*"]}, "Claims about Table 1 or table <code>Table 2*</code>"),
        ({"parameters": "epsilon=8/255", "dataset": "*"}, "Claims about at ε = 8/255"),
        ({"evidence": "copied from *"}, "Claims about evidence <code>copied from *</code>"),
        ({"dataset": "*"}, "All claims"),
    ],
)
def test_an_experiment_says_which_claims_it_is_of(of: dict[str, Any], words: str) -> None:
    paper = made_up_study.paper().model_copy(update={"protocol": (Experiment.model_validate({"of": of}),)})
    assert [one.of for one in protocol_words.experiments(paper)] == [words]


def test_readings_that_go_together_are_shown_so() -> None:
    rate = {
        "is": 0.05,
        "or": [0.1, 0.001],
        "reading": "usual ones",
        "where": {"training.optimizer": {"sgd": [0.05, 0.1], "adam": [0.001]}},
    }
    own = Experiment.model_validate({"of": {"dataset": "*"}, "settings": {"training.learning_rate": rate}})
    (shown,) = protocol_words.experiments(made_up_study.paper().model_copy(update={"protocol": (own,)}))
    assert shown.rows[0].alternatives == "0.1 or 0.001 (optimizer: 0.05 or 0.1 with sgd; 0.001 with adam)"


@needs("sections/interpretations")
def test_a_page_without_protocols_has_no_heading_of_them(tree: made_up_study.Tree) -> None:
    data = made_up_study.report_data(tree)
    papers = [paper.model_copy(update={"protocol": ()}) for paper in data.papers]
    assert "their protocols" in render(data)
    assert "their protocols" not in render(dataclasses.replace(data, papers=papers))
