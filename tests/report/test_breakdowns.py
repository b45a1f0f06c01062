"""Classes and images on the page, and what is left under the strongest at the end of every table."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import made_up_study
import pytest
from made_up_study import IMAGES, MODELS, PROSE, frame, least, rows_of
from playwright.sync_api import Page
from tests.hand_made_papers import claim
from tests.ours import needs
from tests.unfolded import render

from reproof.claims.claim import Claim
from reproof.claims.paper import PaperTable
from reproof.report import ReportData
from reproof.report.budgets import ShownBudgets
from reproof.report.cards import Card
from reproof.report.contents import empty
from reproof.report.paper_tables import ShownTable
from reproof.report.sections.breakdowns import CLASSES_SHOWN, IMAGES_LISTED, Breakdown, Breakdowns
from reproof.report.shared import Shared

Open = Callable[..., Page]
DEFENSES = [model for model in MODELS if model.defense != "undefended"]


@pytest.fixture
def data(tree: made_up_study.Tree) -> ReportData:
    return made_up_study.report_data(tree)


def built(data: ReportData) -> Breakdowns:
    return Breakdowns(Shared(data))


def budgets(data: ReportData) -> ShownBudgets:
    return Shared(data).budgets


def only(data: ReportData) -> Breakdown:
    (view,) = built(data).all()
    return view


# Which budget.


def with_budgets(data: ReportData, **models: tuple[str, ...]) -> ReportData:
    """Return the data with these worst cases besides: epsilon -> the models that met it."""
    summary = rows_of(data.summary)
    worst = next(row for row in summary if row["attack"] == "worst_case")
    more = [
        {**worst, "model": model, "parameters": f"norm={norm} epsilon={epsilon.replace('_', '.')}"}
        for name, met in models.items()
        for norm, epsilon in [name.split("__")]
        for model in met
    ]
    return dataclasses.replace(data, summary=frame("summary", [*summary, *more]))


EVERY = tuple(model.name for model in MODELS)


def test_a_grid_of_one_norm_has_the_worst_case_of_that_norm(data: ReportData) -> None:
    """At ε = 0.3 in both norms: the last column of each grid is what is left in its own, where anything was."""
    summary = rows_of(data.summary)
    pgd = next(row for row in summary if (row["attack"], row["parameters"]) == ("pgd", "epsilon=0.3"))
    worst = next(row for row in summary if row["attack"] == "worst_case")
    first, second = pgd["model"], next(model for model in EVERY if model != pgd["model"])
    more = [
        {**pgd, "attack": "pgd_l2", "model": name, "parameters": "norm=l2 epsilon=0.3"}
        for name in (first, second)
    ]
    more += [{**worst, "model": first, "parameters": "norm=l2 epsilon=0.3", "value": "0.123"}]
    grids = Shared(dataclasses.replace(data, summary=frame("summary", [*summary, *more]))).grids.matrices()
    found = {grid.title.partition(" on ")[0]: grid for grid in grids}
    last = [[number.value for number in cells[-1]] for _, _, cells in found["L2, ε = 0.3"].rows]
    assert sorted(last) == [[], [0.123]]
    usual = [number.value for _, _, cells in found["ε = 0.3"].rows for number in cells[-1]]
    assert usual
    assert 0.123 not in usual


def test_the_largest_budget_of_the_papers_is_shown(data: ReportData) -> None:
    # The papers print 0.2 and 0.3; 1 only probes an attack, and a budget of another norm is another thing.
    probed = with_budgets(data, linf__1=EVERY, l2__0_4=EVERY, linf__0_05=EVERY)
    assert budgets(probed).shown == {"digits": "norm=linf epsilon=0.3"}
    # Even where a paper prints it, or nothing else was measured but for a few models.
    claims = tuple(
        dataclasses.replace(claim, parameters="epsilon=1")
        for claim in made_up_study.paper().claims
        if claim.epsilon
    )
    papers = [made_up_study.paper().model_copy(update={"claims": claims})]
    assert budgets(dataclasses.replace(probed, papers=papers)).shown == {"digits": "norm=linf epsilon=0.3"}


def test_a_budget_that_leaves_nothing_of_any_model_is_not_shown(data: ReportData) -> None:
    gone = data.summary["parameters"] == "norm=linf epsilon=0.3"
    value = data.summary["value"].mask(gone & (data.summary["attack"] == "worst_case"), 0.0)
    nothing = dataclasses.replace(data, summary=data.summary.assign(value=value))
    assert budgets(data).shown == {"digits": "norm=linf epsilon=0.3"}
    assert budgets(nothing).shown == {"digits": "norm=linf epsilon=0.2"}


def test_a_budget_that_few_met_is_not_shown(data: ReportData) -> None:
    at = [made_up_study.paper().claims[1]]
    assert at[0].epsilon == "0.3"
    larger = dataclasses.replace(at[0], parameters="epsilon=0.4", claim_id="larger")
    paper = data.papers[0].model_copy(update={"claims": (*data.papers[0].claims, larger)})
    few = dataclasses.replace(with_budgets(data, linf__0_4=EVERY[:2]), papers=[paper])
    assert budgets(few).shown == {"digits": "norm=linf epsilon=0.3"}
    all_met = dataclasses.replace(with_budgets(data, linf__0_4=EVERY), papers=[paper])
    assert budgets(all_met).shown == {"digits": "norm=linf epsilon=0.4"}


def test_what_is_printed_of_the_data_set_comes_before_what_is_printed_of_others(data: ReportData) -> None:
    claims = tuple(
        dataclasses.replace(claim, dataset="mnist") if claim.epsilon == "0.3" else claim
        for claim in made_up_study.paper().claims
    )
    assert any(claim.epsilon == "0.2" and claim.dataset == "digits" for claim in claims)
    papers = [made_up_study.paper().model_copy(update={"claims": claims})]
    assert budgets(dataclasses.replace(data, papers=papers)).shown == {"digits": "norm=linf epsilon=0.2"}
    # Without papers the largest is left.
    unread = dataclasses.replace(with_budgets(data, linf__0_35=EVERY), papers=())
    assert budgets(unread).shown == {"digits": "norm=linf epsilon=0.35"}


def test_the_strongest_of_each_model(data: ReportData) -> None:
    shown = {name: number.value for name, number in budgets(data).strongest().items()}
    assert shown == {model.name: least(model, 0.3) / IMAGES for model in MODELS}


# Classes.


def test_classes_are_told_with_their_counts(data: ReportData, tree: made_up_study.Tree) -> None:
    grid = only(data).classes
    assert grid is not None
    titles = {model.title: model for model in MODELS}
    assert [title for title, _, _ in grid.rows] == list(titles)
    for title, _, cells in grid.rows:
        model = titles[title]
        held = tree.fooled_in[model.name][: least(model, 0.3)]
        for label, (cell,) in enumerate(cells[:-1]):
            right = int((held % 10 == label).sum())
            assert (cell.interval, cell.text) == (f"{right} of 4", f"{25 * right}.0")
        (whole,) = cells[-1]
        assert whole.value == least(model, 0.3) / IMAGES
    assert [heading.text for heading in grid.headings[0]] == ["Defense", *"0123456789", "All classes"]


def test_a_card_of_classes_says_what_was_right_without_attack(
    data: ReportData, tree: made_up_study.Tree
) -> None:
    breakdowns = built(data)
    breakdowns.all()
    model = DEFENSES[0]
    card = breakdowns.cards.cards[f"card-classes-{model.name}"]
    facts = dict(card.facts)
    clean = int((tree.fooled_in[model.name][: model.clean] % 10 == 7).sum())
    assert facts["class 7"].endswith(f"without attack {clean} of 4")
    assert ("file", "results/made_up/tables/per_class.csv") in card.runs[0].facts


def many_classes(data: ReportData, count: int) -> ReportData:
    """Return the data with so many classes of 100 images of one model, the label telling how many are left."""
    row = next(row for row in rows_of(data.classes) if row["parameters"] == "norm=linf epsilon=0.3")
    rows = [
        {**row, "label": str(label), "correct": str((7 * label) % count), "total": "100"}
        for label in range(count)
    ]
    names = {"digits": [f"name {label}" for label in range(count)]}
    return dataclasses.replace(data, classes=frame("per_class", rows), class_names=names)


def test_of_many_classes_the_extremes_are_shown(data: ReportData) -> None:
    grid = only(many_classes(data, CLASSES_SHOWN + 5)).classes
    assert grid is not None
    ((_, _, cells),) = grid.rows
    assert [cell.interval for (cell,) in cells[:-1]] == [
        f"{right} of 100" for right in (*range(10), *range(15, 25))
    ]
    # 7 * label leaves 1 of 25 for label 18.
    assert grid.headings[0][2].text == "name 18"
    assert "5 classes between the least and the most robust are left out" in grid.caption
    whole = only(many_classes(data, CLASSES_SHOWN)).classes
    assert whole is not None
    assert "left out" not in whole.caption
    assert [heading.text for heading in whole.headings[0][1:-1]] == [f"name {i}" for i in range(20)]


# Images.


def fates(tree: made_up_study.Tree, image: int) -> list[str]:
    found = []
    for model in DEFENSES:
        rank = tree.fooled_in[model.name].tolist().index(image)
        found.append("held" if rank < least(model, 0.3) else "lost" if rank < model.clean else "wrong")
    return found


def told(view: Breakdown) -> dict[str, dict[str, dict[str, str]]]:
    return {each.title: {one.label: dict(one.images) for one in each.classes} for each in view.lists}


def test_lists_hold_the_images_that_fall_to_all(data: ReportData, tree: made_up_study.Tree) -> None:
    expected: dict[str, dict[str, str]] = {}
    for image in range(IMAGES):
        found = fates(tree, image)
        if "held" not in found:
            words = "" if found.count("lost") == 3 else f"lost by {found.count('lost')}"
            expected.setdefault(str(image % 10), {})[str(image)] = words
    assert sum(map(len, expected.values())) == 9
    view = only(data)
    assert told(view) == {"No defense holds": expected}
    text = " ".join(view.sentences)
    lost = sum(words == "" for images in expected.values() for words in images.values())
    assert "40 images met every attack within L∞, ε = 0.3 on all 3 networks of the defenses of digits" in text
    assert f"Held by none: 9, of which all lose {lost} that they classify correctly without attack" in text
    assert "Held by all: 0." in text
    alone = [model.title for model in DEFENSES for image in range(IMAGES)
             if fates(tree, image).count("held") == 1
             and fates(tree, image)[DEFENSES.index(model)] == "held"]  # fmt: skip
    assert (
        f"Held by one defense alone: {len(alone)} (PGD training (Madry) {alone.count(MODELS[1].title)},"
        in text
    )


def images_of(data: ReportData, *rows: Mapping[str, Any]) -> ReportData:
    known = {"study": "made_up", "dataset": "digits", "norm": "linf", "epsilon": "0.3", "holder": ""}
    return dataclasses.replace(data, images=frame("per_image", [known | dict(row) for row in rows]))


def image(number: int, label: int, lost: int, held: int, misclassified: int, **more: Any) -> dict[str, Any]:
    return {
        "image": number,
        "label": label,
        "networks": lost + held + misclassified,
        "lost": lost,
        "held": held,
        "misclassified": misclassified,
        **more,
    }


def test_images_that_few_networks_met_are_in_no_list(data: ReportData) -> None:
    view = only(
        images_of(
            data,
            image(4, 1, 3, 0, 0),
            image(5, 1, 2, 0, 0),
            image(6, 1, 0, 1, 0, holder="pgd_training"),
            image(7, 2, 0, 3, 0),
            image(8, 2, 0, 0, 3),
            image(9, 2, 0, 2, 1),
        )
    )
    assert told(view) == {
        "No defense holds": {"1": {"4": ""}, "2": {"8": "lost by 0"}},
        "Every defense holds": {"2": {"7": ""}},
    }
    assert view.sentences[0].startswith("4 images met")
    assert "of which all lose 1 that they" in view.sentences[1]
    assert "all misclassify 1 already" in view.sentences[1]
    assert not any("alone" in sentence for sentence in view.sentences)


def test_other_budgets_and_norms_are_not_listed(data: ReportData) -> None:
    view = only(
        images_of(
            data,
            image(4, 1, 3, 0, 0),
            image(5, 1, 3, 0, 0, epsilon="0.2"),
            image(6, 1, 3, 0, 0, norm="l2"),
            image(7, 1, 3, 0, 0, dataset="mnist"),
        )
    )
    assert told(view) == {"No defense holds": {"1": {"4": ""}}}


def test_long_lists_are_cut_where_the_fewest_lose_the_image(data: ReportData) -> None:
    rows = [image(number, number % 3, 2, 0, 1) for number in range(10)]
    rows += [image(number, number % 3, 3, 0, 0) for number in range(10, 10 + IMAGES_LISTED)]
    (found,) = only(images_of(data, *rows)).lists
    assert (found.count, found.shown) == (IMAGES_LISTED + 10, IMAGES_LISTED)
    shown = [number for each in found.classes for number, _ in each.images]
    assert sorted(map(int, shown)) == list(range(10, 10 + IMAGES_LISTED))
    assert [each.label for each in found.classes] == ["0", "1", "2"]


def test_a_study_without_defenses_says_so(data: ReportData) -> None:
    view = only(dataclasses.replace(data, images=empty("per_image")))
    assert view.sentences == ("No network of a defense was attacked in this budget.",)
    assert view.card is None
    assert view.lists == ()
    assert built(dataclasses.replace(data, images=empty("per_image"), classes=empty("per_class"))).all() == []
    assert built(dataclasses.replace(data, summary=empty("summary"))).all() == []


# The strongest at the end of every table.


ALL = "all settings"


def table_of(data: ReportData, *claims: Claim, strongest: bool = False) -> ShownTable:
    """Return these claims' table, as `table_and_cards` makes it."""
    return table_and_cards(data, *claims, strongest=strongest)[0]


