"""The red flags on the page: a table of models and gates, and each check's sentence below it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_up_study
import pandas as pd
import pytest
from made_up_study import frame
from playwright.sync_api import Page, expect
from tests.ours import needs
from tests.unfolded import unfolded

from reproof.diagnostics.sanity_check import CHECKS
from reproof.reference import Reference
from reproof.report import ReportData, render
from reproof.report.contents import THIS_RUN, empty
from reproof.report.hampered import HamperedRows, by_run, hampered
from reproof.report.sections.red_flags import flag_table
from reproof.report.shared import Shared

Open = Callable[..., Page]
GATES = tuple(CHECKS)
RAISED = {("model_1", GATES[0]), ("model_1", GATES[4]), ("model_2", GATES[4])}
UNCHECKED = GATES[2]
CW = {"setting": "white_box", "attack": "carlini_wagner"}


def checked(count: int) -> pd.DataFrame:
    """Return every gate of so many models: three raised, one never checked."""
    return frame(
        "red_flags",
        [
            {
                "model": f"model_{number}",
                "gate": gate,
                "raised": True
                if (f"model_{number}", gate) in RAISED
                else None
                if gate == UNCHECKED
                else False,
                "evidence": f"The numbers of {gate} and {number}.",
            }
            for number in range(count)
            for gate in GATES
        ],
    )


@pytest.fixture(scope="module")
def study(tree: made_up_study.Tree) -> ReportData:
    data = made_up_study.report_data(tree)
    (model, *_) = data.models
    others = [dataclasses.replace(model, name=f"model_{n}", title=f"Defense number {n}") for n in range(41)]
    return dataclasses.replace(
        data,
        models=[*data.models, *others],
        flags=checked(41),
        gates={name: check.shows for name, check in CHECKS.items()},
    )


@pytest.fixture(scope="module")
def page_of_many(study: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flags") / "index.html"
    path.write_text(render(study), encoding="utf-8")
    return path


def test_checks_are_told_by_model_and_by_gate(study: ReportData) -> None:
    view = flag_table(Shared(study))
    assert [model.title for model in view.models] == [f"Defense number {n}" for n in range(41)]
    assert [model.raised for model in view.models[:4]] == [0, 2, 1, 0]
    assert view.raised == 2
    assert [(heading, raised) for heading, _, raised in view.columns] == [
        (CHECKS[gate].heading, {GATES[0]: 1, GATES[4]: 2}.get(gate, 0)) for gate in GATES
    ]
    first = view.models[1]
    assert [check.gate for check in first.checks[:2]] == [GATES[0], GATES[4]]
    assert first.checks[-1].gate == UNCHECKED
    assert first.counts == (("raised", "⚑", 2), ("passed", "✓", len(GATES) - 3), ("not checked", "○", 1))
    assert [cell.gate for cell in first.cells if cell] == list(GATES)
    assert {check.noticed for check in first.checks} == {""}


def flag(model: str, gate: str, evidence: str, rows: str, raised: bool = True) -> dict[str, object]:
    return {"model": model, "gate": gate, "raised": raised, "evidence": evidence, "rows": rows}


@needs("attacks/pgd", "attacks/bim", "attacks/fgsm")
def test_hampered_attacks_are_those_that_leave_too_much(study: ReportData) -> None:
    """Of two attacks that are compared the weaker one; of a check of one attack alone every one that it names."""
    plain = flag(
        "model_1",
        "adaptive_vs_plain",
        "White-box PGD at ε = 0.3 leaves 9 of 10 images standing, adaptive BIM at ε = 0.3 leaves 0.",
        "adaptive bim epsilon=0.3; white_box fgsm epsilon=0.3; white_box pgd epsilon=0.3",
    )
    longer = flag(
        "model_2",
        "more_steps",
        "White-box PGD at ε = 0.3 leaves 9 of 10, white-box PGD converged at ε = 0.3 leaves 1.",
        "white_box pgd epsilon=0.3; white_box pgd_converged epsilon=0.3",
    )
    alone = flag(
        "ours",
        "zero_gradients",
        "Where white-box BIM begins.",
        "white_box bim epsilon=0.1; white_box fgsm c=1",
    )
    quiet = flag("model_3", "more_steps", "All is well.", "white_box pgd epsilon=0.3", raised=False)
    stronger = flag(
        "model_1",
        "autoattack_vs_gradients",
        "All other plain white-box attacks at ε = 0.1 together leave 12 of 48, white-box BIM at ε = 0.1 leaves 2.",
        "white_box bim epsilon=0.1",
    )
    about = {"title": "Large", "budget": "", "models": {"ours": {"title": "Ours, large"}}}
    ran = [
        {"model": model, "setting": "white_box", "attack": "bim", "parameters": f"epsilon={epsilon}"}
        for model in ("ours", "plain")
        for epsilon in (0.1, 0.3)
    ]
    tables = {"red_flags": frame("red_flags", [alone]), "summary": frame("summary", ran)}
    run = Reference("large", about, tables, {})
    data = dataclasses.replace(
        study, flags=frame("red_flags", [plain, longer, stronger, quiet]), references=[run]
    )
    found = hampered(data)
    assert found.columns == ("Large", "this run"), "what verdicts rest on stands first"
    assert {one.title: [each.models for each in one.runs] for one in found.attacks} == {
        "White-box PGD": [0, 2],
        "White-box FGSM": [1, 1],
        "White-box BIM": [1, 0],
    }
    assert [one.title for one in found.attacks] == ["White-box FGSM", "White-box BIM", "White-box PGD"]
    assert [each.ran for each in found.attacks[1].runs if each.models] == [2], "on how many it was run"
    checks = {one.title: [dict(each.checks) for each in one.runs] for one in found.attacks}
    assert checks["White-box PGD"][1] == {
        "Adaptive against plain": ("Defense number 1",),
        "More steps": ("Defense number 2",),
    }
    assert checks["White-box BIM"][0] == {"Zero gradients": ("Ours, large",)}
    told = [(run, [(attack, one.models) for attack, one in own], more) for run, own, more in by_run(found, 1)]
    assert told == [
        ("Large", [("White-box FGSM", 1), ("White-box BIM", 1)], 0),
        ("this run", [("White-box PGD", 2)], 1),
    ], "all that a reference run has, and so many of this one"
    page = render(dataclasses.replace(data, references=[]))
    assert re.search(r"White-box PGD</th><td[^>]*><b>2 of [3-9] models</b>", page)
    assert re.search(r"White-box FGSM</th><td[^>]*><b>1 of [2-9] models</b>", page)


@needs("attacks/carlini_wagner")
def test_an_attack_that_moves_nothing_at_one_parameter_alone_is_told_apart(study: ReportData) -> None:
    """It is hampered there, and not at the others; one that moves nothing at any is hampered."""
    raised = [
        flag("plain", "unmoved_images", "Nothing moves.", "white_box carlini_wagner c=0.1"),
        flag("ours", "unmoved_images", "Nothing moves.", "white_box carlini_wagner c=0.1"),
        flag("other", "unmoved_images", "Nothing is named.", ""),
    ]
    ran = [
        {
            "model": model,
            "setting": "white_box",
            "attack": "carlini_wagner",
            "parameters": f"c={c}",
            "source": at,
        }
        for model, c, at in (
            ("plain", 0.1, "plain"),
            ("plain", 10, "plain"),
            ("ours", 0.1, "ours"),
            ("ours", 10, "a_member"),  # another attack: on a member, not on the model
        )
    ]
    data = dataclasses.replace(study, flags=frame("red_flags", raised), summary=frame("summary", ran))
    found = hampered(data)
    assert found.idle == (("White-box C&W at c = 0.1", 1),)
    assert [(one.title, [run.models for run in one.runs]) for one in found.attacks] == [
        ("White-box C&W", [1])
    ]
    told = HamperedRows(data)
    found_of = {
        (model, parameters): told.of(THIS_RUN, SimpleNamespace(model=model, parameters=parameters, **CW))
        for model in ("plain", "ours")
        for parameters in ("c=0.1", "c=10")
    }
    assert {key for key, words in found_of.items() if words} == {
        ("plain", "c=0.1"),
        ("ours", "c=0.1"),
        ("ours", "c=10"),
    }
    assert not told.of("Large", SimpleNamespace(model="ours", parameters="c=10", **CW))
    page = render(data)
    assert "White-box C&amp;W at c\xa0=\xa00.1 (1 model)" in page


def told_by(model: str, left: float, **more: Any) -> dict[str, Any]:
    """Return a row of summary.csv: PGD at ε = 0.3 made on VGG, against an undefended CNN-6."""
    kind = {"defense": "undefended", "training": "clean", "architecture": "cnn6", "dataset": "mnist"}
    where = {"setting": "black_box", "source": "vgg", "attack": "pgd", "parameters": "epsilon=0.3"}
    return {"model": model, "metric": "accuracy", "value": left, **kind, **where, **more}


DIRECT: dict[str, Any] = {"setting": "white_box", "source": ""}
CLEAN: dict[str, Any] = {**DIRECT, "attack": "none", "parameters": ""}
OURS = told_by("ours", 0.95, defense="ours")


@pytest.mark.parametrize(
    ("rows_of_summary", "weak"),
    [
        # Of 100 images the attack itself leaves 2, and made elsewhere 91: it fools 9 of 98, less than a tenth.
        (
            [told_by("plain", 1, **CLEAN), told_by("plain", 0.02, **DIRECT), told_by("plain", 0.91), OURS],
            True,
        ),
        (
            [told_by("plain", 1, **CLEAN), told_by("plain", 0.02, **DIRECT), told_by("plain", 0.9), OURS],
            False,
        ),
        # What hardly fools the network that it is made on is no weak transfer.
        (
            [told_by("plain", 1, **CLEAN), told_by("plain", 0.9, **DIRECT), told_by("plain", 0.98), OURS],
            False,
        ),
        ([told_by("plain", 1, **CLEAN), told_by("plain", 1, **DIRECT), told_by("plain", 1), OURS], False),
        # A second undefended network is reached, or the only one is of another architecture, or trained otherwise.
        (
            [
                *(told_by(name, 1, **CLEAN) for name in ("plain", "plain_2")),
                *(told_by(name, 0.02, **DIRECT) for name in ("plain", "plain_2")),
                *(told_by("plain", 0.91), told_by("plain_2", 0.5), OURS),
            ],
            False,
        ),
        *(
            (
                [
                    told_by("plain", 1, **CLEAN | other),
                    told_by("plain", 0, **DIRECT | other),
                    told_by("plain", 1, **other),
                    OURS,
                ],
                False,
            )
            for other in (
                {"architecture": "lenet"},
                {"dataset": "cifar10"},
                {"training": "pgd"},
                {"defense": "b"},
            )
        ),
        # Made on the undefended network itself; not run on it; only at another budget.
        ([told_by("vgg", 1, **CLEAN), told_by("vgg", 0, **DIRECT), told_by("vgg", 1), OURS], False),
        ([told_by("plain", 1, **CLEAN), told_by("plain", 1), OURS], False),
        ([OURS], False),
    ],
)
def test_a_transfer_that_reaches_not_even_an_undefended_network_is_told(
    study: ReportData, rows_of_summary: list[dict[str, Any]], weak: bool
) -> None:
    data = dataclasses.replace(study, flags=empty("red_flags"), summary=frame("summary", rows_of_summary))
    claim = SimpleNamespace(
        **{key: OURS[key] for key in ("model", "setting", "source", "attack", "parameters")}
    )
    told = HamperedRows(data)
    assert told.names(THIS_RUN, claim) is bool(told.of(THIS_RUN, claim)) is weak
    for other in ({"parameters": "epsilon=0.1"}, {"source": "lenet"}, {"setting": "white_box"}):
        assert not told.names(THIS_RUN, SimpleNamespace(**vars(claim) | other))
    assert not told.names("Large", claim)
    found = {one.title: dict(one.runs[0].checks) for one in hampered(data).attacks}
    named = found.get("Black-box PGD", {}).get("Transfer that reaches hardly anything", ())
    assert ("ours" in named) is weak
    if weak:
        (words,) = told.of(THIS_RUN, claim)
        assert "91.0 % of images right; made on that network itself, 2.0 %" in words


def test_a_gate_that_was_not_stored_leaves_its_cell_empty(study: ReportData) -> None:
    fewer = study.flags[(study.flags["model"] != "model_1") | (study.flags["gate"] != GATES[1])]
    view = flag_table(Shared(dataclasses.replace(study, flags=fewer)))
    assert view.models[1].cells[1] is None
    cell = view.models[1].cells[2]
    assert cell is not None
    assert cell.gate == GATES[2]


def test_a_check_that_is_not_raised_says_what_it_would_have_noticed(study: ReportData) -> None:
    """And one that notices too little is not passed; a raised one, or one not made, says nothing of it."""
    flags = study.flags.assign(detectable=0.147, images=pd.array([48] * len(study.flags), dtype="Int64"))
    flags.loc[flags["gate"] == GATES[1], "detectable"] = 0.31
    told = dataclasses.replace(study, flags=flags)
    checks = {check.gate: check for check in flag_table(Shared(told)).models[1].checks}
    assert (checks[GATES[3]].state, checks[GATES[3]].noticed) == (
        "passed",
        "Would notice 15 points at 48 images.",
    )
    coarse = checks[GATES[1]]
    assert (coarse.state, coarse.noticed) == (
        "too few images to tell",
        "Would notice 31 points at 48 images.",
    )
    assert (checks[GATES[0]].state, checks[GATES[0]].noticed) == ("raised", "")
    assert (checks[UNCHECKED].state, checks[UNCHECKED].noticed) == ("not checked", "")
    model = flag_table(Shared(told)).models[1]
    assert [state for state, *_ in model.counts] == [
        "raised",
        "too few images to tell",
        "passed",
        "not checked",
    ]
    assert ("too few images to tell", "1") in model.card.facts
    page = unfolded(render(told))
    assert f"The numbers of {GATES[1]} and 1. <i>Would notice 31 points at 48 images.</i>" in page
    assert "a difference of more than 25 points may have gone unnoticed" in page


def test_what_most_models_raise_is_said_once_and_the_rare_stands_out(study: ReportData) -> None:
    """Of the models that a check could be made of: one that was not made of all but four is usual with three of these."""
    usual, rare, seldom = "more_steps", GATES[4], GATES[3]
    flags = study.flags.copy()
    made = flags["model"].isin(["model_5", "model_6", "model_7", "model_8"])
    flags.loc[(flags["gate"] == usual) & ~made, "raised"] = None
    flags.loc[(flags["gate"] == usual) & made, "raised"] = [True, True, True, False]
    flags.loc[(flags["gate"] == seldom) & (flags["model"] == "model_9"), "raised"] = True
    view = flag_table(Shared(dataclasses.replace(study, flags=flags)))
    assert [(one.heading, one.raised, one.checked) for one in view.usual] == [(CHECKS[usual].heading, 3, 4)]
    assert "ten steps" in view.usual[0].reason
    named = [(one.title, one.check.gate) for one in view.rare]
    assert named[:2] == [("Defense number 1", GATES[0]), ("Defense number 9", seldom)], "the rarest first"
    assert named[2:] == [("Defense number 1", rare), ("Defense number 2", rare)]
    html = unfolded(render(dataclasses.replace(study, flags=flags)))
    words = f"<b>{CHECKS[usual].heading}: 3 of the 4 models that it could be checked of, said once.</b>"
    assert html.count(words) == 1
    flags.loc[(flags["gate"] == usual) & made, "raised"] = [True, True, False, False]
    assert flag_table(Shared(dataclasses.replace(study, flags=flags))).usual == ()


def test_no_checks_are_said_to_be_none(study: ReportData) -> None:
    assert "No checks were stored." in render(dataclasses.replace(study, flags=empty("red_flags")))


def test_the_table_is_read_and_leads_to_numbers(page_of_many: Path, open_page: Open) -> None:
    page = open_page(page_of_many)
    table = page.locator("table.flag-table")
    assert table.locator("tbody tr").count() == 42
    row = table.locator("tbody tr").nth(1)
    assert row.locator("td").count() == len(GATES)
    assert row.locator("td").first.inner_text().startswith("⚑")
    assert "raised: " in (row.locator("td").first.text_content() or "")
    row.locator("td a").first.focus()
    page.keyboard.press("Enter")
    sentence = page.locator(f"li#flag-model_1-{GATES[0]}")
    assert f"The numbers of {GATES[0]} and 1." in sentence.inner_text()
    expect(sentence).to_be_visible()
    page.locator("details#flags-model_1 a.number").click()
    card = page.locator("dialog .card").inner_text()
    assert f"The numbers of {GATES[4]} and 1." in card
    assert "red_flags.csv" in card
    assert UNCHECKED not in card
    page.keyboard.press("Escape")
    folded = page.locator("details#flags-model_0")
    folded.locator("summary").click()
    assert folded.get_attribute("open") is None
    table.locator("tbody tr").first.locator("th a").click()
    assert folded.get_attribute("open") is not None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_many_models_fit_a_phone(page_of_many: Path, open_page: Open, scheme: str) -> None:
    page = open_page(page_of_many, color_scheme=scheme, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
