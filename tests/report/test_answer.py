"""The section that answers first: its pictures, its numbers, and where its links lead."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import made_up_study
import pytest
from playwright.sync_api import Page
from tests.hand_made_papers import claim
from tests.ours import needs

from reproof import reference
from reproof.claims.independent import read_independent
from reproof.claims.paper import papers
from reproof.provenance import ROOT
from reproof.report import ReportData, answer, pictures, render
from reproof.report.page import kept
from reproof.report.pictures import Dot
from reproof.report.sections.answer import build
from reproof.report.shared import Shared

SECTION = re.compile(r'<section id="answer">.*?</section>', re.DOTALL)
SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


def dot(word: str, grade: str = "B", **changes: float | None) -> Dot:
    place: dict[str, float | None] = {
        "claimed": 0.25,
        "measured": 0.75,
        "low": 0.5,
        "high": 1.0,
        "left": None,
    }
    return Dot(claim(), word=word, grade=grade, words=f"<{word}>", **place | changes)  # type: ignore[arg-type]


def drawn(*dots: Dot, linked: bool = True) -> ElementTree.Element:
    text = str(pictures.scatter("A <paper>", "p", dots, linked=linked))
    spaces = f'xmlns="{SVG[1:-1]}" xmlns:xlink="{LINK[1:-1]}"'
    return ElementTree.fromstring(text.replace("<svg", f"<svg {spaces}", 1))


def of_class(svg: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [one for one in svg.iter() if name in one.get("class", "").split()]


def test_claimed_lies_across_and_measured_up() -> None:
    svg = drawn(dot("higher", left=0.0))
    (mark,) = of_class(svg, "c-dot")
    x, y = map(float, re.findall(r"[\d.]+", mark.get("d", ""))[:2])
    assert x + 4.5 == pytest.approx(pictures.LEFT + pictures.SIDE / 4)
    assert y == pytest.approx(pictures.TOP + pictures.SIDE / 4)
    (left,) = of_class(svg, "c-left")
    assert float(re.findall(r"[\d.]+", left.get("d", ""))[1]) == pictures.TOP + pictures.SIDE
    (interval,) = of_class(svg, "c-interval")
    top, bottom = re.findall(r"[\d.]+", interval.get("d", ""))[1:]
    assert (float(top), float(bottom)) == (pictures.TOP, pictures.TOP + pictures.SIDE / 2)


def test_colour_is_the_word_shape_the_grade_and_only_what_was_judged_is_a_dot() -> None:
    svg = drawn(dot("lower", "A"), dot("undecided", "B"), dot("not comparable", "C"))
    marks = of_class(svg, "c-dot")
    assert [mark.get("class") for mark in marks] == ["c-dot w-lower", "c-dot w-undecided"]
    assert ["a4 4" in mark.get("d", "") for mark in marks] == [True, False]
    assert len(of_class(svg, "c-cross")) == 1
    title, desc = svg.find(f"{SVG}title"), svg.find(f"{SVG}desc")
    assert title is not None
    assert title.text == "A <paper>: claimed against measured"
    assert desc is not None
    assert desc.text is not None
    assert "2 judged claims" in desc.text
    assert "0 reproduced, 1 lower, 0 higher and 1 undecided. 1 crosses" in desc.text


def test_a_dot_says_what_it_is_and_leads_to_its_cell_where_there_is_one() -> None:
    (link,) = drawn(dot("lower")).iter(f"{SVG}a")
    assert link.get(f"{LINK}href") == f"#cell-{claim().claim_id}"
    assert [one.text for one in link.iter(f"{SVG}title")] == ["<lower>"]
    assert not list(drawn(dot("lower"), linked=False).iter(f"{SVG}a"))


@needs("sections/paper_tables")
def test_the_tables_tell_their_counts_apart_from_the_answers(tree: made_up_study.Tree) -> None:
    """What this run measured on another data set is no evidence to the answer, and stands in the tables."""
    from reproof.report.sections import paper_tables

    data = made_up_study.report_data(tree)
    shared = Shared(data)
    views = {view["key"]: view for view in paper_tables.build(shared)["papers"]}
    moved = 0
    for paper in answer.answer(data).papers:
        view = views[paper.key]
        moved += view["moved"]
        assert paper.tally.unmeasured == view["moved"] + view["tally"].unmeasured
        assert paper.tally.other == view["tally"].other - view["moved"]
    assert moved, "the test needs a claim that was measured on another data set"


@needs("sections/paper_tables")
def test_every_link_leads_somewhere(html: str) -> None:
    found = SECTION.search(html)
    assert found is not None
    ids = set(re.findall(r'\sid="([^"]+)"', html))
    links = set(re.findall(r'href="#([^"]+)"', found.group()))
    assert len(links) > 5
    assert links <= ids


@needs("sections/paper_tables")
def test_a_click_on_a_dot_shows_its_cell(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.locator("svg.scatter a").first.dispatch_event("click")
    address = page.evaluate("decodeURIComponent(location.hash)")
    assert address.startswith("#cell-")
    assert page.evaluate("(id) => document.getElementById(id).checkVisibility()", address[1:])


@pytest.mark.parametrize("width", [1400, 768, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_fit_and_can_be_seen(open_page: Callable[..., Page], width: int, scheme: str) -> None:
    page = open_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate(
        """() => [...document.querySelectorAll("svg.scatter")].map((svg) => {
             const text = svg.querySelector("text"), box = svg.getBoundingClientRect();
             return [box.width, box.height, parseFloat(getComputedStyle(text).fontSize) * box.width / 240];
           })"""
    )
    assert sizes
    assert all(
        wide >= 160 and high == pytest.approx(wide, abs=1) and letters >= 8 for wide, high, letters in sizes
    )


def test_a_claim_without_a_number_in_per_cent_is_no_dot(tree: made_up_study.Tree) -> None:
    data = made_up_study.report_data(tree)
    found = build(Shared(data))
    other = next(paper for paper, *_ in found["papers"] if paper.key == "invented_other")
    kinds = {one.claim.metric for one in other.evidence}
    assert {"accuracy", "epoch_seconds"} <= kinds
    assert {one.claim.metric for one in pictures.dots(other.evidence)} == {"accuracy"}


def test_numbers_stay_on_a_line_with_what_they_count() -> None:
    told = kept("1.1 % to 8 % of epochs: 3 lower, ε = 0.3; 12 numbers")
    assert told == "1.1\xa0% to 8\xa0% of epochs: 3\xa0lower, ε\xa0=\xa00.3; 12 numbers"


def test_each_paper_of_ours_says_what_it_claims_and_by_which_numbers() -> None:
    assert all(paper.thesis and paper.headlines for paper in papers())


@needs("papers/mirzaeian_dkd", "papers/mirzaeian_gravity", "papers/mustafa_pcl")
def test_the_answer_of_our_papers_and_a_reference_run_is_small(tree: made_up_study.Tree) -> None:
    data: ReportData = replace(
        made_up_study.report_data(tree),
        papers=papers(),
        references=[reference.read(ROOT / reference.FOLDER / "mnist")],
        independent=read_independent(),
    )
    found = build(Shared(data))
    svg = "".join(
        map(str, [picture for _, picture, _ in found["papers"] if picture] + list(found["lines"].values()))
    )
    assert 300 < len(re.findall(r"<[a-z]", svg)) < 1500
    assert len(svg) < 150_000
    # What stands beside a picture counts its coloured marks.
    for paper, picture, undrawn in found["papers"]:
        for count, word in re.findall(r"(\d+) (reproduced|lower|higher|undecided)\b", paper.short):
            assert str(picture).count(f"c-dot w-{word}") == int(count) or undrawn, (paper.key, word)
    assert sum(len(re.findall(r"c-dot w-", str(picture))) for _, picture, _ in found["papers"]) > 20


def test_the_style_knows_every_mark() -> None:
    style = (Path(pictures.__file__).parent / "style.css").read_text(encoding="utf-8")
    used = set(re.findall(r"c-[a-z]+", Path(pictures.__file__).read_text(encoding="utf-8")))
    assert {name for name in used if f".{name} " not in style} == set()
    assert render is not None
