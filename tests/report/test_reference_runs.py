"""Reference runs on the page: beside each claim, with their own facts, claims and red flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up_study
import pytest
from playwright.sync_api import Page

from reproof.reference import Reference
from reproof.report import ReportData, render
from reproof.report.sections.reference_runs import ReferenceRuns

STUDY = "results/large"


def verdict(claim: str, **told: str) -> dict[str, str]:
    names = ("claimed", "measured", "low", "high", "verdict", "differences", "model")
    names = (*names, *(f"strongest_{key}" for key in ("attack", "value", "low", "high", "verdict")))
    return {"claim_id": claim, **dict.fromkeys(names, "")} | told


def summary(
    setting: str, source: str, attack: str, parameters: str, value: str, **told: str
) -> dict[str, str]:
    return {
        "model": "ours",
        "setting": setting,
        "source": source,
        "attack": attack,
        "parameters": parameters,
        "metric": "accuracy",
        "value": value,
        "seeds": "1",
    } | told


def record(path: str, name: str, rule: str = "evaluate") -> dict[str, str]:
    return {"path": path, "name": name, "rule": rule, "command": f"snakemake --force {path}"}


def about(**told: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "study": "large",
        "title": "Large digits",
        "summary": "Made up.",
        "budget": "paper",
        "seeds": [0, 1],
        "command": "snakemake --cores all --configfile studies/large.yaml",
        "data": {
            "digits": {
                "splits": {"train": 50000, "validation": 5000, "test": 10000},
                "height": 28,
                "width": 28,
            }
        },
        "models": {
            "ours": {"title": "Ours, large", "epochs": 350, "dataset": "digits"},
            "plain": {"title": "Plain, large", "epochs": 20, "dataset": "digits"},
        },
        "settings": {
            "suites": {
                "papers": {"attacks": ["fgsm", "pgd"], "images": 10000},
                "transfer": {"attacks": ["pgd"], "images": 500},
            },
            "threats": {
                "white": {"setting": "white_box", "suite": "papers"},
                "other": {"setting": "black_box", "suite": "transfer", "source": "vgg13"},
                "black": {"setting": "black_box", "suite": "transfer", "sources": ["vgg19", "resnet"]},
            },
        },
        "commits": {"0123456789abcdef": 12},
        "changed_code": False,
        "devices": {"One large GPU": 12},
        "versions": {"python": "3.12.1", "torch": "2.11.0"},
        "first_started": "2026-01-02T03:04:05+00:00",
        "core_seconds": {"train": 7200.0},
        "found": {"made_up": [["Under all attacks", "Nothing <b>is</b> left."]]},
    }
    return known | told


def large(name: str = "large", **told: Any) -> Reference:
    """Return a reference run in which two claims of Table 1 and a copied one were measured."""
    first, fgsm, _, _, black = (f"made_up.{number}" for number in range(5, 10))
    tables = {
        "summary": [
            summary("white_box", "", "none", "", "0.951"),
            summary("white_box", "", "fgsm", "epsilon=0.3", "0.123"),
            summary("black_box", "vgg13", "pgd", "epsilon=0.3", "0.7"),
            summary("black_box", "vgg19", "pgd", "epsilon=0.3", "0.5"),
        ],
        "verdicts": [
            verdict(first, measured="0.951", low="0.94", high="0.96", verdict="reproduced", model="ours"),
            verdict(
                fgsm,
                measured="0.123",
                low="0.11",
                high="0.13",
                verdict="lower",
                model="ours",
                differences="epochs: 20 of 350",
                strongest_value="0.01",
                strongest_low="0.005",
                strongest_high="0.02",
            ),
            verdict(black, measured="0.5", low="0.4", high="0.6", verdict="lower", model="ours"),
            verdict("made_up.15", measured="0.5", verdict="not comparable", model="ours"),  # of MNIST
            verdict("gone.1", measured="0.5", verdict="lower", model="ours"),
        ],
        "red_flags": [
            {"model": "ours", "raised": "true", "evidence": "One step beats ten."},
            {"model": "plain", "raised": "false", "evidence": "All is well."},
            {"model": "plain", "raised": "", "evidence": "Not checked."},
        ],
    }
    folder = f"{STUDY}/outcomes/ours/seed0"
    records = [
        record(f"{STUDY}/models/ours/seed0/model.safetensors", "ours seed 0", "train"),
        record(f"{folder}/other.parquet", "ours seed 0 other"),
        record(f"{folder}/white.parquet", "ours seed 0 white"),
        record(f"{folder}/black.parquet", "ours seed 0 black"),
    ]
    return Reference(name, about(**told), tables, {row["path"]: row for row in records})


@pytest.fixture
def data(tree: made_up_study.Tree) -> ReportData:
    return made_up_study.report_data(tree)


def with_runs(data: ReportData, *runs: Reference) -> ReportData:
    return dataclasses.replace(data, references=runs)


def test_a_claim_leads_to_the_file_it_was_counted_in(data: ReportData) -> None:
    """Of several transfer threats it is the one whose source left what the verdict says."""
    runs = ReferenceRuns(with_runs(data, large()))
    beside = {number: runs.beside(f"made_up.{number}") for number in (5, 6, 9)}
    told = {
        number: [file.rpartition("/")[2] for file in found.files] for number, found in beside.items() if found
    }
    assert told == {5: ["white.parquet"], 6: ["white.parquet"], 9: ["black.parquet"]}
    black = beside[9]
    assert black is not None
    assert black.command == f"snakemake --force {STUDY}/outcomes/ours/seed0/black.parquet"
    assert runs.beside("made_up.7") is None
    assert runs.beside("made_up.15") is None, "a claim on another data set than the run's"


def test_of_two_runs_the_comparable_one_stands_beside_the_claim(data: ReportData) -> None:
    other = large("another")
    (first, *rest) = other.tables["verdicts"]
    incomparable = {**first, "verdict": "not comparable", "measured": "0.2"}
    other = dataclasses.replace(other, tables={**other.tables, "verdicts": [incomparable, *rest]})
    for order in ((large(), other), (other, large())):
        found = ReferenceRuns(with_runs(data, *order)).beside("made_up.5")
        assert found is not None
        assert (found.verdict, found.measured) == ("reproduced", "95.1")


def test_of_two_comparable_runs_the_one_with_more_seeds_stands_beside_the_claim(data: ReportData) -> None:
    one = large("b")
    rows = [{**row, "seeds": "3", "value_min": "0.1", "value_max": "0.146"} for row in one.tables["summary"]]
    one = dataclasses.replace(one, tables={**one.tables, "summary": rows})
    for order in ((large("a"), one), (one, large("a"))):
        found = ReferenceRuns(with_runs(data, *order)).beside("made_up.6")
        assert found is not None
        assert found.seeds == "3 seeds: 10.0 to 14.6"
    other = [{**row, "verdict": "not comparable"} for row in one.tables["verdicts"]]
    one = dataclasses.replace(one, tables={**one.tables, "verdicts": other})
    found = ReferenceRuns(with_runs(data, one, large("a"))).beside("made_up.6")
    assert found is not None
    assert found.seeds == "", "seeds make no run comparable"
    html = render(with_runs(data, one))
    cell = html.split('id="cell-made_up.6"')[1].split("</td>")[0]
    assert "3 seeds: 10.0 to 14.6" in cell


def test_of_several_seeds_the_spread_and_every_file_are_told(data: ReportData) -> None:
    one = large()
    rows = [
        {**row, "seeds": "2", "value_min": "0.1", "value_max": "0.146"} if row["attack"] == "fgsm" else row
        for row in one.tables["summary"]
    ]
    second = record(f"{STUDY}/outcomes/ours/seed1/white.parquet", "ours seed 1 white")
    one = dataclasses.replace(
        one, tables={**one.tables, "summary": rows}, records={**one.records, second["path"]: second}
    )
    runs = ReferenceRuns(with_runs(data, one))
    clean, fgsm = runs.beside("made_up.5"), runs.beside("made_up.6")
    assert clean is not None
    assert fgsm is not None
    assert (clean.seeds, fgsm.seeds) == ("", "2 seeds: 10.0 to 14.6")
    assert list(fgsm.files) == [f"{STUDY}/outcomes/ours/seed{seed}/white.parquet" for seed in (0, 1)]
    html = render(with_runs(data, one))
    assert "2 seeds: 10.0 to 14.6" in html
    assert f"<code>{second['path']}</code>" in html


def test_counts_facts_and_flags(data: ReportData) -> None:
    (view,) = ReferenceRuns(with_runs(data, large())).views()
    assert view.title == "Large digits, budget paper"
    ((key, _, counts, listed),) = view.papers
    assert (key, counts) == ("made_up", [("reproduced", 1), ("lower", 2)])
    assert [one.claim for one in listed] == ["made_up.5", "made_up.6", "made_up.9"]
    assert (view.flags, view.checked) == ([("Ours, large", "One step beats ten.")], 2)
    facts = dict(view.facts)
    assert facts["models"] == "2, of 20 to 350 epochs"
    assert facts["attacked test images"] == "500 to 10,000"
    assert facts["devices"] == "One large GPU"
    assert facts["code"].startswith("0123456789ab")
    assert "2 h" in facts["time"]


def test_the_page_shows_it_beside_the_claim(
    data: ReportData, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    file.write_text(render(with_runs(data, large())), encoding="utf-8")
    page = open_page(file)
    cell = page.locator("[id='cell-made_up.6'] a.larger")
    text = " ".join(cell.inner_text().split())
    assert "12.3" in text
    assert "lower" in text
    assert page.locator("[id='cell-made_up.7'] a.larger").count() == 0
    target = page.locator(f"[id='{(cell.get_attribute('href') or '#')[1:]}']")
    row = target.inner_text() if target.is_visible() else target.text_content() or ""
    assert "outcomes/ours/seed0/white.parquet" in row
    assert "epochs: 20 of 350" in row
    section = page.locator("#references")
    assert "Large digits, budget paper" in section.inner_text()
    assert "Nothing <b>is</b> left." in (section.text_content() or ""), "text is text, never markup"
    narrow = open_page(file, viewport={"width": 390, "height": 800})
    assert narrow.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_verdict_inside_another_ones_cell_keeps_its_own_colour(
    data: ReportData, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    run = large()
    verdicts = [{**row, "verdict": "reproduced"} for row in run.tables["verdicts"]]
    run = dataclasses.replace(run, tables={**run.tables, "verdicts": verdicts})
    file = tmp_path / "page.html"
    file.write_text(render(with_runs(data, run)), encoding="utf-8")
    page = open_page(file)
    inner = page.locator("[id='cell-made_up.6'] a.larger .verdict")
    cell = page.locator("[id='cell-made_up.6']")
    assert "v-lower" in (cell.get_attribute("class") or ""), "the test needs a cell judged otherwise"
    colour = "element => getComputedStyle(element).color"
    alike = page.evaluate(
        """() => {
          const made = document.createElement("p");
          made.className = "v-reproduced";
          made.innerHTML = '<span class="verdict">x</span>';
          document.body.append(made);
          return getComputedStyle(made.firstChild).color;
        }"""
    )
    assert inner.evaluate(colour) == alike
    assert inner.evaluate(colour) != cell.locator("> a .verdict, > .verdict").first.evaluate(colour)


def test_a_page_without_reference_runs_has_no_such_section(data: ReportData) -> None:
    html = render(with_runs(data))
    assert 'id="references"' not in html
    assert "#references" not in html
