"""The list of all claims: the best evidence of each, and how it is searched, filtered, sorted and addressed."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import re
from collections.abc import Callable

import made_up_study
from playwright.sync_api import Page, expect
from tests.browsers import until
from tests.ours import needs

from reproof.report.answer import answer
from reproof.report.sections.claim_finder import COLUMNS, build
from reproof.report.shared import Shared
from reproof.report.shown_verdict import HAMPERED

Open = Callable[..., Page]
COUNT = "document.querySelectorAll('#claims-table tbody tr').length"


def claims(shared: Shared) -> dict[str, dict[str, str]]:
    """Return the rows that the page carries, by the claim's id."""
    pack = json.loads(gzip.decompress(base64.b64decode(build(shared)["pack"])))["columns"]
    cells = {name: [pack[name]["texts"][place] for place in pack[name]["cells"]] for name in COLUMNS}
    rows = [
        dict(zip(COLUMNS, row, strict=True)) for row in zip(*(cells[name] for name in COLUMNS), strict=True)
    ]
    return {row["cell"].removeprefix("cell-"): row for row in rows}


def test_every_number_that_a_paper_prints_is_there_with_the_best_evidence(tree: made_up_study.Tree) -> None:
    data = made_up_study.report_data(tree)
    found = claims(Shared(data))
    assert sorted(found) == sorted(c.claim_id for p in data.papers for c in p.claims if c.value is not None)
    told = build(Shared(data))
    judged = answer(data).papers
    own_numbers = sum(paper.tally.measured + paper.tally.unmeasured for paper in judged)
    assert 0 < told["copied"] == told["count"] - own_numbers, "what the answer does not count is copied"
    own = found["made_up.6"]
    assert (own["paper"], own["claimed"], own["measured"]) == (
        "Made up 2001",
        "60.00 %",
        "37.5 % [24.2–53.0]",
    )
    assert (own["word"], own["grade"], own["evidence"]) == ("lower", "A", "this run")
    assert own["left"] == "10.0 % [4.0–23.1]"
    assert {row["grade"] for row in found.values() if row["word"] == "not measured"} == {"none"}


def test_a_hampered_attack_and_the_setting_stand_in_the_list(tree: made_up_study.Tree) -> None:
    data = made_up_study.report_data(tree)
    rows = {row.claim_id: row for row in data.verdicts.itertuples()}
    assert {row["mark"] for row in claims(Shared(data)).values()} == {""}
    row = rows["made_up.6"]
    measured = f"{row.setting} {row.attack} {row.parameters}"
    flag = {
        "model": row.model,
        "gate": "zero_gradients",
        "raised": True,
        "evidence": "None.",
        "rows": measured,
    }
    flagged = dataclasses.replace(data, flags=made_up_study.frame("red_flags", [flag]))
    found = claims(Shared(flagged))
    assert found["made_up.6"]["mark"] == HAMPERED
    assert found["made_up.6"]["setting"] == "white-box"
    assert {row["setting"] for row in found.values() if row["attack"] == "no attack"} == {""}
    assert sum(bool(row["mark"]) for row in found.values()) < len(found) / 2


@needs("sections/reference_runs")
def test_of_two_measurements_the_better_grade_stands_in_front_and_this_run_of_equals(
    tree: made_up_study.Tree,
) -> None:
    from test_reference_runs import large, with_runs

    data = made_up_study.report_data(tree)
    found = claims(Shared(data))
    own = found["made_up.6"]
    with_large = claims(Shared(with_runs(data, large())))
    assert with_large["made_up.6"] == own, "the reference run has grade B of it"
    better = {name for name, row in with_large.items() if row["evidence"] == "Large digits, budget paper"}
    assert better, "the test needs a claim of which the reference run says more"
    assert better == {name for name in better if found[name]["grade"] > with_large[name]["grade"]}


