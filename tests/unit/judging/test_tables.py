"""From outcomes beside claims to the tables, on cases small enough to count by hand."""

from __future__ import annotations

import json
import random

import pytest

from reproof.claims.paper import Paper
from reproof.csv_tables import KEY, STATEMENTS, SUMMARY, VERDICTS
from reproof.judging.difference import Difference, dump, load
from reproof.judging.study_facts import ModelFacts, StudyFacts
from reproof.judging.tables import tabulate
from reproof.measuring.outcomes import read_outcomes
from tests.hand_made_outcomes import BLACK, WHITE, write
from tests.hand_made_papers import DESCRIPTION, claim
from tests.hand_made_tables import rows
from tests.ours import papers_here


@pytest.fixture
def files(tmp_path):
    return [
        write(tmp_path / "net" / "white_box.parquet", WHITE),
        write(tmp_path / "net" / "black_box.parquet", BLACK, threat="black_box"),
    ]


def stated(row, **changes):
    place = {"row": row, "defense": "undefended", "attack": "fgsm"}
    return claim(**{**place, **changes})


PAPER = Paper(
    **{
        **DESCRIPTION,
        "key": "p",
        "tables": {},
        "protocol": [
            {"of": {"dataset": "mnist"}, "settings": {"training.epochs": {"is": 5, "place": "Sec. 5"}}}
        ],
        "claims": (
            stated("b", printed="95.0"),
            stated("c", printed="-"),
            stated("d", printed="?", certainty="lost"),
            stated("a", printed="50.0"),
        ),
        "statements": [
            {
                "key": "better",
                "place": "Sec. 1",
                "words": "b, c and d are better than a",
                "left": ["*.pgd"],
                "right": ["table_1.a.pgd"],
                "relation": "more",
            }
        ],
    }
)
FACTS = StudyFacts(
    models={
        "net": ModelFacts(
            "net", "mnist", "cnn6", settings={"training.epochs": 3}, chosen=("training.epochs",)
        )
    }
)


def made(files):
    return tabulate(read_outcomes(files), FACTS, [PAPER])


def test_verdicts_of_all_claims_but_dashes(files):
    found = rows(VERDICTS, made(files).verdicts)
    assert [
        (v.claim_id, v.verdict, v.grade, v.measured, v.strongest_value, v.overall_value) for v in found
    ] == [
        ("p.table_1.a.pgd", "undecided", "B", 0.5, pytest.approx(1 / 3), 0.0),
        ("p.table_1.b.pgd", "undecided", "B", 0.5, pytest.approx(1 / 3), 0.0),
    ]
    assert load(found[0].differences) == (Difference("training.epochs", "3", "5", "B"),)
    assert found[0].strongest_parameters == "norm=linf epsilon=0.3"


def test_the_key_of_a_verdict_leads_to_the_one_row_that_it_judged(files):
    tables = made(files)
    summary = rows(SUMMARY, tables.summary)
    assert len({tuple(getattr(row, name) for name in KEY) for row in summary}) == len(summary)
    for verdict in rows(VERDICTS, tables.verdicts):
        (row,) = [r for r in summary if all(getattr(r, name) == getattr(verdict, name) for name in KEY)]
        assert row.value == verdict.measured
        assert (verdict.low, verdict.high) == pytest.approx((0.06758, 0.93241), abs=1e-5), "2 of 4, exactly"
        assert (row.attack, row.parameters, row.model) == ("fgsm", "epsilon=0.3", "net")


def test_typed_verdicts_are_those_of_the_table(files):
    tables = made(files)
    assert VERDICTS.frame(verdict.cells() for verdict in tables.judged).equals(tables.verdicts)


def test_statements_are_judged_by_the_verdicts(files):
    (better,) = rows(STATEMENTS, made(files).statements)
    assert vars(better) == {
        "statement_id": "p.better",
        "paper": "p",
        "place": "Sec. 1",
        "in_print": "holds",
        "print_pairs": 1,
        "print_holding": 1,
        "print_left": "p.table_1.b.pgd",
        "print_right": "p.table_1.a.pgd",
        "print_difference": pytest.approx(0.45),
        "measured": "undecided",
        "measured_pairs": 1,
        "measured_holding": 0,
        "measured_left": "p.table_1.b.pgd",
        "measured_right": "p.table_1.a.pgd",
        "measured_difference": 0.0,
        "judgement": "undecided",
        "grade": "B",
        "differences": '[["training.epochs", "3", "5", "B"]]',
    }


def test_statements_of_no_measurements_have_empty_cells():
    tables = tabulate([], StudyFacts(), [PAPER])
    assert not len(tables.measurements)
    (line,) = STATEMENTS.text(tables.statements).splitlines()[1:]
    lacking = (
        '"[[""lacks.defense"", """", ""undefended"", """"], [""lacks.dataset"", """", ""mnist"", """"]]"'
    )
    assert line.endswith(f",not measured,0,0,,,,,,{lacking}")


def test_order_of_files_and_rows_changes_nothing(tmp_path, files):
    expected = made(files)
    shuffled = random.Random(1).sample(WHITE, len(WHITE))
    again = [write(tmp_path / "again" / "white_box.parquet", shuffled), files[1]]
    for other in (made(files[::-1]), made(again)):
        assert other.verdicts.equals(expected.verdicts)
        assert other.statements.equals(expected.statements)


def test_claims_of_all_papers_are_judged_where_none_are_given(files):
    printed = [claim for paper in papers_here() for claim in paper.claims if claim.value is not None]
    assert len(tabulate(read_outcomes(files), FACTS).verdicts) == len(printed)


def test_facts_are_read_from_the_job():
    override = {"model": "net", "setting": "white_box", "source": "net", "attack": "pgd"}
    slice_of_study = {
        "experiments": {
            "net": {
                "model": "net", "dataset": "mnist", "architecture": "cnn6", "settings": {"training.epochs": 3},
                "chosen": ["training.epochs"], "stands_for": [], "half_of": "",
            }
        },
        "attacks": {"pgd": {"kind": "pgd", "steps": 10}},
        "suite_overrides": [{**override, "settings": {"kind": "pgd", "steps": 50}}],
        "looks": 2,
    }  # fmt: skip
    found = StudyFacts.read(json.loads(json.dumps(slice_of_study)))
    assert found.models == FACTS.models
    assert found.suite_overrides == {("net", "white_box", "net", "pgd"): {"kind": "pgd", "steps": 50}}
    assert (found.attacks["pgd"]["steps"], found.looks) == (10, 2)


@pytest.mark.parametrize(
    "differences",
    [
        (),
        (Difference("dataset", "digits", "mnist"),),
        (Difference("source", 'a, "b"', "ε; c"), Difference("lacks.parameters", "", "epsilon=8/255")),
    ],
)
def test_differences_read_back_the_same(differences):
    assert load(dump(differences)) == differences
    assert (dump(differences) == "") is (differences == ())
