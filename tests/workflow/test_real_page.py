"""The page of a study that was really run, in a real browser."""

from __future__ import annotations

import csv
import re

from playwright.sync_api import Browser
from project import Project
from tests import unfolded
from tests.browsers import UNFOLD, quiet

from reproof.claims import paper as claims_paper


def test_page_of_a_run_leads_from_every_number_to_its_origin(finished: Project, browser: Browser) -> None:
    with (finished.path / "results/tiny/tables/measurements.csv").open(newline="") as file:
        clean = [
            row for row in csv.DictReader(file) if (row["attack"], row["metric"]) == ("none", "accuracy")
        ]
    measured = {row["model"]: row for row in clean}
    html = unfolded.read(finished.path / "report/tiny.html")
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(re.findall(r'\bid="([^"]+)"', html))
    with quiet(browser) as opened:
        page = opened(finished.path / "report/tiny.html")
        page.evaluate(UNFOLD)
        row = page.locator("#run tbody tr", has_text="Centred").first
        assert "width 0.0625" in row.inner_text(), "a narrow network must not pass for the paper's"
        number = row.locator("a[href^='#card-']").first
        assert number.inner_text().startswith(f"{100 * float(measured['centred']['value']):.1f}")
        number.click()
        card = page.locator("dialog[open]")
        text = card.inner_text()
        assert f"{measured['centred']['correct']} of {measured['centred']['total']} images" in text
        assert "results/tiny/outcomes/centred/seed0/white_box.parquet" in text
        assert "snakemake --cores all --force results/tiny/outcomes/centred/seed0/" in text
        for width in (1400, 390):
            narrow = opened(finished.path / "report/tiny.html", viewport={"width": width, "height": 800})
            assert narrow.evaluate("document.documentElement.scrollWidth") <= width
        dark = opened(finished.path / "report/tiny.html", color_scheme="dark")
        assert dark.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"


CELLS = """
() => Object.fromEntries([...document.querySelectorAll('[id^="cell-"]')].map((cell) =>
  [cell.id.slice(5), cell.textContent.replace(/\\s+/g, ' ').trim()]))
"""


def test_every_claim_of_every_paper_stands_on_the_page_with_its_verdict(
    finished: Project, browser: Browser
) -> None:
    """Nothing missing, and nothing judged that was measured on another data set than the papers'."""
    with (finished.path / "results/tiny/tables/verdicts.csv").open(newline="") as file:
        verdicts = {row["claim_id"]: row["verdict"] for row in csv.DictReader(file)}
    with (finished.path / "results/tiny/tables/statements.csv").open(newline="") as file:
        statements = list(csv.DictReader(file))
    papers = claims_paper.papers()
    with quiet(browser) as opened:
        page = opened(finished.path / "report/tiny.html")
        page.evaluate(UNFOLD)
        cells = page.evaluate(CELLS)
        text = page.evaluate("document.body.textContent")
    assert set(cells) == {claim.claim_id for paper in papers for claim in paper.claims}
    for paper in papers:
        assert paper.title in text
        for claim in paper.claims:
            assert claim.printed in cells[claim.claim_id], claim.claim_id
            if claim.value is not None:
                assert verdicts[claim.claim_id] in cells[claim.claim_id], claim.claim_id
        for statement in paper.statements:
            assert " ".join(statement.words.split()) in " ".join(text.split()), statement.key
    assert set(verdicts.values()) == {"not comparable", "not measured"}
    assert len(statements) == sum(len(paper.statements) for paper in papers)
    assert "o verdict was recorded" not in text
