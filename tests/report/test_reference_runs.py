"""Reference runs on the page: beside each claim, with their own facts, claims and red flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import made_up_study
import pandas as pd
import pytest
from made_up_study import frame, rows_of
from playwright.sync_api import Page
from tests.ours import needs
from tests.unfolded import expanded, unfolded, unpacked

from reproof import csv_tables
from reproof.judging.difference import Difference, dump
from reproof.reference import Reference
from reproof.report import ReportData, render
from reproof.report.reference_claims import ReferenceClaims
from reproof.report.sections.reference_runs import build
from reproof.report.shared import Shared

STUDY = "results/large"


def verdict(claim: str, place: Mapping[str, Any], **told: Any) -> dict[str, Any]:
    """Return a verdict with the key of the summary's row that it judged."""
    key = {name: place[name] for name in csv_tables.KEY}
    return {"claim_id": claim, "measured": place["value"], **key} | told


def summary(
    setting: str, source: str, attack: str, parameters: str, value: float, **told: Any
) -> dict[str, Any]:
    return {
        "study": "large",
        "model": "ours",
        "setting": setting,
        "source": source,
        "attack": attack,
        "parameters": parameters,
        "metric": "accuracy",
        "value": value,
        "seeds": 1,
    } | told


def record(path: str, name: str, rule: str = "evaluate", seed: int = 0) -> dict[str, Any]:
    made = {"seed": seed, "commit": 12 * "0" + 28 * "f", "dirty": False, "device": "One GPU", "threads": 1}
    return {"path": path, "name": name, "rule": rule, "command": f"snakemake --force {path}"} | made


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
    clean = summary("white_box", "", "none", "", 0.951)
    one_step = summary("white_box", "", "fgsm", "epsilon=0.3", 0.123)
    transferred = summary("black_box", "vgg19", "pgd", "epsilon=0.3", 0.5)
    other = summary("black_box", "vgg13", "pgd", "epsilon=0.3", 0.5)
    epochs = dump([Difference("training.epochs", "20", "350", "B")])
    strongest = {"strongest_value": 0.03, "strongest_low": 0.02, "strongest_high": 0.04}
    strongest |= {"overall_value": 0.01, "overall_low": 0.005, "overall_high": 0.02}
    three = {"seed_words": "lower, lower, lower", "training_share": 20 / 350, "stable": "yes", "margin": 0.02}
    tables = {
        "summary": [clean, one_step, other, transferred],
        "verdicts": [
            verdict(first, clean, low=0.94, high=0.96, verdict="reproduced", grade="A"),
            verdict(
                fgsm,
                one_step,
                **{"low": 0.11, "high": 0.13, "verdict": "lower", "grade": "B", "differences": epochs},
                **strongest,
                **three,
            ),
            verdict(black, transferred, low=0.4, high=0.6, verdict="lower", grade="A"),
            verdict("made_up.15", transferred, verdict="not comparable"),  # of MNIST
            verdict("gone.1", transferred, verdict="lower"),
        ],
        "red_flags": [
            {"model": "ours", "raised": True, "evidence": "One step beats ten."},
            {"model": "plain", "raised": False, "evidence": "All is well."},
            {"model": "plain", "raised": None, "evidence": "Not checked."},
        ],
    }
    folder = f"{STUDY}/outcomes/ours/seed0"
    records = [
        record(f"{STUDY}/models/ours/seed0/model.safetensors", "ours seed 0", "train"),
        record(f"{folder}/other.parquet", "ours seed 0 other"),
        record(f"{folder}/white.parquet", "ours seed 0 white"),
        record(f"{folder}/black.parquet", "ours seed 0 black"),
    ]
    frames = {name: frame(name, rows) for name, rows in tables.items()}
    return Reference(name, about(**told), frames, {row["path"]: row for row in records})


@pytest.fixture
def data(tree: made_up_study.Tree) -> ReportData:
    return made_up_study.report_data(tree)


def with_runs(data: ReportData, *runs: Reference) -> ReportData:
    return dataclasses.replace(data, references=runs)


def with_table(run: Reference, name: str, table: pd.DataFrame) -> Reference:
    return dataclasses.replace(run, tables={**run.tables, name: table})


def test_a_claim_leads_to_the_file_it_was_counted_in(data: ReportData) -> None:
    """Of several transfer threats it is the one that made the row that was judged, whatever others left."""
    runs = ReferenceClaims(with_runs(data, large()))
    beside = {number: runs.best(f"made_up.{number}") for number in (5, 6, 9)}
    told = {
        number: [file.rpartition("/")[2] for file in found.files] for number, found in beside.items() if found
    }
    assert told == {5: ["white.parquet"], 6: ["white.parquet"], 9: ["black.parquet"]}
    assert runs.best("made_up.7") is None
    assert runs.best("made_up.15") is None, "a claim on another data set than the run's"


