"""Cards of numbers that are no count of correct images."""

from __future__ import annotations

import dataclasses

import made_up_study
import pytest
from tests.ours import needs

from reproof.report import render
from reproof.report.cards import Cards
from reproof.report.contents import rows
from reproof.report.numbers import counts


@pytest.mark.parametrize(
    ("correct", "total", "expected"),
    [
        ("27", "48", [("correct", "27 of 48 images")]),
        ("0", "48", [("correct", "0 of 48 images")]),
        ("", "48", [("images", "48")]),  # a mean over an ensemble's members, a number of failed majorities
        ("", "", []),
    ],
)
def test_a_count_is_never_half_a_sentence(correct: str, total: str, expected: list[tuple[str, str]]) -> None:
    (row,) = rows(made_up_study.frame("summary", [{"correct": correct, "total": total}]))
    assert list(counts(row)) == expected


def test_a_row_that_no_trail_fits_shows_none_rather_than_another(tree: made_up_study.Tree) -> None:
    data = made_up_study.report_data(tree)
    row = next(
        row
        for row in rows(data.summary)
        if row.setting == "white_box" and row.attack == "pgd" and row.metric == "accuracy"
    )
    own = [trail for trail in data.trails if trail.model == row.model]
    for trails, shown in (
        (own, True),
        ([dataclasses.replace(trail, attacks=("fgsm",)) for trail in own], False),
        ([dataclasses.replace(trail, setting="adaptive") for trail in own], False),
        ([dataclasses.replace(trail, source="another") for trail in own], False),
    ):
        card = Cards(dataclasses.replace(data, trails=trails)).of_summary(row)
        assert card.runs
        assert all(bool(run.chain) == shown for run in card.runs)


def test_clean_images_are_counted_under_every_threat_alike(tree: made_up_study.Tree) -> None:
    data = made_up_study.report_data(tree)
    row = next(row for row in rows(data.summary) if row.attack == "none" and row.metric == "accuracy")
    trails = [
        dataclasses.replace(trail, setting="black_box") for trail in data.trails if trail.model == row.model
    ]
    card = Cards(dataclasses.replace(data, trails=trails)).of_summary(row)
    assert all(run.chain for run in card.runs)


@needs("attacks/mim", "sections/defenses_against_attacks", "sections/study_run")
def test_an_attack_is_called_by_its_kind_in_headings_cards_and_lists(tree: made_up_study.Tree) -> None:
    """The entry `pgd` of this study is another attack than its name says."""
    data = made_up_study.report_data(tree)
    attacks = [dataclasses.replace(one, kind="mim") if one.name == "pgd" else one for one in data.attacks]
    html = render(dataclasses.replace(data, attacks=attacks))
    words = "MIM (pgd)"
    matrices = html.split('<section id="matrix"')[-1].split("</section>")[0]
    assert words in matrices
    assert f"{words}, " in html.split('<section id="cards"')[-1]
    assert f'<th scope="row">{words}</th><td>MIM</td>' in html
    assert '<th scope="row">PGD</th>' not in html