def table_and_cards(
    data: ReportData, *claims: Claim, strongest: bool = False
) -> tuple[ShownTable, dict[str, Card]]:
    """Return these claims' table, with the verdicts of a study that measured each that names a model in its note.

    strongest: say what is left in the claim's own setting too, beside what is left in all.
    """
    verdicts = [
        {
            **dict.fromkeys(("measured", "low", "high"), 0.5),
            "study": "made_up",
            "claim_id": each.claim_id,
            "verdict": "reproduced",
            "differences": "",
            "model": each.note,
            "strongest_value": 0.1 if strongest and each.epsilon else None,
            "overall_value": 0.1 if each.epsilon else None,
            **dict.fromkeys(("overall_low", "overall_high"), 0.05),
        }
        for each in claims
        if each.note
    ]
    paper = made_up_study.paper().model_copy(
        update={
            "key": "p",
            "claims": claims,
            "notes": {model.name: "" for model in MODELS},
            "tables": {
                each.table: PaperTable(caption="A table", rows=1, columns=1, cells=1) for each in claims
            },
        }
    )
    data = dataclasses.replace(data, verdicts=frame("verdicts", verdicts), papers=[paper])
    shared = Shared(data)
    (table,) = shared.paper_tables.tables(paper)
    return table, shared.cards.cards