def test_of_two_runs_the_comparable_one_stands_beside_the_claim(data: ReportData) -> None:
    other = large("another")
    (first, *rest) = rows_of(other.tables["verdicts"])
    incomparable = {**first, "verdict": "not comparable", "grade": "C", "measured": 0.2}
    other = with_table(other, "verdicts", frame("verdicts", [incomparable, *rest]))
    for order in ((large(), other), (other, large())):
        found = ReferenceClaims(with_runs(data, *order)).best("made_up.5")
        assert found is not None
        assert (found.verdict.word, found.verdict.grade, found.measured) == ("reproduced", "A", "95.1")


@needs("sections/paper_tables")
def test_of_two_comparable_runs_the_one_with_more_seeds_stands_beside_the_claim(data: ReportData) -> None:
    one = large("b")
    three = one.tables["summary"].assign(seeds=3, value_min=0.1, value_max=0.146)
    one = with_table(one, "summary", three.astype({"seeds": "Int64"}))
    other = large("a")
    other = with_table(other, "verdicts", other.tables["verdicts"].assign(seed_words=""))
    for order in ((other, one), (one, other)):
        found = ReferenceClaims(with_runs(data, *order)).best("made_up.6")
        assert found is not None
        assert found.seeds == "3 seeds: 10.0 to 14.6"
    one = with_table(one, "verdicts", one.tables["verdicts"].assign(verdict="not comparable", grade="C"))
    found = ReferenceClaims(with_runs(data, one, large("a"))).best("made_up.6")
    assert found is not None
    assert found.seeds == "", "seeds make no run comparable"
    html = unfolded(render(with_runs(data, one)))
    cell = html.split('id="cell-made_up.6"')[1].split("</td>")[0]
    assert "3 seeds: 10.0 to 14.6" in cell


def test_of_several_seeds_the_spread_and_every_file_are_told(data: ReportData) -> None:
    one = large()
    two = {"seeds": 2, "value_min": 0.1, "value_max": 0.146}
    rows = [row | two if row["attack"] == "fgsm" else row for row in rows_of(one.tables["summary"])]
    worst = {"attack": "worst_case", "setting": "all", "parameters": "norm=linf epsilon=0.3"}
    rows.append(rows[0] | worst | {"correct": 5, "total": 500})
    second = record(f"{STUDY}/outcomes/ours/seed1/white.parquet", "ours seed 1 white", seed=1)
    one = with_table(one, "summary", frame("summary", rows))
    one = dataclasses.replace(one, records={**one.records, second["path"]: second})
    runs = ReferenceClaims(with_runs(data, one))
    clean, fgsm = runs.best("made_up.5"), runs.best("made_up.6")
    assert clean is not None
    assert fgsm is not None
    assert (clean.seeds, fgsm.seeds) == ("", "2 seeds: 10.0 to 14.6")
    assert list(fgsm.files) == [f"{STUDY}/outcomes/ours/seed{seed}/white.parquet" for seed in (0, 1)]
    assert fgsm.recorded == "seeds 0, 1 on One GPU, 1 thread, commit 000000000000 (clean tree)"
    assert fgsm.strongest == (
        ("white-box", "3.0 % [2.0–4.0]", ""),
        ("all settings", "1.0 % [0.5–2.0]", "5 of 500 images"),
    )
    page = render(with_runs(data, one))
    cards = unpacked(page, "cards")
    runs = {
        heading: dict(facts)
        for heading, facts, *_ in expanded(cards["pool"], cards["cards"]["card-claim-made_up.6"])[-1]
    }
    told = runs["Reference run: Large digits, budget paper"]
    assert (told["record"], told["strongest, all settings"]) == (
        fgsm.recorded,
        "1.0 % [0.5–2.0], 5 of 500 images",
    )
    other = dataclasses.replace(
        one, records={**one.records, second["path"]: second | {"device": "Another", "dirty": True}}
    )
    apart = ReferenceClaims(with_runs(data, other)).best("made_up.6")
    assert apart is not None
    assert apart.recorded == (
        "seed 0 on One GPU, 1 thread, commit 000000000000 (clean tree); "
        "seed 1 on Another, 1 thread, commit 000000000000 (tree had local changes)"
    )
    html = unfolded(page)
    assert "2 seeds: 10.0 to 14.6" in html
    assert "5 of 500 images, all settings" in html
    assert f"<code>{second['path']}</code>" in html


