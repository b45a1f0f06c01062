"""What others found: beside the claims that it is about, on their cards, and in no count of ours."""

from __future__ import annotations

import dataclasses
import re

import made_up_study
import pytest
from tests.ours import needs
from tests.unfolded import render

from reproof.claims.independent import IndependentMeasurement
from reproof.report import ReportData, others
from reproof.report.sections.independent import address

SECTION = re.compile(r'<section id="independent">.*?</section>', re.DOTALL)


@pytest.fixture
def data(tree: made_up_study.Tree) -> ReportData:
    return made_up_study.report_data(tree)


def section(html: str) -> str:
    found = SECTION.search(html)
    assert found is not None
    return found.group()


def plain(html: str) -> str:
    """Return the text of a piece of the page, its blanks made one."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def row(html: str, number: str) -> str:
    """Return the text of the section's row that holds a number."""
    (found,) = [one for one in re.findall(r"<tr>.*?</tr>", section(html), re.DOTALL) if number in one]
    return found


@needs("attacks/autoattack", "sections/paper_tables")
def test_each_measurement_stands_beside_the_paper_s_nearest_claim(data: ReportData) -> None:
    html = render(data)
    same = row(html, "<b>0.28 %</b>")
    assert "The same model: its weights." in same
    assert "&lt;script&gt;alert" in same
    (claim,) = [one for one in data.papers[0].claims if one.row.startswith("MNIST") and one.printed == "19.9"]
    assert f'href="#cell-{claim.claim_id}"' in same
    assert plain(same).endswith(
        "AutoAttack, L∞, ε = 0.3 (1,000 images) 98.7 % 0.28 % 19.9 % under PGD, ε = 0.3 "
        "Table 1: MNIST (ε = 0.3, c = 10) · Ours, White-Box · PGD somebody/else A remark."
    )
    assert others.NOT_CHECKED not in same


def test_another_model_and_a_number_that_nobody_checked_say_so(data: ReportData) -> None:
    other = row(render(data), "<b>12.3 %</b>")
    assert "Not the same model: another network." in other
    assert others.NOT_CHECKED in other


def test_clean_accuracy_alone_stands_beside_clean_accuracy(data: ReportData) -> None:
    (clean,) = [
        one for one in re.findall(r"<tr>.*?</tr>", section(render(data)), re.DOTALL) if "trained anew" in one
    ]
    assert "No attack" in clean
    assert "<b>97.5 %</b>" in clean
    assert "under" not in plain(clean)


@needs("attacks/autoattack")
def test_a_claim_s_card_names_what_others_found_of_it(data: ReportData) -> None:
    told = re.findall(r"<dt>others found</dt><dd>(.*?)</dd>", render(data))
    assert any(text.startswith("0.28 % under AutoAttack, L∞, ε = 0.3 (1,000 images): ") for text in told)
    assert any("(not the same model: another network); somebody/else; not checked" in text for text in told)
    assert any("(the same model: its weights); somebody/else" in text for text in told)
    assert any(text.startswith("98.7 % without an attack: ") for text in told)


def test_a_card_says_how_many_more_there_are(data: ReportData) -> None:
    first = made_up_study.independent()[0]
    claim = next(one for one in data.papers[0].claims if one.dataset == "mnist" and first.of_claim(one))
    many = [dataclasses.replace(first, robust=f"{number}") for number in range(others.SHOWN + 2)]
    facts = list(others.facts(claim, many, {}))
    assert len(facts) == others.SHOWN + 1
    assert facts[-1] == ("others found", "and 2 more, in the section of that name")
    assert len(list(others.facts(claim, many[: others.SHOWN], {}))) == others.SHOWN


@needs("attacks/autoattack")
def test_on_a_card_the_same_model_comes_first_then_the_same_attack(data: ReportData) -> None:
    first = made_up_study.independent()[0]
    claim = next(one for one in data.papers[0].claims if one.dataset == "mnist" and one.attack == "pgd")
    claim = dataclasses.replace(claim, defense=first.defense, setting="white_box", source="")

    def told(*found: IndependentMeasurement) -> list[str]:
        return [text.split(" ")[0] for _, text in others.facts(claim, found, {})]

    other = dataclasses.replace(first, same_model="no", robust="3", attack="pgd")
    ensemble = dataclasses.replace(first, same_model="no", robust="2")
    assert told(ensemble, other, first) == ["0.28", "3", "2"]


@pytest.mark.parametrize(
    ("same_model", "same", "words"),
    [
        ("made_up", True, "the same model: its weights"),
        ("made_up", False, "the model of Made up 2001: its weights"),
        ("no", False, "not the same model: its weights"),
        ("absent", False, "the model of a paper that is not here: its weights"),
    ],
)
def test_says_whose_model_it_is(same_model: str, same: bool, words: str) -> None:
    found = dataclasses.replace(made_up_study.independent()[0], same_model=same_model)
    assert others.model(found, same, {"made_up": "Made up 2001"}) == words


@needs("sections/paper_tables")
def test_nothing_of_it_enters_what_we_count(data: ReportData) -> None:
    ours = dataclasses.replace(data, independent=())
    with_it, without = render(data), render(ours)
    assert SECTION.search(without) is None
    assert "others found" not in without
    assert 'href="#independent' not in without
    for name in ("found", "fell", "statements"):
        pattern = re.compile(rf'<section id="{name}">.*?</section>', re.DOTALL)
        assert pattern.findall(with_it) == pattern.findall(without)
    scores = re.compile(r'<span class="score">.*?</span></summary>', re.DOTALL)
    tables = re.compile(r'<section id="tables">.*?</section>', re.DOTALL)
    assert scores.findall(tables.findall(with_it)[0]) == scores.findall(tables.findall(without)[0])


def test_a_paper_without_any_is_named(data: ReportData) -> None:
    one = dataclasses.replace(data, independent=made_up_study.independent()[:1])
    assert one.papers[0].short_name in section(render(one))
    found = plain(section(render(one)))
    without = [paper.short_name for paper in one.papers if not one.independent[0].of_paper(paper)]
    assert all(f"of the defenses of {name}" in found for name in without)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("someone/pcl-defense, issue 15", "https://github.com/someone/pcl-defense/issues/15"),
        (
            "A. Author, ICML 2020; someone/auto.attack (a392200), docs/README.md",
            "https://github.com/someone/auto.attack/blob/a392200/docs/README.md",
        ),
        ("A. Author, arXiv:1711.08478, as told in a/b, c.yml (d1d3cc5)", "https://arxiv.org/abs/1711.08478"),
        ("A. Author, ICML 2018", ""),
    ],
)
def test_a_source_leads_to_where_it_is_read(source: str, expected: str) -> None:
    assert address(source) == expected