def cell(row: str, column: str, model: str = "", epsilon: str = "0.3", **facts: Any) -> Claim:
    clean = {"attack": "none", "parameters": ""}
    at = {"parameters": f"epsilon={epsilon}"} if epsilon else clean
    return claim(row=row, column=column, note=model, **{"dataset": "digits", **at, **facts})


def left(cells: list[list[Any]]) -> list[list[tuple[str, str]]]:
    return [[(one.number.text, one.label) for one in found] for found in cells]


def percent(name: str, epsilon: float) -> str:
    (model,) = [model for model in MODELS if model.name == name]
    return f"{100 * least(model, epsilon) / IMAGES:.1f}"


def test_a_network_along_a_row_has_its_strongest_in_the_last_column(data: ReportData) -> None:
    table = table_of(
        data,
        cell("Softmax", "No attack", "undefended", ""),
        cell("Softmax", "FGSM", "undefended"),
        cell("Softmax", "PGD", "undefended"),
        cell("Ours", "No attack", "hostile", ""),
        cell("Ours", "PGD", "hostile"),
        cell("Theirs", "PGD"),
    )
    assert table.strongest
    assert [heading.text for heading in table.headings[0]] == ["", "No attack", "FGSM", "PGD", "Strongest"]
    assert table.width == 5
    (group,) = table.groups
    assert left(group.strongest) == [
        [(percent("undefended", 0.3), ALL)],
        [(percent("hostile", 0.3), ALL)],
        [],
    ]
    assert group.below == []
    assert group.strongest[1][0].number.card == "card-hostile-all-worst_case-norm-linf-epsilon-0.3"


