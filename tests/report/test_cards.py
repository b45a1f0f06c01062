"""Cards of numbers that are no count of correct images."""

from __future__ import annotations

import dataclasses

import made_up_study
import pandas as pd
import pytest
from tests.ours import needs
from tests.unfolded import render

from reproof.report.cards import REPEATS, ROUNDS, Cards, provenance
from reproof.report.contents import ReportData, rows
from reproof.report.grids import Grids
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


def refusing(data: ReportData, model: str) -> ReportData:
    """Return the data with a model that refuses a quarter of what it gets wrong, under every attack."""
    summary = data.summary
    own = summary[(summary["model"] == model) & (summary["metric"] == "accuracy")]
    shares = {"refused": (1 - own["value"]) / 4, "wrong_accepted": (1 - own["value"]) * 3 / 4}
    more = [
        own.assign(metric=metric, value=value, low=value / 2, high=value) for metric, value in shares.items()
    ]
    return dataclasses.replace(data, summary=pd.concat([*more, summary], ignore_index=True))


@needs("sections/defenses_against_attacks")
def test_beside_each_accuracy_of_a_model_that_refuses_stands_what_it_refused(
    tree: made_up_study.Tree,
) -> None:
    before = made_up_study.report_data(tree)
    model = before.models[1]
    data = refusing(before, model.name)
    numbers: dict[bool, list[tuple[str, ...]]] = {}
    for refuses, shown in ((False, before), (True, data)):
        cells = [
            (grid.id, title, number)
            for grid in Grids(shown, Cards(shown)).matrices()
            for title, _, line in grid.rows
            for cell in line
            for number in cell
        ]
        numbers[refuses] = [(grid, title, number.text, number.interval) for grid, title, number in cells]
        for grid, title, number in cells:
            expected = ""
            if refuses and title == model.title and number.interval and "majorities" not in grid:
                wrong = 1 - (number.value or 0)
                expected = f"{25 * wrong:.1f} % refused, {75 * wrong:.1f} % wrong and accepted"
            assert number.beside == expected
    assert numbers[False] == numbers[True], "the accuracies and their worst cases stay"
    assert sum(title == model.title for _, title, _, _ in numbers[True]) > 10


@needs("sections/defenses_against_attacks")
def test_the_page_and_the_card_say_what_was_refused(tree: made_up_study.Tree) -> None:
    before = made_up_study.report_data(tree)
    data = refusing(before, before.models[1].name)
    html, plain = render(data), render(before)
    (row,) = (
        row
        for row in rows(data.summary)
        if (row.model, row.attack, row.metric) == (before.models[1].name, "none", "accuracy")
    )
    wrong = 1 - row.value
    facts = dict(Cards(data).of_summary(row).facts)
    assert facts["share of images answered with no class"] == (
        f"{25 * wrong:.1f} % [{12.5 * wrong:.1f}–{25 * wrong:.1f}]"
    )
    assert facts["share of images answered with a wrong class"].startswith(f"{75 * wrong:.1f} % [")
    words = f'<span class="beside">{25 * wrong:.1f} % refused, {75 * wrong:.1f} % wrong and accepted</span>'
    assert words in html.split('<section id="matrix"')[-1].split("</section>")[0]
    for text in ('class="beside"', "A refused image is not right", "share of images answered with no class"):
        assert text in html
        assert text not in plain


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_card_of_a_gpu_says_whether_another_run_gives_the_same(deterministic: bool) -> None:
    record = {
        "device": "GPU: NVIDIA H200",
        "seconds": 90.0,
        "peak_memory_bytes": 2**30,
        "device_memory_bytes": 3 * 2**30,
        "device_shared": True,
        "deterministic_kernels": deterministic,
    }
    told = dict(provenance(record, whole=True))
    assert told["another run"] == (REPEATS if deterministic else ROUNDS)
    assert told["took"] == "1 min 30 s, on a GPU that other jobs used too"
    assert told["peak memory of the GPU"] == "3.0 GiB"
    alone = dict(provenance({**record, "device_shared": False}))
    assert alone["took"] == "1 min 30 s"
    assert not {"another run", "peak memory of the GPU"} & set(
        dict(provenance({"device": "CPU: any"}, whole=True))
    )
