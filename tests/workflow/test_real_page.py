"""The page of a study that was really run, in a real browser."""

from __future__ import annotations

import csv

from playwright.sync_api import Browser
from project import Project
from tests.browsers import quiet

DANGLING = """
() => [...document.querySelectorAll('a[href^="#"]')]
  .filter((link) => !document.getElementById(decodeURIComponent(link.getAttribute('href').slice(1))))
  .map((link) => link.outerHTML)
"""


def test_page_of_a_run_leads_from_every_number_to_its_origin(finished: Project, browser: Browser) -> None:
    with (finished.path / "results/tiny/tables/measurements.csv").open(newline="") as file:
        measured = {row["model"]: row for row in csv.DictReader(file) if row["attack"] == "none"}
    with quiet(browser) as opened:
        page = opened(finished.path / "report/tiny.html")
        assert page.evaluate(DANGLING) == []
        row = page.locator("#run tbody tr", has_text="Centred").first
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