def test_a_claims_card_says_of_how_many_images_the_strongest_is_right(data: ReportData) -> None:
    about = cell("Ours", "PGD", "hostile")
    _, cards = table_and_cards(data, about)
    own, *_ = cards[f"card-claim-{about.claim_id}"].runs
    (hostile,) = [model for model in MODELS if model.name == "hostile"]
    counted = f", {least(hostile, 0.3)} of {IMAGES} images: what is left under all"
    assert counted in dict(own.facts)["strongest, all settings"]


def test_networks_side_by_side_have_theirs_in_the_last_row_of_their_group(data: ReportData) -> None:
    names = ("undefended", "pgd_training", "hostile")
    table = table_of(
        data,
        *(
            cell(f"{group} · {attack}", name, name, epsilon)
            for group, epsilon in (("Low", "0.1"), ("High", "0.3"))
            for attack in ("FGSM", "PGD", "MIM", "BIM")
            for name in names
        ),
        cell("Clean · None", "undefended", "undefended", ""),
    )
    assert not table.strongest
    assert table.width == 4
    assert [heading.text for heading in table.headings[0]] == ["", *names]
    low, high, clean = table.groups
    assert left(low.below) == [[(percent(name, 0.1), ALL)] for name in names]
    assert left(high.below) == [[(percent(name, 0.3), ALL)] for name in names]
    assert clean.below == []
    assert low.strongest == high.strongest == []