def test_counts_facts_and_flags(data: ReportData) -> None:
    (view,) = build(Shared(with_runs(data, large())))["runs"]
    assert view.title == "Large digits, budget paper"
    (paper,) = view.papers
    assert (paper.key, paper.tally.same, paper.tally.near) == (
        "made_up",
        (("reproduced", 1), ("lower", 1)),
        (("lower", 1),),
    )
    assert (paper.tally.of_training, paper.tally.stability) == ("5.7 % of the paper’s epochs", "1 stable")
    assert [one.claim for one, _ in paper.claims] == ["made_up.5", "made_up.6", "made_up.9"]
    assert (view.flags, view.checked) == ([("Ours, large", "One step beats ten.")], 2)
    facts = dict(view.facts)
    assert facts["models"] == "2, of 20 to 350 epochs"
    assert facts["attacked test images"] == "500 to 10,000"
    assert facts["devices"] == "One large GPU"
    assert facts["code"].startswith("0123456789ab")
    assert "2 h" in facts["time"]


@needs("sections/paper_tables")
def test_the_page_shows_it_beside_the_claim(
    data: ReportData, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    file.write_text(render(with_runs(data, large())), encoding="utf-8")
    page = open_page(file)
    cell = page.locator("[id='cell-made_up.6'] a.larger")
    text = " ".join(cell.inner_text().split())
    assert "12.3" in text
    assert "▼ lower grade B 3 of 3 seeds; stable" in text
    assert page.locator("[id='cell-made_up.7'] a.larger").count() == 0
    target = page.locator(f"[id='{(cell.get_attribute('href') or '#')[1:]}']")
    row = target.inner_text() if target.is_visible() else target.text_content() or ""
    assert "outcomes/ours/seed0/white.parquet" in row
    for part in ("epochs: 20 of 350", "3 of 3 seeds, each judged by itself, say so", "margin: ± 2.0 points"):
        assert part in row
    assert "3.0 % [2.0–4.0]white-box1.0 % [0.5–2.0]all settings" in "".join(row.split("\n"))
    section = page.locator("#references")
    assert "Large digits, budget paper" in section.inner_text()
    assert "Nothing <b>is</b> left." in (section.text_content() or ""), "text is text, never markup"
    narrow = open_page(file, viewport={"width": 390, "height": 800})
    assert narrow.evaluate("document.documentElement.scrollWidth") <= 390


@needs("sections/paper_tables")
def test_a_verdict_inside_another_ones_cell_keeps_its_own_colour(
    data: ReportData, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    run = large()
    run = with_table(run, "verdicts", run.tables["verdicts"].assign(verdict="reproduced"))
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


def test_a_better_grade_stands_beside_the_claim_whatever_the_seeds(data: ReportData) -> None:
    many = large("many")
    many = with_table(many, "summary", many.tables["summary"].assign(seeds=3, value_min=0.1, value_max=0.146))
    same = large("same")
    rows = [{**row, "grade": "A", "measured": 0.2} for row in rows_of(same.tables["verdicts"])]
    same = with_table(same, "verdicts", frame("verdicts", rows))
    found = ReferenceClaims(with_runs(data, many, same)).best("made_up.6")
    assert found is not None
    assert (found.verdict.grade, found.measured) == ("A", "20.0")


def test_what_all_claims_of_a_model_differ_in_is_said_once(data: ReportData) -> None:
    run = large()
    first = Difference("training.epochs", "20", "350", "B")
    own = [[first], [first, Difference("images", "40", "100", "A")], [first]]
    rows = [
        {**row, "differences": dump(more)}
        for row, more in zip(rows_of(run.tables["verdicts"]), own, strict=False)
    ]
    (view,) = build(Shared(with_runs(data, with_table(run, "verdicts", frame("verdicts", rows)))))["runs"]
    assert view.papers[0].models == [("Ours, large", "epochs: 20 of 350")]
    assert [differences for _, differences in view.papers[0].claims] == ["", "images: 40 of 100", ""]


@needs("sections/paper_tables")
def test_a_cell_and_its_card_begin_with_the_best_evidence(data: ReportData, html: str) -> None:
    """Claim 9 has grade A in the reference run and C in this one; claim 6 grade A here, and B there."""
    whose = '<span class="reason">this run</span>'
    assert whose not in unfolded(html), "without a reference run all numbers are this run's"
    html = render(with_runs(data, large()))
    cards, text = unpacked(html, "cards"), unfolded(html)
    for number, first, value, beside in (
        (9, "Reference run: Large digits, budget paper", "50.0", "this run"),
        (6, f"This run: {data.title}", "37.5", "reference"),
    ):
        runs = expanded(cards["pool"], cards["cards"][f"card-claim-made_up.{number}"])[-1]
        evidence = [heading for heading, *_ in runs if heading.startswith(("Reference run", "This run"))]
        assert evidence[0] == first
        assert len(evidence) == 2
        cell = text.split(f'id="cell-made_up.{number}"')[1].split("</td>")[0]
        assert f'<span class="value">{value}</span>' in cell
        assert beside in cell.split("</a>", 1)[1]
        assert whose in cell
        brief = html.split(f'id="cell-made_up.{number}"')[1].split("<td")[0]
        assert value in brief.split(";")[0]


@needs("sections/run_again", "sections/paper_tables")
def test_a_headline_of_a_reference_run_is_the_example_of_how_to_make_one_again(data: ReportData) -> None:
    from reproof.report.sections import run_again

    paper = data.papers[0].model_copy(update={"headlines": ("made_up.7", "made_up.6")})
    shown = run_again.build(Shared(with_runs(dataclasses.replace(data, papers=[paper]), large())))[
        "reference"
    ]
    assert shown.command == f"{about()['command']} --force {STUDY}/outcomes/ours/seed0/white.parquet"
    assert (shown.measured, shown.run) == ("12.3 % [11.0–13.0]", "Large digits, budget paper")
    own = run_again.build(Shared(with_runs(data)))
    assert own["reference"] is None
    assert own["command"].startswith("snakemake --cores all --force results/made_up/")


def test_a_page_without_reference_runs_has_no_such_section(data: ReportData) -> None:
    html = render(with_runs(data))
    assert 'id="references"' not in html
    assert "#references" not in html


def test_the_file_is_that_of_the_verdict_s_source_and_attack_or_none(data: ReportData) -> None:
    """An ensemble attacked in three ways, and an attack that no threat of the run made."""
    one = large()
    suites = {
        "papers": {"attacks": ["fgsm", "pgd"], "images": 10},
        "votes": {"attacks": ["fgsm"], "images": 10, "members": "aggregated"},
        "strong": {"attacks": ["square"], "images": 10},
    }
    threats = {
        "strong": {"setting": "white_box", "suite": "strong"},
        "alone": {"setting": "white_box", "suite": "papers", "source": "member"},
        "votes": {"setting": "white_box", "suite": "votes"},
        "whole": {"setting": "white_box", "suite": "papers"},
        "black": {"setting": "black_box", "suite": "papers", "together": ["a", "b"]},
    }
    settings = {"suites": suites, "threats": threats, "models": {"ours": {"members": ["a", "b"]}}}
    files = [f"{STUDY}/outcomes/ours/seed{seed}/{name}.parquet" for seed in (0, 1) for name in threats]
    weights = f"{STUDY}/models/ours/seed0/model.safetensors"
    records = {path: record(path, "", "evaluate") for path in (weights, *files)}
    expected = {
        ("white_box", "ours", "fgsm"): "whole",
        ("white_box", "member", "fgsm"): "alone",
        ("white_box", "b", "fgsm"): "alone",
        ("white_box", "members", "fgsm"): "votes",
        ("white_box", "ours", "square"): "strong",
        ("black_box", "b+a", "pgd"): "black",
        ("black_box", "a", "pgd"): None,
        ("white_box", "members", "pgd"): None,
        ("white_box", "ours", "deepfool"): None,
        ("adaptive", "ours", "fgsm"): None,
        ("white_box", "", "none"): "strong",
    }
    for (setting, source, attack), name in expected.items():
        row = summary(setting, source, attack, "epsilon=0.3", 0.5)
        tables = {
            "summary": frame("summary", [row]),
            "verdicts": frame("verdicts", [verdict("made_up.6", row, verdict="lower")]),
        }
        run = dataclasses.replace(
            one, about=about(settings=settings), tables={**one.tables, **tables}, records=records
        )
        found = ReferenceClaims(with_runs(data, run)).best("made_up.6")
        assert found is not None
        assert [Path(file).stem for file in found.files] == ([] if name is None else [name] * 2)


def test_clean_images_of_a_model_that_only_met_transferred_ones(data: ReportData) -> None:
    one = large()
    path = f"{STUDY}/outcomes/ours/seed0/black.parquet"
    run = dataclasses.replace(one, records={path: record(path, "")})
    clean, fgsm = (ReferenceClaims(with_runs(data, run)).best(f"made_up.{number}") for number in (5, 6))
    assert clean is not None
    assert fgsm is not None
    assert (clean.files, fgsm.files) == ((path,), ())