def test_words_and_filters_choose_and_the_address_keeps_it(open_page: Open) -> None:
    page = open_page(unfolded=False)
    rows = page.locator("#claims-table tbody tr")
    rows.first.wait_for()
    page.get_by_label("Search").fill("pgd softmax")
    until(page, "location.hash.includes('q=pgd+softmax')")
    texts = rows.all_inner_texts()
    assert texts
    assert all("PGD" in text and "Softmax" in text for text in texts)
    page.get_by_label("Verdict").select_option("not measured")
    page.wait_for_url("**word=not+measured**")
    page.get_by_label("Search").fill("")
    page.locator("#finder [name=paper]").select_option("Invented other 2002")
    page.wait_for_url("**paper=Invented**")
    chosen = page.url.split("#")[1]
    number = page.evaluate(COUNT)
    assert all("Invented other 2002" in text and "not measured" in text for text in rows.all_inner_texts())
    page.go_back()
    assert page.locator("#finder [name=paper]").input_value() == ""
    page.get_by_role("button", name="Clear").click()
    until(page, "location.hash === '#claims'")
    assert page.get_by_label("Verdict").input_value() == ""
    again = open_page(fragment=f"#{chosen}", unfolded=False)
    again.locator("#claims-table tbody tr").first.wait_for()
    assert again.evaluate(COUNT) == number
    assert again.get_by_label("Verdict").input_value() == "not measured"
    assert again.locator("#found-claims").inner_text().startswith(f"{number} of ")


@needs("attacks/fgsm")
def test_a_search_takes_a_parameter_however_it_is_written(open_page: Open) -> None:
    page = open_page(fragment="#claims?q=fgsm ε = 0.3", unfolded=False)
    page.locator("#claims-table tbody tr").first.wait_for()
    told = page.locator("#found-claims")
    found, of, every, *_ = told.inner_text().split()
    assert (of, 0 < int(found) < int(every)) == ("of", True)
    for query in ("FGSM, ε=0.3", "fgsm epsilon = 0.3", "ε=0.3 fgsm"):
        page.get_by_label("Search").fill("nowhere")
        expect(told).to_have_text(re.compile("^0 of"))
        page.get_by_label("Search").fill(query)
        expect(told).to_have_text(re.compile(f"^{found} of"))


@needs("sections/paper_tables")
def test_what_was_searched_for_stays_until_it_is_cleared(open_page: Open) -> None:
    """A link to the list keeps the words; an address that names others closes an open card, and shows them."""
    page = open_page(fragment="#claims?q=pgd", unfolded=False)
    page.locator("#claims-table tbody tr").first.wait_for()
    page.locator("nav a[href='#claims']").click()
    assert page.get_by_label("Search").input_value() == "pgd"
    assert page.url.endswith("#claims?q=pgd")
    page.locator("#claims-table td.figures a").first.click()
    page.locator("dialog .card").wait_for()
    # The first button copies the first command, and says whose it is.
    copy = page.locator("#panel-copy button").inner_text()
    headings = page.locator("dialog .card h4").all_inner_texts()
    assert copy.removeprefix("Copy command: ") in headings
    page.evaluate("location.hash = '#claims?q=fgsm'")
    until(page, "!document.querySelector('dialog').open")
    until(page, "document.querySelector('#finder [name=q]').value === 'fgsm'")
    rows = page.locator("#claims-table tbody tr")
    assert all("FGSM" in text for text in rows.all_inner_texts())


def test_a_click_sorts_by_number_and_another_turns_it(open_page: Open) -> None:
    page = open_page(unfolded=False)
    page.locator("#more-claims").click()
    heading = page.locator("[data-column=claimed]")
    heading.locator("button").focus()
    for key, order in (("Enter", "ascending"), ("Space", "descending")):
        page.keyboard.press(key)
        until(page, "(o) => document.querySelector('[aria-sort]')?.ariaSort === o", order)
        shown = page.locator("#claims-table tbody tr td:nth-child(2)").all_inner_texts()
        values = [float(text.split()[0]) for text in shown if text.endswith(" %") and text[0].isdigit()]
        assert len(values) > 10
        assert values == sorted(values, reverse=order == "descending")


@needs("sections/paper_tables")
def test_a_row_leads_to_its_cell_and_its_card(open_page: Open) -> None:
    page = open_page(fragment="#claims?q=table 1 ours fgsm", unfolded=False)
    row = page.locator("#claims-table tbody tr", has=page.locator("a[href='#cell-made_up.6']"))
    row.locator("td a").click()
    assert "15 of 40 images" in page.locator("dialog .card").inner_text()
    page.go_back()
    row.locator("th a").click()
    page.locator("[id='cell-made_up.6'].pointed").wait_for()
    expect(page.locator("[id='cell-made_up.6']")).to_be_visible()