def test_groups_that_end_alike_share_one_last_row(data: ReportData) -> None:
    names = ("undefended", "pgd_training", "hostile")
    table = table_of(
        data,
        *(
            cell(f"{group} · {row}", name, name if (group, name) != ("PGD", "hostile") else "", epsilon)
            for group, epsilon in (
                ("FGSM", "0.3"),
                ("MIM", "0.3"),
                ("None", ""),
                ("PGD", "0.3"),
                ("BIM", "0.3"),
            )
            for row in ("once", "again")
            for name in names
        ),
    )
    fgsm, mim, none, pgd, bim = (left(group.below) for group in table.groups)
    three = [[(percent(name, 0.3), ALL)] for name in names]
    assert (fgsm, none) == ([], [])
    assert mim == bim == three
    assert pgd == [*three[:2], []]


def test_several_budgets_and_networks_in_one_cell_are_named(data: ReportData) -> None:
    budgets = ("0.1", "0.2", "0.3")
    table = table_of(data, *(cell(f"PGD {e}", "Ours", "hostile" if e != "0.2" else "", e) for e in budgets))
    # Each row has one; down the column there would be two.
    assert left(table.groups[0].strongest) == [
        [(percent("hostile", 0.1), ALL)],
        [],
        [(percent("hostile", 0.3), ALL)],
    ]
    across = table_of(data, *(cell("Ours", f"ε = {e}", "hostile", e) for e in budgets))
    assert not across.strongest
    assert left(across.groups[0].below) == [[(percent("hostile", float(e)), ALL)] for e in budgets]
    square = table_of(
        data,
        cell("A", "1", "hostile", "0.1"),
        cell("A", "2", "undefended", "0.3"),
        cell("B", "1", "undefended", "0.3"),
        cell("B", "2", "hostile", "0.1"),
    )
    assert left(square.groups[0].strongest)[0] == [
        (percent("hostile", 0.1), f"{ALL}, ε = 0.1, {made_up_study.HOSTILE}"),
        (percent("undefended", 0.3), f"{ALL}, ε = 0.3, undefended"),
    ]


