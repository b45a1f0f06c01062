"""Sources against targets: which cells there are, the diagonal, the fooling sets and their counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import made_up_study
import pytest
from made_up_study import frame, rows_of
from tests.unfolded import render

from reproof import wording
from reproof.report import ReportData, ShownModel
from reproof.report.cards import source_title
from reproof.report.contents import empty
from reproof.report.sections.transfer import Matrix, Transfers
from reproof.report.shared import Shared

Row = dict[str, Any]

NAMES = ("vgg19", "adv_train", "madry", "ours")
PLACE = ("setting", "source", "attack", "parameters", "metric")


def row(model: str, source: str, correct: int, *, total: int = 100, **place: str) -> Row:
    """A row of summary.csv; white-box where source and model are one."""
    setting = "white_box" if source == model else "black_box"
    known = {
        **{"setting": setting, "source": source, "attack": "pgd", "parameters": "epsilon=0.3"},
        **{"metric": "accuracy", "dataset": "digits"},
        **place,
    }
    return {
        **dict.fromkeys(("study", "architecture", "defense", "training"), "x"),
        **known,
        **{"model": model, "value": str(correct / total), "correct": str(correct), "total": str(total)},
        **dict.fromkeys(("low", "high"), ""),
        **{"seeds": "1", "value_min": str(correct / total), "value_max": str(correct / total)},
    }


def study(rows: Sequence[Row], names: Sequence[str] = NAMES) -> ReportData:
    models = [ShownModel(n, n.upper(), "digits", "cnn6", "undefended", "clean") for n in names]
    return ReportData(
        *("s", "S", "", {}, {}, (0,), models, [], [], frame("summary", rows)),
        *(empty("measurements"), empty("verdicts"), [], [], {}),
    )  # the rest is empty


def built(rows: Sequence[Row], names: Sequence[str] = NAMES) -> Transfers:
    data = study(rows, names)
    return Transfers(data, Shared(data).grids)


def numbers(matrix: Matrix) -> list[list[float | None]]:
    return [[cell.number.value if cell.number else None for cell in cells] for _, cells in matrix.rows]


TABLE_6 = [[0, 16, 53, 89], [12, 0, 50, 73], [59, 67, 44, 72], [50, 61, 67, 49]]
"""Rows sources, columns targets, as in Mustafa 2019, Table 6, rounded."""
WHOLE = [
    row(target, source, TABLE_6[i][j]) for i, source in enumerate(NAMES) for j, target in enumerate(NAMES)
]


def test_the_matrix_is_laid_out_as_in_the_paper() -> None:
    (matrix,) = built(WHOLE[::-1]).matrices()
    assert numbers(matrix) == [[count / 100 for count in line] for line in TABLE_6]
    assert [title for title, _ in matrix.rows] == [name.upper() for name in NAMES]
    assert [h.text for h in matrix.headings[0]][1:] == [name.upper() for name in NAMES]
    assert [h.sort for h in matrix.headings[0]] == [0, 1, 2, 3, 4]
    owns = [[cell.own for cell in cells] for _, cells in matrix.rows]
    assert owns == [[i == j for j in range(4)] for i in range(4)]


def test_more_targets_than_fit_stand_in_rows() -> None:
    """Nine targets of two sources; the numbers go with their target and source all the same."""
    names = [f"m{i}" for i in range(9)]
    rows = [row(t, s, 10 * i + j) for i, t in enumerate(names) for j, s in enumerate(names[:2])]
    (matrix,) = built(rows, names).matrices()
    assert [title for title, _ in matrix.rows] == [name.upper() for name in names]
    assert numbers(matrix)[3] == [0.30, 0.31]
    assert [[cell.own for cell in cells] for _, cells in matrix.rows][:3] == [
        [True, False],
        [False, True],
        [False, False],
    ]
    assert "rows" in matrix.headings[0][0].text.split("made")[0]


def test_one_source_is_no_matrix_and_stays_in_the_grid_of_single_sources() -> None:
    transfers = built([row("ours", "vgg19", 50), row("vgg19", "vgg19", 0)])
    assert transfers.matrices() == []
    (grid,) = transfers.single_sources()
    assert grid.rows[0][1] == "made on VGG19"


def test_what_a_matrix_shows_is_not_shown_again() -> None:
    single = row("ours", "vgg19", 40, attack="fgsm")
    transfers = built([*WHOLE, single])
    assert transfers.shown() == {("digits", "pgd", "epsilon=0.3")}
    (grid,) = transfers.single_sources()
    assert {title for title, _, _ in grid.rows} == {"FGSM, ε = 0.3"}
    assert built(WHOLE).single_sources() == []


def test_each_attack_and_budget_is_a_matrix_of_its_own() -> None:
    other = [{**each, "parameters": "epsilon=0.1"} for each in WHOLE]
    (found_large, found_small) = built([*other, *WHOLE]).matrices()
    assert (found_large.title, found_small.title) == ("PGD at ε = 0.3 on digits", "PGD at ε = 0.1 on digits")
    assert found_large.id != found_small.id


@pytest.mark.parametrize(
    "stray",
    [
        {"setting": "adaptive", "source": "ours"},
        {"setting": "white_box", "source": "member"},
        {"setting": "all", "source": "", "attack": "worst_case"},
        {"metric": "l2_mean"},
    ],
)
def test_other_measurements_stay_out(stray: dict[str, str]) -> None:
    odd = {**row("ours", "ours", 99), **stray}
    (matrix,) = built(
        [*[each for each in WHOLE if each["model"] != "ours" or each["source"] != "ours"], odd]
    ).matrices()
    assert numbers(matrix)[3][3] is None


def test_a_source_of_several_models_comes_last_and_names_them() -> None:
    joint = row("ours", "vgg19+madry", 30)
    (matrix,) = built([*WHOLE, joint]).matrices()
    assert [title for title, _ in matrix.rows][-1] == "2 models together: VGG19 + MADRY"
    assert numbers(matrix)[-1] == [None, None, None, 0.30]
    assert not any(cell.own for cell in matrix.rows[-1][1])
    assert source_title("vgg19+gone", {"vgg19": "VGG"}) == "VGG + gone"


def fooling(model: str, source: str, clean: int, adversarial: int, total: int) -> list[Row]:
    place = {"setting": "black_box", "attack": "gradient_ensemble"}
    return [
        row(model, source, clean, total=total, metric="fooling_set_clean_accuracy", **place),
        row(model, source, adversarial, total=total, metric="fooling_set_accuracy", **place),
    ]


def test_a_fooling_set_has_a_pair_of_columns_and_its_own_count() -> None:
    rows = [
        *fooling("ours", "vgg19+adv_train+madry", 30, 5, 32),
        *fooling("ours", "vgg19", 45, 12, 50),
        *fooling("madry", "vgg19", 44, 40, 50),
    ]
    transfers = built(rows)
    assert transfers.matrices() == []
    (table,) = transfers.fooling_sets()
    assert [(h.text, h.columns) for h in table.headings[0]] == [
        ("Target", 1),
        ("VGG19", 2),
        ("3 models together: VGG19 + ADV_TRAIN + MADRY", 2),
    ]
    assert [h.text for h in table.headings[1]] == ["True", "Adv."] * 2
    assert [h.sort for h in table.headings[1]] == [1, 2, 3, 4]
    assert [title for title, _ in table.rows] == ["MADRY", "OURS"]
    assert numbers(table) == [[0.88, 0.8, None, None], [0.9, 0.24, 30 / 32, 5 / 32]]
    assert [cell.count for cell in table.rows[1][1]] == ["45 of 50", "12 of 50", "30 of 32", "5 of 32"]
    assert table.starts == {0, 2}


def test_equal_psnr_reads_as_such_and_larger_budgets_come_first() -> None:
    rows = [{**each, "attack": "fgsm", "parameters": f"psnr={db}"} for each in WHOLE for db in (30, 20)]
    found = built(rows).matrices()
    assert [matrix.title for matrix in found] == [
        "FGSM at equal PSNR of 20 dB on digits",
        "FGSM at equal PSNR of 30 dB on digits",
    ]
    assert wording.parameters("psnr=20") == "equal PSNR of 20 dB"


def test_every_cell_leads_to_its_card_and_the_diagonal_is_marked(tree: made_up_study.Tree) -> None:
    data = made_up_study.report_data(tree)
    black = [
        each
        for each in rows_of(data.summary)
        if each["setting"] == "black_box" and each["metric"] == "accuracy"
    ]
    more = [{**each, "source": "pgd_training"} for each in black if each["model"] != "pgd_training"]
    html = render(dataclasses.replace(data, summary=frame("summary", [*rows_of(data.summary), *more])))
    section = html.split('<section id="transfer">')[1].split("</section>")[0]
    assert section.count('class="heat h') == section.count('data-card="') > 10
    assert ' own"' in section
    assert '<a href="#transfer">' in html
    assert "not measured" in section
