"""How large the page may be: opened, it is small whatever the study, and what is folded costs nothing until it is built."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import planned_study
import pytest
from playwright.sync_api import Page
from tests.ours import needs
from tests.unit.study.test_studies import PAPER

from reproof.report import render

Open = Callable[..., Page]
BYTES = 3_000_000
ELEMENTS = 15_000
SCREENS = 12
PAGES = 40
SHARE = 0.15
"""So much of the time that it takes to build what the page carries may it take to open it."""
BUILT = """
async () => {
  const { pool, cards } = await unpack('cards');
  const started = performance.now();
  const built = document.createElement('div');
  built.innerHTML = Object.values(await unpack('blocks')).join('');
  const some = Object.values(cards).filter((_, place) => place % 8 === 0);
  built.append(...some.map((card) => cardElement(expanded(pool, card))));
  document.body.append(built);
  document.body.offsetHeight;
  return performance.getEntriesByType('navigation')[0].loadEventEnd / (performance.now() - started);
}
"""
"""Of the cards one in eight: so it takes less than all of it would."""


@needs("sections/claim_finder", "sections/paper_tables")
@pytest.mark.parametrize(
    "study", [pytest.param("", marks=pytest.mark.release), *PAPER], ids=["digits", "paper"]
)
def test_the_page_of_a_whole_study_stays_light(study: str, tmp_path: Path, open_page: Open) -> None:
    """The default study's, and that of paper.yaml: whatever the former has, it has several times."""
    path = tmp_path / "page.html"
    path.write_text(render(planned_study.report_data(study)), encoding="utf-8")
    assert path.stat().st_size <= BYTES
    page = open_page(path, unfolded=False)
    page.locator("#claims-table tbody tr").first.wait_for()
    assert page.evaluate("document.querySelectorAll('*').length") <= ELEMENTS
    assert page.evaluate("document.documentElement.scrollHeight") <= SCREENS * 900
    if study in PAPER or not PAPER:
        printed = page.pdf(prefer_css_page_size=True)
        assert 10 < max(int(count) for count in re.findall(rb"/Count (\d+)", printed)) < PAGES
    for width in (768, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Opened, it takes a fraction of the time that it takes to build what it carries folded up.
    assert page.evaluate(BUILT) <= SHARE