def test_a_lone_measured_budget_is_named_where_its_row_prints_several(data: ReportData) -> None:
    table = table_of(data, cell("Ours", "0.1", "hostile", "0.1"), cell("Ours", "0.3", "", "0.3"))
    assert left(table.groups[0].strongest) == [[(percent("hostile", 0.1), f"{ALL}, ε = 0.1")]]


def test_what_the_claims_own_settings_leave_stands_before_what_all_leave(data: ReportData) -> None:
    """Of prototype conformity FGSM and PGD leave 15, transfer 24, the adaptive attack 4 of the 40 images."""
    ours = {"model": "prototype_conformity", "defense": "prototype_conformity"}
    cells = [
        cell("Ours", "White", **ours),
        cell("Ours", "Black", **ours, setting="black_box", source="vgg19"),
        cell("Ours", "Grey", "prototype_conformity", setting="adaptive"),
    ]
    table = table_of(data, *cells, strongest=True)
    expected = [("37.5", "white-box"), ("60.0", "black-box"), ("10.0", "adaptive and all settings")]
    assert left(table.groups[0].strongest) == [expected]
    plain = table_of(data, cell("Plain", "White", "undefended"), strongest=True)
    assert left(plain.groups[0].strongest) == [[("0.0", "white-box and all settings")]], "said once"


def test_tables_without_a_measured_budget_stay_as_printed(data: ReportData) -> None:
    table = table_of(data, cell("Ours", "Clean", "hostile", ""), cell("Ours", "PGD"))
    assert not table.strongest
    assert table.groups[0].below == []
    assert [heading.text for heading in table.headings[0]] == ["", "Clean", "PGD"]


def test_numbers_that_are_no_accuracy_have_no_strongest(data: ReportData) -> None:
    gain = cell("Gain", "Ours", "hostile", metric="accuracy_gain", unit="points", value="0.01")
    assert not table_of(data, gain).strongest
    table = table_of(data, gain, cell("PGD", "Ours", "hostile"))
    assert left(table.groups[0].strongest) == [[], [(percent("hostile", 0.3), ALL)]]


def test_percent_is_said_where_the_table_is_in_fractions(data: ReportData) -> None:
    table = table_of(data, cell("Ours", "PGD", "hostile", unit="fraction", value="0.2"))
    ((one,),) = table.groups[0].strongest
    assert one.number.text == f"{percent('hostile', 0.3)} %"


def test_the_prose_says_it_with_the_number(data: ReportData) -> None:
    table = table_of(data, cell("Sec. 5 · ours", "Claim", "hostile", table=PROSE))
    assert table.strongest
    assert left(table.groups[0].strongest) == [[(percent("hostile", 0.3), ALL)]]


# The page.


@needs("sections/defenses_against_attacks")
def test_every_grid_of_accuracies_ends_with_the_strongest(open_page: Open) -> None:
    page = open_page()
    last = page.evaluate(
        """() => [...document.querySelectorAll('#matrix table.grid, #classes table.grid')].map((table) => {
             const positions = [...table.querySelectorAll('th[data-sort]')];
             positions.sort((a, b) => a.dataset.sort - b.dataset.sort);
             return [table.id, positions.at(-1).textContent.trim().replace(/\\s+/g, ' ')];
           })"""
    )
    ends = {name: heading for name, heading in last if name != "matrix-digits-failed-majorities"}
    assert len(ends) == 3 + 1 + 1
    assert ends.pop("classes-digits") == "All classes"
    assert set(ends.values()) == {"Worst case per image"}
    # Undefended, C&W leaves 12 of 40 at c = 1 and none at c = 10.
    free = page.locator("#matrix-digits-free tbody tr", has_text="prototype conformity, clean images")
    assert free.locator("td").last.inner_text().split()[0] == "27.5"


@needs("sections/study_run")
def test_the_models_table_ends_with_the_strongest(open_page: Open) -> None:
    page = open_page()
    table = page.locator("table.list", has=page.locator("#models-caption"))
    assert table.locator("thead th").last.inner_text() == "Strongest"
    row = table.locator("tbody tr", has_text="prototype conformity").first
    assert row.locator("td").last.inner_text().split()[0] == "10.0"
    assert "digits: L∞, ε = 0.3" in table.locator("caption").inner_text()


@needs("sections/defenses_against_attacks")
def test_the_strongest_of_a_row_leads_to_its_card(open_page: Open) -> None:
    page = open_page()
    row = page.locator("#table-made_up-table-1 tbody").nth(0).locator("tr", has_text="Ours")
    shown = [
        " ".join(each.inner_text().split()) for each in row.locator("td").last.locator(".one-left").all()
    ]
    assert shown == [
        "37.5 [24.2–53.0] white-box",
        "60.0 [44.6–73.7] black-box",
        "10.0 [4.0–23.1] all settings",
    ]
    row.locator("td").last.locator("a.number").last.click()
    text = re.sub(r"\s+", " ", page.locator("dialog .card").inner_text())
    assert "prototype conformity, Worst case, L∞, ε = 0.3, all attacks" in text
    assert "4 of 40 images" in text
    page.keyboard.press("Escape")
    row.locator("td").last.locator("a.number").first.click()
    text = re.sub(r"\s+", " ", page.locator("dialog .card").inner_text())
    assert "prototype conformity, Worst case of one setting, L∞, ε = 0.3, white-box" in text
    assert "outcomes/prototype_conformity/seed0/white_box.parquet" in text, "the attacks of its setting"
    assert "adaptive" not in text


def test_a_cell_of_a_class_leads_to_its_card(open_page: Open) -> None:
    page = open_page()
    page.locator("#classes-digits tbody tr", has_text="PGD training").locator("td").first.locator("a").click()
    text = re.sub(r"\s+", " ", page.locator("dialog .card").inner_text())
    assert "PGD training (Madry), each class in the worst case" in text
    assert "results/made_up/tables/per_class.csv" in text
    assert "without attack" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_ten_classes_fit_beside_the_contents(open_page: Open, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    region = page.locator(".scroll", has=page.locator("#classes-digits"))
    assert region.evaluate("(e) => e.scrollWidth <= e.clientWidth")
    narrow = open_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    assert narrow.evaluate("document.documentElement.scrollWidth") <= 390
    narrow.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert narrow.locator("#classes dl.images").first.evaluate("(e) => e.scrollWidth <= e.clientWidth")


def test_nothing_attacked_has_no_column_of_it(data: ReportData) -> None:
    html = render(
        dataclasses.replace(
            data,
            summary=empty("summary"),
            classes=empty("per_class"),
            images=empty("per_image"),
            verdicts=empty("verdicts"),
        )
    )
    assert "No attack with a budget has been measured yet." in html
    assert ">Strongest</th>" not in html
