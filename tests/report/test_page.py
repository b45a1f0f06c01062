"""The page in a real browser: what it shows, that everything leads somewhere, that everybody can use it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import made_up_study
import pytest
from made_up_study import frame, rows_of
from playwright.sync_api import Browser, Page, expect
from tests.browsers import until
from tests.ours import needs, papers_here
from tests.unfolded import unpacked

from reproof import registry
from reproof.claims import vocabulary as claims_vocabulary
from reproof.claims.independent import read_independent
from reproof.errors import ArtifactError
from reproof.report import DrawnFigure, ReportData, TrailFile, render
from reproof.report.contents import empty

Open = Callable[..., Page]
whole_tables = needs("sections/paper_tables", "sections/defenses_against_attacks")

CONTRAST = """
() => {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  const parse = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => {
      v /= 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const background = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility()) continue;
    if (element.closest('.unseen, script, style, desc, title')) continue;
    const style = getComputedStyle(element);
    const under = background(element);
    const colour = over(parse(element.closest('svg') ? style.fill : style.color), under);
    const [a, b] = [light(colour), light(under)].sort((x, y) => y - x);
    const heat = Boolean(element.closest('td.heat'));
    found.push({ratio: (a + 0.05) / (b + 0.05), text: element.textContent.trim().slice(0, 40), heat});
  }
  return {found, paper: light(background(document.body))};
}
"""

FOCUSABLE = """
() => [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')]
  .filter((e) => e.checkVisibility())
"""

CARDS = """
async () => {
  const found = [];
  for (const link of document.querySelectorAll('a.number')) {
    const id = decodeURIComponent(link.hash.slice(1));
    const { pool, cards } = await unpack('cards');
    const card = cardElement(expanded(pool, cards[id]));
    found.push({
      ordinal: link.dataset.card,
      terms: [...card.querySelectorAll('dt')].map((e) => e.textContent),
      head: card.querySelector('h3').textContent,
      copies: card.querySelectorAll('button.copy').length,
      value: link.querySelector('.value')?.textContent,
      text: card.textContent,
      claimed: link.querySelector('.claimed')?.textContent,
    });
  }
  return found;
}
"""


@needs("sections/paper_tables", "sections/defenses_against_attacks", "defenses/prototype_conformity")
def test_tells_hand_computed_numbers(open_page: Open) -> None:
    page = open_page()
    table = page.locator("#table-made_up-table-1")
    # 15 of 40 right: 37.5 %; Wilson with z = 1.96: centre 0.3860, reach 0.1437.
    cell = table.locator("tbody").nth(0).locator("tr").nth(2).locator("td").nth(1)
    assert cell.locator(".claimed").inner_text() == "60.00"
    assert cell.locator(".value").inner_text() == "37.5"
    assert cell.locator(".interval").inner_text() == "[24.2–53.0]"
    assert squeezed(cell.locator(".verdict").inner_text()) == "▼ lower grade A"
    # 4 of 40 in the adaptive attack, which is also the worst case per image: 10 %, Wilson [4.0, 23.1].
    matrix = page.locator('[id="matrix-digits-ε=0.3"]')
    row = matrix.locator("tbody tr", has_text="prototype conformity, clean images").locator("td")
    assert row.nth(0).inner_text().split() == ["95.0", "[83.5–98.6]"]
    assert row.last.inner_text().split() == ["10.0", "[4.0–23.1]"]
    free = (
        page.locator("#matrix-digits-free tbody tr", has_text="undefended, clean images, CNN-6")
        .locator("td")
        .nth(1)
    )
    assert free.inner_text().split() == ["0.0", "[0.0–8.8]", "L2", "2.5"]
    counts = page.locator("#paper-made_up ul.counts li").all_inner_texts()
    assert [re.sub(r"\s+", " ", text).strip() for text in counts] == [
        "✓ reproduced grade A 3",
        "▼ lower grade A 1",
        "▲ higher grade A 1",
        "◐ undecided grade A 1",
        "✓ reproduced grade B 1",
        "▼ lower grade B 1",
        "▲ higher grade B 1",
        "◐ undecided grade B 2",
        "≠ not comparable grade C 9",
        "○ not measured 3",
    ]
    told = re.sub(r"\s+", " ", page.locator("#paper-made_up").inner_text())
    assert (
        "27 claims, 23 of them the authors’ own; 20 of 23 measured in this study; no statements; "
        "1 contradiction; 1 interpretation." in told
    )
    assert (
        "Grade B, at 3.4 % of the paper’s epochs (2 of them): 1 stable, 1 not stable, 1 not tried at half"
        in told
    )
    assert "Not counted: 4 numbers copied from the first paper." in told
    assert "Cells without a number: 4 with a dash." in told


@whole_tables
def test_lays_tables_out_as_printed(open_page: Open) -> None:
    page = open_page()
    table = page.locator("#table-made_up-table-1")
    assert table.locator("thead tr").nth(0).locator("th").all_inner_texts()[1:] == [
        "No Attack",
        "White-Box",
        "Black-Box",
        "Strongest",
    ]
    assert table.locator("thead tr").nth(1).locator("th").all_inner_texts() == ["FGSM", "PGD", "C&W", "PGD"]
    assert [text.split("\n")[0] for text in table.locator("tr.group").all_inner_texts()] == [
        "Digits (ε = 0.3, c = 10)",
        "MNIST (ε = 0.3, c = 10)",
    ]
    assert table.locator("tbody th[scope=row]").all_inner_texts() == ["Softmax", "Ours"] * 2
    assert table.locator("td.dash").all_inner_texts() == ["-\nthe paper prints a dash"] * 2
    # A column that only some rows have stands where those rows print it; what is not printed stays empty.
    second = page.locator("#table-made_up-table-2")
    assert second.locator("thead th").all_inner_texts()[1:] == [
        "Baseline",
        "Other [17]",
        "Ours_f*",
        "Ours_p*",
        "Strongest",
    ]
    assert second.locator("td.empty:not(.strongest)").count() == 2 + 3
    # What all cells of a group lack is said once, at its head; what one cell lacks is said in it.
    assert second.locator(".reason", has_text="DeepFool was not run").count() == 0
    assert second.locator("td", has_text="80.2").locator(".reason").inner_text() == (
        "PGD was not run in the white-box setting"
    )
    assert "DeepFool was not run in the white-box setting" in second.locator("tr.group").nth(1).inner_text()
    assert second.locator("td", has_text="copied from the first paper").count() == 4


@pytest.fixture(scope="session")
def real_papers(tree: made_up_study.Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a study that measured nothing of the real papers."""
    data = dataclasses.replace(
        made_up_study.report_data(tree),
        papers=papers_here(),
        verdicts=empty("verdicts"),
        statements=empty("statements"),
        independent=read_independent(),
    )
    path = tmp_path_factory.mktemp("papers") / "papers.html"
    path.write_text(render(data), encoding="utf-8")
    return path


@whole_tables
def test_real_papers_are_shown_whole(real_papers: Path, open_page: Open) -> None:
    page = open_page(real_papers)
    papers = papers_here()
    every = [claim for paper in papers for claim in paper.claims]
    claimed = [claim for claim in every if claim.value is not None]
    assert page.locator(".claim").count() == len(claimed) > 1000
    assert page.locator(".claim.v-not-measured").count() == len(claimed)
    assert page.locator(".claim.copied-cell").count() == sum(claim.copied for claim in claimed)
    assert page.locator("main [id^=cell-]").count() == len(every)
    shown = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('table.paper, ul.prose')].map((t) => [t.id, [
             t.querySelectorAll('tbody tr:not(.group), li').length,
             t.rows ? Math.max(...[...t.rows].map((r) => r.querySelectorAll('td').length)) : 1,
             t.querySelectorAll('[id^=cell-]').length]]))"""
    )
    stated = {
        f"table-{paper.key}-{name.lower().replace(' ', '-')}": [table.rows, table.columns, table.cells]
        for paper in papers
        for name, table in paper.tables.items()
    }
    assert shown == stated
    for paper in papers:
        assert "_" not in paper.short_name
        for name in paper.tables:
            own = [claim for claim in paper.claims if claim.table == name]
            table = page.locator(f"[id='table-{paper.key}-{name.lower().replace(' ', '-')}']")
            printed = [text.split("|")[0] for text in table.evaluate(PRINTED)]
            assert Counter(printed) == Counter(claim.printed for claim in own), (paper.key, name)


PRINTED = """
(t) => [...t.querySelectorAll('[id^=cell-]')].map((cell) => {
  const text = (cell.querySelector('.claimed') ?? cell.firstChild).textContent.trim();
  return t.tagName === 'UL' ? text.replace(/(?<=\\d\\)?) (%|points|images|min|h|of 255)$/, '') : text;
})
"""


def test_a_page_of_all_claims_stays_small(real_papers: Path) -> None:
    html = real_papers.read_text(encoding="utf-8")
    number = sum(len(paper.claims) for paper in papers_here())
    # Cell and card together; what a table's unmeasured claims share stands once.
    assert len(html.encode()) / number < 2_000
    assert html.count("no verdict was recorded") + html.count("No verdict was recorded") < number / 4


def test_no_key_stands_where_there_are_words(open_page: Open, page_file: Path, real_papers: Path) -> None:
    vocabulary = {
        *(key for family in registry.FAMILIES for key in registry.keys(family)),
        *claims_vocabulary.TRAININGS,
        *claims_vocabulary.SETTINGS,
        *claims_vocabulary.METRICS,
        *(key for paper in papers_here() for family in registry.FAMILIES for key in paper.terms.of(family)),
        *(paper.key for paper in papers_here()),
        "made_up",
        "invented_other",
    }
    keys = [key for key in vocabulary if re.search(r"[_\d]", key)] + ["pgd", "fgsm", "mnist"]
    form = re.compile(
        rf"(?<![\w./])({'|'.join(sorted(map(re.escape, keys), key=len, reverse=True))})(?![\w/])"
    )
    for path in (page_file, real_papers):
        texts = open_page(path).evaluate(
            """() => {
              const found = [];
              const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
              for (let node = walker.nextNode(); node; node = walker.nextNode()) {
                if (!node.parentElement.closest('code, pre, script, style, svg, .brand, .kicker')) {
                  found.push(node.textContent);
                }
              }
              return found;
            }"""
        )
        assert len(texts) > 1000
        assert sorted({text.strip() for text in texts if form.search(text)}) == []


@whole_tables
def test_every_number_has_its_card(open_page: Open) -> None:
    page = open_page()
    assert page.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size"
    ) == page.evaluate("document.querySelectorAll('[id]').length")
    links = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map((a) => a.hash.slice(1))")
    dangling = page.evaluate(
        """async (ids) => {
             const { cards, records } = await unpack('cards');
             const there = (id) => document.getElementById(id) || id in cards || id in records;
             return ids.map(decodeURIComponent).filter((id) => !there(id));
           }""",
        links,
    )
    assert dangling == []
    assert page.locator("a.number").count() > 150
    bare = page.evaluate(
        """() => [...document.querySelectorAll('td.heat, .claim, .lost, .value, .interval')]
             .filter((e) => !(e.closest('a.number') || e.querySelector('a.number')))
             .map((e) => e.textContent)"""
    )
    assert bare == []
    cards = page.evaluate(CARDS)
    for card in cards:
        assert {"file", "command", "commit", "device", "took", "versions"} <= set(card["terms"]), card["head"]
        assert card["head"].endswith(f"card {card['ordinal']}")
        assert (card["claimed"] or "") in card["text"], card["head"]
        assert card["copies"] == card["terms"].count("command") > 0, card["head"]
        if card["value"]:
            assert {"seed"} <= set(card["terms"])
            assert card["value"].removeprefix("L2 ") in card["text"], card["head"]


@whole_tables
def test_card_holds_what_is_behind_a_number(open_page: Open) -> None:
    page = open_page()
    page.locator("#table-made_up-table-1 td.v-lower a.number").first.click()
    text = re.sub(r"\s+", " ", page.locator("dialog .card").inner_text())
    for part in (
        "claimed 60.00",
        "measured by its authors",
        "accuracy 37.5 %",
        "[24.2–53.0] %",
        "15 of 40 images",
        "results/made_up/outcomes/prototype_conformity/seed0/white_box.parquet",
        "snakemake --cores all --force results/made_up/outcomes/prototype_conformity/seed0/white_box.parquet",
        "0123456789ab (clean tree)",
        "seed 0",
        "CPU: a made-up processor, 2 threads",
        "took 3.0 s",
        "python 3.11.2, torch 2.14.1",
        "data → model → adversarial → outcome → table",
        "verdict lower, grade A",
        "margin ± 2.0 points",
        "differs, A images: 40 of 10,000",
        "strongest, white-box 37.5 % [24.2–53.0]",
        "strongest, all settings 10.0 % [4.0–23.1]",
    ):
        assert part in text
    page.locator("dialog .chain a", has_text="adversarial").click()
    record = re.sub(r"\s+", " ", page.locator("dialog .card.record").inner_text())
    assert "results/made_up/adversarial/prototype_conformity/seed0/papers.safetensors" in record
    assert made_up_study.COMMIT in record
    page.locator("#panel-back").click()
    assert "15 of 40 images" in page.locator("dialog .card:not(.record)").inner_text()
    page.locator("#panel-close").click()
    expect(page.locator("dialog")).not_to_be_visible()
    page.locator("#figures-latent-space figcaption a.number").first.click()
    assert "tree had local changes" in page.locator("dialog .card").inner_text()


@whole_tables
def test_a_card_names_the_source_of_the_paper_where_two_leave_as_much(
    tree: made_up_study.Tree, open_page: Open, tmp_path: Path
) -> None:
    data = made_up_study.report_data(tree)
    home = "prototype_conformity"
    twins = [
        {**row, "source": "undefended"}
        for row in rows_of(data.summary)
        if (row["model"], row["setting"]) == (home, "black_box")
    ]
    other = "results/made_up/outcomes/prototype_conformity/seed0/black_box_twin.parquet"
    trails = [
        dataclasses.replace(trail, source="undefended", files=(TrailFile("outcome", other),))
        for trail in data.trails
        if (trail.model, trail.setting) == (home, "black_box")
    ]
    assert twins
    assert trails
    measurements = [*({**row, "seed": 0} for row in twins), *rows_of(data.measurements)]
    data = dataclasses.replace(
        data,
        summary=frame("summary", [*twins, *rows_of(data.summary)]),
        measurements=frame("measurements", measurements),
        trails=[*trails, *data.trails],
    )
    path = tmp_path / "twins.html"
    path.write_text(render(data), encoding="utf-8")
    page = open_page(path)
    page.locator("[id='cell-made_up.9'] a").click()
    card = page.locator("dialog .card").inner_text()
    assert "prototype_conformity/seed0/black_box.parquet" in card
    assert other not in card


@whole_tables
def test_several_seeds_stand_apart_on_a_card(
    tree: made_up_study.Tree, open_page: Open, tmp_path: Path
) -> None:
    one = made_up_study.report_data(tree)

    measured = rows_of(one.measurements)
    second = {"seed": 1, "correct": 11, "value": 0.275}
    twice = [*measured, *({**row, **second} for row in measured if row["model"] == "undefended")]
    trails = [*one.trails, *(dataclasses.replace(trail, seed=1) for trail in one.trails)]
    summary = [
        {**row, "seeds": 2, "value_min": 0.1, "value_max": 0.3} if row["model"] == "undefended" else row
        for row in rows_of(one.summary)
    ]
    data = dataclasses.replace(
        one,
        measurements=frame("measurements", twice),
        trails=trails,
        summary=frame("summary", summary),
        seeds=(0, 1),
    )
    path = tmp_path / "seeds.html"
    path.write_text(render(data), encoding="utf-8")
    page = open_page(path)
    page.locator('[id="matrix-digits-ε=0.3"] tbody tr').first.locator("a.number").nth(1).click()
    text = re.sub(r"\s+", " ", page.locator("dialog .card").inner_text())
    assert "2 seeds, from 10.0 to 30.0 %" in text
    assert re.search(r"Seed 0 .*correct 2 of 40.* Seed 1 .*correct 11 of 40", text)


@whole_tables
def test_keyboard_reaches_everything_in_order(open_page: Open) -> None:
    page = open_page()
    expected = page.evaluate(f"() => ({FOCUSABLE})().map((e) => e.outerHTML.slice(0, 160))")
    assert sum('class="number' in text for text in expected) > 150
    assert sum('class="sort"' in text for text in expected) > 20
    page.evaluate(
        "() => { window.reached = [];"
        " addEventListener('focusin', (event) => reached.push(event.target.outerHTML.slice(0, 160))); }"
    )
    for _ in range(len(expected)):
        page.keyboard.press("Tab")
    assert page.evaluate("() => reached") == expected


def test_enter_opens_a_card_and_escape_returns(open_page: Open) -> None:
    page = open_page()
    page.locator("td.heat a.number").nth(3).focus()
    before = page.evaluate("document.activeElement.hash")
    page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    dialog.wait_for()
    assert dialog.evaluate("(d) => d.contains(document.activeElement)")
    assert dialog.get_attribute("aria-label") == page.locator("dialog h3").inner_text()
    for _ in range(40):
        page.keyboard.press("Tab")
        focus = "document.activeElement"
        assert page.evaluate(f"{focus} === document.body || {focus}.closest('dialog') !== null")
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    until(page, "(hash) => document.activeElement.hash === hash", before)


@needs("sections/paper_tables", "sections/defenses_against_attacks", "defenses/prototype_conformity")
def test_keyboard_sorts_a_matrix(open_page: Open) -> None:
    page = open_page()
    matrix = page.locator('[id="matrix-digits-ε=0.3"]')
    head = matrix.locator("th", has_text="Worst case per image")
    head.locator("button").focus()
    page.keyboard.press("Enter")

    def last() -> list[float]:
        return [float(text.split()[0]) for text in matrix.locator("tbody td:last-child").all_inner_texts()]

    assert head.get_attribute("aria-sort") == "descending"
    assert last() == [47.5, 35.0, 10.0, 2.5, 0.0]
    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "ascending"
    assert last() == [0.0, 2.5, 10.0, 35.0, 47.5]
    adaptive = matrix.locator("th[data-sort]", has_text="PGD adaptive")
    adaptive.locator("button").click()
    # One model has an adaptive attack; those without go last, and only one head says that it sorts.
    assert "prototype conformity" in matrix.locator("tbody tr").first.inner_text()
    expect(matrix.locator("[aria-sort]")).to_have_count(1)


@needs("sections/paper_tables", "sections/statements", "sections/figures", "defenses/prototype_conformity")
def test_works_without_script(open_page: Open) -> None:
    """The papers' tables and statements are there in short, a figure of each kind, and no word of a script's making."""
    page = open_page(java_script_enabled=False)
    page.locator("#tables-made_up > summary").click()
    page.locator("[id='fold-table-made_up-table-1'] > summary").click()
    cell = page.locator("[id='cell-made_up.6']")
    assert cell.inner_text() == "60.00 → 37.5 ▼ lower A"
    expect(cell).to_be_visible()
    every = [claim for paper in made_up_study.papers() for claim in paper.claims]
    assert page.locator("td[id^=cell-]").count() == len(every)
    assert page.locator("button.sort").count() == 0
    expect(page.locator("#finder")).not_to_be_visible()
    expect(page.locator("dialog")).not_to_be_visible()
    assert page.locator("#statements ul.brief li").count() == 4
    kinds = page.locator("details.figures").count()
    assert page.locator("details.figures svg").count() == kinds > 2
    assert page.locator("article.card").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400


@needs("sections/claim_finder", "sections/claims_overview")
def test_a_card_s_address_goes_back_and_forth(open_page: Open) -> None:
    page = open_page(fragment="#fell", unfolded=False)
    page.locator("#claims-table td.figures a").first.click()
    card = page.locator("dialog .card h3")
    first = card.inner_text()
    page.locator("dialog .chain a").first.click()
    until(page, "document.querySelector('dialog .card.record')")
    page.go_back()
    until(page, "!document.querySelector('dialog .card.record')")
    assert card.inner_text() == first
    page.go_back()
    expect(page.locator("dialog")).not_to_be_visible()
    assert page.url.endswith("#fell")
    page.go_forward()
    assert card.inner_text() == first
    page.keyboard.press("Escape")
    page.wait_for_url("**#fell")
    expect(page.locator("dialog")).not_to_be_visible()
    page.locator("#claims-table td.figures a").first.click()
    assert card.inner_text() == first, "closed by hand, it opens again"


@needs("sections/claim_finder", "sections/paper_tables")
def test_a_command_is_copied_from_a_card(open_page: Open) -> None:
    page = open_page(unfolded=False, permissions=["clipboard-read", "clipboard-write"])
    page.locator("#claims-table td.figures a").first.click()
    page.locator("#panel-copy button").click()
    until(page, "document.getElementById('panel-said').textContent")
    shown = page.locator("dialog dd code", has_text="snakemake").first.inner_text()
    assert page.evaluate("navigator.clipboard.readText()") == shown


def test_an_address_with_a_card_opens_it(open_page: Open) -> None:
    page = open_page(fragment="#card-claim-made_up.6")
    assert "claimed" in page.locator("dialog .card").inner_text()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).not_to_be_visible()


@whole_tables
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone(open_page: Open, scheme: str) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.evaluate("window.scrollTo(500, 3000)")
    assert page.evaluate("window.scrollX") == 0
    region = page.locator(".scroll", has=page.locator('[id="matrix-digits-ε=0.3"]'))
    assert region.evaluate("(e) => e.scrollWidth > e.clientWidth + 200")
    region.evaluate("(e) => e.scrollTo(200, 0)")
    first = region.locator("tbody th").first.bounding_box()
    edge = region.bounding_box()
    assert first is not None
    assert edge is not None
    assert abs(first["x"] - edge["x"]) <= 1
    assert first["width"] <= edge["width"] / 4, "names leave the numbers most of the room"
    # The contents fade out where more of them lies, and the last line can be scrolled out of the fade.
    contents = page.locator("body > nav")
    assert contents.evaluate("(e) => e.scrollHeight > e.clientHeight")
    faded = contents.evaluate(
        "(e) => { e.scrollTo(0, e.scrollHeight); const last = [...e.querySelectorAll('a')].at(-1);"
        " return [getComputedStyle(e).maskImage, e.getBoundingClientRect().bottom - last.getBoundingClientRect().bottom]; }"
    )
    assert "gradient" in faded[0]
    assert faded[1] >= 40
    page.locator("td.claim a.number").first.click()
    panel = page.locator("dialog[open]").bounding_box()
    assert panel is not None
    assert panel["x"] >= 0
    assert panel["width"] <= 390
    assert page.locator(".panel-body").evaluate("(e) => e.scrollWidth <= e.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(open_page: Open, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    result = page.evaluate(CONTRAST)
    faint = [(item["text"], round(item["ratio"], 2)) for item in result["found"] if item["ratio"] < 4.5]
    assert faint == []
    assert sum(item["heat"] for item in result["found"]) > 100
    assert (result["paper"] > 0.9) if scheme == "light" else (result["paper"] < 0.05)


def test_card_text_stands_out_in_the_dark(open_page: Open) -> None:
    page = open_page(color_scheme="dark")
    page.locator("td.heat a.number", has_text="stale").first.click()
    page.locator("dialog .card").wait_for()
    result = page.evaluate(CONTRAST)
    shown = [item for item in result["found"] if "Stale" in item["text"] or item["text"] == "commit"]
    assert len(shown) >= 2
    assert all(item["ratio"] >= 4.5 for item in result["found"])


@whole_tables
def test_paper_shows_no_cards(open_page: Open) -> None:
    page = open_page()
    page.emulate_media(media="print")
    assert page.locator("article.card").count() == 0
    expect(page.locator("nav").first).not_to_be_visible()
    assert page.locator("td.heat").first.evaluate("(e) => getComputedStyle(e).printColorAdjust") == "exact"
    assert page.locator(".scroll").first.evaluate("(e) => getComputedStyle(e).overflowX") == "visible"


@needs(
    "sections/paper_tables",
    "sections/defenses_against_attacks",
    "sections/interpretations",
    "sections/figures",
)
def test_markup_in_texts_is_shown_not_run(open_page: Open) -> None:
    page = open_page()
    assert page.locator("table.grid tbody th", has_text=made_up_study.HOSTILE).count() >= 4
    assert page.locator("svg text", has_text=made_up_study.HOSTILE).count() >= 2
    assert page.locator("script:not([type='text/plain'])").count() == 1
    assert "<b>not bold</b>" in page.locator("#interpretations").inner_text()
    page.locator("#matrix tr", has_text=made_up_study.HOSTILE).locator("a.number").first.click()
    assert made_up_study.HOSTILE in page.locator("dialog h3").inner_text()


def test_policy_forbids_network_and_foreign_scripts(browser: Browser, page_file: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    answered: list[str] = []
    page.on("response", lambda response: answered.append(response.url))
    page.goto(page_file.as_uri())
    blocked = page.evaluate(
        """async () => {
             const seen = [];
             document.addEventListener('securitypolicyviolation', (e) => seen.push(e.effectiveDirective));
             const script = document.createElement('script');
             script.textContent = 'window.ran = true';
             document.body.append(script);
             const image = document.createElement('img');
             image.src = 'https://example.invalid/pixel.png';
             document.body.append(image);
             await fetch('https://example.invalid/').catch(() => {});
             await new Promise((done) => setTimeout(done, 100));
             return {seen, ran: window.ran === true};
           }"""
    )
    context.close()
    assert blocked["ran"] is False
    assert {"script-src-elem", "img-src", "connect-src"} <= set(blocked["seen"])
    assert answered == [page_file.as_uri()]


@whole_tables
def test_stale_files_are_marked(tree: made_up_study.Tree, html: str, open_page: Open) -> None:
    page = open_page()
    ((path, reason),) = made_up_study.STALE.items()
    assert f"{path}: {reason}" in page.locator(".stale-box").inner_text()
    rows = page.locator('[id="matrix-digits-ε=0.3"] tbody tr')
    marked = [text for text in rows.all_inner_texts() if "STALE" in text.upper()]
    assert len(marked) == 1
    assert marked[0].startswith("PGD training")
    fresh = render(made_up_study.report_data(tree))
    assert 'class="box stale-box"' not in fresh
    assert '<span class="stale">' not in fresh


@needs("sections/paper_tables", "sections/defenses_against_attacks", "sections/figures")
def test_structure_for_screen_readers(open_page: Open) -> None:
    page = open_page()
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").count() == 1
    assert page.evaluate(
        "[...document.querySelectorAll('table')].every((t) => t.caption && t.caption.textContent.trim())"
    )
    assert page.evaluate("[...document.querySelectorAll('th')].every((h) => h.scope)")
    assert page.evaluate(
        """[...document.querySelectorAll('[aria-labelledby]')].every((e) =>
             e.getAttribute('aria-labelledby').split(' ').every((id) => document.getElementById(id)))"""
    )
    assert page.evaluate(
        "[...document.querySelectorAll('svg.figure')].every((s) => s.getAttribute('role') === 'img')"
    )
    levels = page.evaluate(
        "[...document.querySelectorAll('main :is(h1,h2,h3,h4)')].map((h) => Number(h.tagName[1]))"
    )
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    # Every kind of verdict is told by a word, not by colour alone.
    words = {
        re.sub(r"[^A-Za-z ]", "", text).strip()
        for text in page.locator("table.paper td .verdict").all_text_contents()
    }
    graded = {
        f"{word} grade {grade}" for word in ("reproduced", "lower", "higher", "undecided") for grade in "AB"
    }
    assert words == {*graded, "not comparable grade C", "not measured"}


@whole_tables
def test_same_data_same_bytes_and_small(tree: made_up_study.Tree, html: str) -> None:
    again = render(made_up_study.report_data(tree, made_up_study.STALE))
    assert again == html
    assert len(html.encode()) < 600_000
    pack = unpacked(html, "cards")
    assert len(pack["cards"]) > 150
    # Model and history, outcomes and examples share a record, which stands once.
    assert len(pack["records"]) == len(
        {json.dumps(record, sort_keys=True) for record in tree.records.values()}
    )
    assert len(pack["records"]) < len(tree.records)
    assert len(pack["pool"]) == len({json.dumps(item) for item in pack["pool"]}), "nothing twice"


@whole_tables
def test_a_study_with_nothing_measured_still_has_a_page(open_page: Open, tmp_path: Path) -> None:
    data = ReportData(
        study="empty",
        title="Nothing yet",
        description="",
        settings={},
        data_set={},
        seeds=(),
        models=(),
        attacks=(),
        threats=(),
        summary=empty("summary"),
        measurements=empty("measurements"),
        verdicts=empty("verdicts"),
        papers=(),
        trails=(),
        records={},
    )
    path = tmp_path / "empty.html"
    path.write_text(render(data), encoding="utf-8")
    text = open_page(path).locator("main").inner_text()
    assert "No attack has been measured yet." in text
    assert "nothing says how the files behind this page were made" in text


@whole_tables
def test_missing_records_and_rows_are_told(tree: made_up_study.Tree, open_page: Open, tmp_path: Path) -> None:
    data = dataclasses.replace(made_up_study.report_data(tree), records={}, trails=())
    path = tmp_path / "bare.html"
    path.write_text(render(data), encoding="utf-8")
    page = open_page(path)
    page.locator("figcaption a.number").first.click()
    assert "nothing says how this file was made" in page.locator("dialog .card").inner_text()


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


@whole_tables
@needs("sections/claims_overview")
def test_overview_counts_what_the_authors_measured_themselves(open_page: Open) -> None:
    page = open_page()
    rows = [
        [squeezed(text) for text in row.locator("th, td").all_inner_texts()]
        for row in page.locator("#overview tbody tr").all()
    ]
    assert [" | ".join(row) for row in rows] == [
        "Made up 2001 | 27 | 23 | 3 | 1 | 1 | 1 | 5 | 1 | 9 | 3 | 0 of 0 | 0 | 0 | 1 | 1",
        "Invented other 2002 | 18 | 13 | 4 | 3 | 1 | 0 | 0 | 0 | 1 | 4 | 2 of 4 | 0 | 1 | 3 | 3",
        "All papers | 45 | 36 | 7 | 4 | 2 | 1 | 5 | 1 | 10 | 7 | 2 of 4 | 0 | 1 | 4 | 4",
    ]
    # The same, counted from the cells of the tables: those that are copied are no evidence.
    words = ("reproduced", "lower", "higher", "undecided")
    for key, row in zip(("made_up", "invented_other"), rows, strict=False):
        cells = page.locator(f"#tables-{key}")
        own = {
            (word, grade): cells.locator(
                f".claim.v-{word}:not(.copied-cell) > .verdict > .grade", has_text=re.compile(f"{grade}$")
            ).count()
            for word in words
            for grade in "AB"
        }
        assert [str(own[word, "A"]) for word in words] == row[3:7]
        assert str(sum(own[word, "B"] for word in words)) == row[7]
        for word, count in (("not-comparable", row[9]), ("not-measured", row[10])):
            assert str(cells.locator(f".claim.v-{word}:not(.copied-cell)").count()) == count
        assert int(row[1]) - cells.locator(".claim.copied-cell").count() == int(row[2])
        assert cells.locator(".claim").count() == int(row[1])
    told = squeezed(page.locator("#paper-invented_other").inner_text())
    assert "Not counted: 5 numbers copied from Made up 2001 (3) and Yu et al. [43] (2)." in told
    assert "1 with a dash, 1 lost" not in told
    assert "2 with a dash, 1 lost in the text that was read. 2 numbers stand in a place" in told


def cell(page: Page, number: int) -> str:
    """Return a cell of the second paper as it reads."""
    return squeezed(page.locator(f"[id='cell-invented_other.{number}']").inner_text())


@whole_tables
def test_numbers_are_in_the_unit_of_their_claim(open_page: Open) -> None:
    page = open_page()
    unseen = " claimed, measured "
    assert cell(page, 1).replace(unseen, " ").startswith("0.9500 → 0.950 [0.835–0.986] ✓ reproduced grade A")
    assert cell(page, 4).replace(unseen, " ").startswith("0.6000 → 0.375 [0.242–0.530] ▼ lower")
    texts = [cell(page, number).replace(unseen, " ") for number in range(10, 16)]
    assert texts == [
        "12 → 3 ▼ lower grade A",
        "7 ○ not measured no CIFAR-10 here",
        "1.52 → 3.10 percentage points ✓ reproduced grade A",
        "6:43m → 2 claimed 3, as ratios to the undefended network’s time ▼ lower grade A",
        "00:59h → 02:01 hours:minutes ≠ not comparable grade C",
        "-/- the paper prints a dash",
    ]
    assert "Accuracy in fractions of 1." in page.locator("#table-invented_other-table-i caption").inner_text()
    assert "Accuracy in percent." in page.locator("#table-made_up-table-1 caption").inner_text()
    mixed = page.locator("#table-invented_other-table-ii caption").inner_text()
    assert mixed.startswith(
        "Images on which no majority of the members agrees, where a cell says nothing else."
    )
    page.locator("[id='cell-invented_other.4'] a").click()
    card = squeezed(page.locator("dialog .card").inner_text())
    assert "accuracy 0.375" in card
    assert "[0.242–0.530]" in card
    assert "37.5" not in card


@whole_tables
def test_uncertain_and_copied_cells_are_marked_and_explained(open_page: Open) -> None:
    page = open_page()
    caption = squeezed(page.locator("#table-invented_other-table-i caption").inner_text())
    assert "likely (1 cell) Legible in the text that was read; its place is reconstructed" in caption
    assert "unsure (1 cell) Legible" in caption
    assert "lost (1 cell) Lost in the text that was read" in caption
    table = page.locator("#table-invented_other-table-i")
    assert table.locator("td .doubt").all_inner_texts() == ["likely", "unsure"]
    assert cell(page, 2).endswith("copied from Yu et al. [43] likely")
    assert cell(page, 5) == "? lost in the text that was read copied from Yu et al. [43]"
    assert cell(page, 3).endswith("copied from Made up 2001")
    assert table.locator("td.dash").inner_text().startswith("-")
    plain = page.locator("[id='cell-made_up.6']").evaluate("(e) => getComputedStyle(e).backgroundColor")
    copied = page.locator("[id='cell-invented_other.0']")
    assert copied.evaluate("(e) => getComputedStyle(e).backgroundColor") == "rgba(0, 0, 0, 0)" != plain
    page.locator("[id='cell-invented_other.5'] a").click()
    card = squeezed(page.locator("dialog .card").inner_text())
    assert "claimed ?" in card
    assert "lost Lost in the text that was read" in card
    assert made_up_study.NOTE in card
    page.keyboard.press("Escape")
    page.locator("[id='cell-invented_other.0'] a").click()
    card = squeezed(page.locator("dialog .card").inner_text())
    assert "copied from Made up 2001: no evidence of its own" in card
    assert "reproduced, grade A, not counted: the number is copied" in card
    page.keyboard.press("Escape")
    page.locator("[id='cell-invented_other.4'] a").click()
    card = squeezed(page.locator("dialog .card").inner_text())
    assert "unsure Legible in the text that was read; its place in the table is a guess." in card
    assert made_up_study.NOTE in card


@whole_tables
def test_a_heading_printed_twice_stands_twice_and_blanks_stay_blank(open_page: Open) -> None:
    page = open_page()
    table = page.locator("#table-invented_other-table-i")
    assert table.locator("tbody tr th").all_inner_texts() == [
        "No Attacks",
        *("FGSM", "ε = 0.3", "Strongest"),
        *("PGD", "ε = 0.3", "Strongest"),
        *("FGSM", "ε = 0.2", "Strongest"),
    ]
    assert table.locator("td.empty:not(.strongest)").count() == 2
    assert page.locator("#table-invented_other-table-ii td.empty").count() == 2


@whole_tables
def test_numbers_in_the_prose_read_as_a_list(open_page: Open) -> None:
    page = open_page()
    items = page.locator("#table-invented_other-text > li")
    fold = page.locator("[id='fold-table-invented_other-text']")
    assert fold.locator("summary").inner_text().startswith("Numbers in the prose")
    assert fold.locator("table").count() == 0
    assert [squeezed(text) for text in items.all_inner_texts()] == [
        "Abstract clean accuracy of ours 95.0 % → claimed, measured 95.0 [83.5–98.6] ✓ reproduced grade A",
        "Sec. 5 grey levels at which one step is best 16 of 255 ○ not measured no CIFAR-10 here",
        "Sec. 5 what Yu reach 83.1 % ○ not measured decision surface regularisation was not built "
        "copied from Yu et al. [43]",
    ]


@needs(
    "sections/paper_tables",
    "sections/defenses_against_attacks",
    "sections/statements",
    "datasets/mnist",
    "defenses/diverse_ensemble",
)
def test_statements_say_how_they_fall(open_page: Open) -> None:
    page = open_page()
    items = [squeezed(text) for text in page.locator("#statements .statements > li").all_inner_texts()]
    assert items == [
        "Sec. 5.1 ours is more accurate than the baseline under FGSM "
        "judged In every pair the first number is higher by at least 0.100 than the second. "
        "in print ✓ holds (2 of 2 pairs hold). Tightest pair: Table I: FGSM · ε = 0.2, Ours* 0.5500 "
        "against Table I: FGSM · ε = 0.2, Baseline 0.2000 (+0.350). "
        "measured ✗ does not hold grade A (1 of 2 pairs hold). Tightest pair: Table I: FGSM · ε = 0.3, Ours* "
        "0.375 [0.242–0.530] against Table I: FGSM · ε = 0.3, Baseline 0.050 [0.014–0.165] (+0.050).",
        "Abstract no loss of clean accuracy "
        "judged In every pair the first number equals the highest it is compared with, give or take 0.005. "
        "in print ✗ does not hold (0 of 1 pair holds). Tightest pair: Table I: No Attacks, Ours* 0.9500 "
        "against Table I: No Attacks, Baseline 0.9750 (−0.025). "
        "measured ≠ not comparable (1 of 1 pair holds). Tightest pair: Table I: No Attacks, Ours* "
        "0.950 [0.835–0.986] against Table I: No Attacks, Baseline 0.975 [0.871–0.996] (−0.001). "
        "On what was measured it would hold; 0 of 1 pair can be compared; data set: digits, not MNIST.",
        "Sec. 6 the boosted vote is wrong on fewer than ten images "
        "judged In at least one pair the first number is at most as high as 10 images. "
        "in print ✓ holds (1 of 1 pair holds). Tightest pair: Table II: Failed majorities, Boosted 7 images "
        "against 10 images (−3 images). "
        "measured ○ not measured. Diverse ensemble (boosted) was not built in this study.",
        "Sec. 7 <i>three times</i> the accuracy of the older paper "
        "judged On average over the pairs the first number is higher by at least 200.0 % than the lowest it "
        "is compared with. "
        "in print ✗ does not hold (0 of 3 pairs hold). Tightest pair: Table I: PGD · ε = 0.3, Ours* 0.1990 "
        "against Made up 2001, Table 1: Digits (ε = 0.3, c = 10) · Softmax, White-Box · PGD 0.0 % (+198.5 %). "
        "measured ◐ undecided grade B (0 of 1 pair holds). Tightest pair: Table I: PGD · ε = 0.3, Ours* "
        "0.425 [0.285–0.578] against Made up 2001, Table 1: Digits (ε = 0.3, c = 10) · Softmax, "
        "White-Box · PGD 0.0 % [0.0–8.8] (+120.0 %). 1 of 3 pairs can be compared.",
    ]
    head = squeezed(page.locator("#statements-invented_other summary").inner_text())
    assert head == (
        "Invented other 2002 4 statements; in print 2 hold, 2 do not hold; "
        "measured 1 does not hold, 1 not comparable, 1 not measured, 1 undecided"
    )
    links = page.locator("#statements .statements > li").first.locator("a")
    hashes = [link.get_attribute("href") for link in links.all()]
    assert hashes == [f"#cell-invented_other.{number}" for number in (9, 8, 4, 3)]


@needs("sections/statements", "sections/claims_overview")
def test_a_statement_without_a_verdict_says_so(
    tree: made_up_study.Tree, open_page: Open, tmp_path: Path
) -> None:
    data = dataclasses.replace(made_up_study.report_data(tree), statements=empty("statements"))
    path = tmp_path / "unjudged.html"
    path.write_text(render(data), encoding="utf-8")
    page = open_page(path)
    assert page.locator(".statements dd", has_text="No verdict was recorded").count() == 8
    assert squeezed(page.locator("#overview tbody tr").nth(1).inner_text()).split("0 of 4")[1] == " 0 0 3 3"


@needs("sections/contradictions")
def test_contradictions_are_numbered_placed_and_linked(open_page: Open) -> None:
    page = open_page()
    section = page.locator("#contradictions")
    items = [squeezed(text) for text in section.locator("ol > li").all_inner_texts()]
    assert items == [
        "Two numbers for one run. Table 1 19.9 the text 20.9",
        "Three places, two numbers. Table I Sec. 5 Abstract one number and another Cells: "
        "Table I: No Attacks, Baseline (0.9750), Table II: Failed majorities, Ours (12 images), "
        "Table III: SVHN, Ours (33.3 %), Abstract · clean accuracy of ours (95.0 %) and 17 more.",
        "Invented other 2002 Names another paper only. Sec. 2 a Made up, Sec. 3 b",
        "Invented other 2002 One number with two precisions. Table I 0.6000 an older table 60.00 Cells: "
        "Made up 2001, Table 1: Digits (ε = 0.3, c = 10) · Ours, White-Box · FGSM (60.00 %), "
        "Invented other 2002, Table I: FGSM · ε = 0.3, Ours* (0.6000).",
    ]
    assert section.locator("ol > li").evaluate_all("(l) => l.map((e) => e.value)") == [1, 2, 3, 4]
    assert section.locator("#contradictions-made_up li, #contradictions-invented_other li").count() == 2
    assert section.locator("#contradictions-between").inner_text().startswith("Between papers")


@needs("sections/paper_tables", "sections/defenses_against_attacks", "sections/contradictions")
def test_links_unfold_what_they_point_into(open_page: Open) -> None:
    page = open_page(unfolded=False)
    fold = page.locator("[id='fold-table-invented_other-table-iii']")
    target = page.locator("[id='cell-invented_other.16']")
    assert target.count() == 0, "nothing is built before it is wanted"
    page.locator("#contradictions > details > summary").click()
    page.locator("#contradictions-invented_other summary").click()
    page.locator("#contradictions-invented_other a", has_text="Table III").click()
    target.wait_for()
    assert fold.get_attribute("open") is not None
    assert page.locator("[id='fold-table-made_up-table-1']").get_attribute("open") is None
    place, bar = target.bounding_box(), page.locator("#tables-invented_other nav.sub").bounding_box()
    assert place is not None
    assert bar is not None
    assert bar["y"] + bar["height"] <= place["y"] <= 900
    head = page.locator("table", has=target).locator("thead").bounding_box()
    assert head is not None
    assert head["y"] + head["height"] <= place["y"], "the head, which stays in view, hides nothing"


@needs("sections/paper_tables", "sections/defenses_against_attacks", "sections/contradictions")
def test_a_link_unfolds_again_what_was_folded_after_it(open_page: Open) -> None:
    page = open_page(fragment="#cell-invented_other.16")
    target = page.locator("[id='cell-invented_other.16']")
    expect(target).to_be_visible()
    page.locator("#tables-invented_other > summary").click()
    expect(target).not_to_be_visible()
    page.locator("#contradictions-invented_other a", has_text="Table III").click()
    expect(target).to_be_visible()


@whole_tables
def test_keyboard_folds_and_unfolds(open_page: Open) -> None:
    page = open_page(unfolded=False)
    tables = page.locator("#tables table.paper")
    assert tables.count() == 0
    page.locator("#tables-invented_other > summary").focus()
    page.keyboard.press("Enter")
    page.locator("[id='fold-table-invented_other-table-iii'] > summary").focus()
    page.keyboard.press("Enter")
    tables.first.wait_for()
    assert tables.count() == 1
    page.get_by_text("Unfold all tables").focus()
    page.keyboard.press("Space")
    until(page, "document.querySelectorAll('#tables table.paper').length === 5")
    assert all(table.is_visible() for table in tables.all())
    page.get_by_text("Fold all tables", exact=True).focus()
    page.keyboard.press("Enter")
    assert not any(table.is_visible() for table in tables.all())


@whole_tables
def test_the_bar_of_tables_hides_nothing_that_has_the_focus(open_page: Open) -> None:
    page = open_page(viewport={"width": 1400, "height": 500})
    page.locator("[id='cell-made_up.19'] a").focus()
    bar = page.locator("#tables-made_up nav.sub")
    stuck = 0
    for _ in range(14):
        page.keyboard.press("Shift+Tab")
        box, edge = page.evaluate_handle("document.activeElement").as_element(), bar.bounding_box()
        assert box is not None
        place = box.bounding_box()
        assert place is not None
        assert edge is not None
        stuck += edge["y"] == 0
        assert place["y"] >= edge["y"] + edge["height"] - 1
    assert stuck > 5


@whole_tables
@pytest.mark.parametrize("script", [True, False])
def test_paper_shows_folded_tables_in_short(open_page: Open, script: bool) -> None:
    page = open_page(java_script_enabled=script, unfolded=False)
    page.emulate_media(media="print")
    target = page.locator("[id='cell-invented_other.16']")
    target.wait_for()
    box = target.bounding_box()
    assert box is not None
    assert box["height"] > 5
    assert page.locator("table.brief").count() == page.locator("#tables .fold:not(.paper-fold)").count()
    expect(page.locator("nav.sub").first).not_to_be_visible()
    expect(page.locator(".needs").first).not_to_be_visible()
    expect(page.locator("#claims")).not_to_be_visible()


@whole_tables
def test_after_printing_the_page_is_as_before(open_page: Open) -> None:
    page = open_page(unfolded=False)
    everything = "document.querySelector('main').innerHTML"
    until(page, "!document.querySelector('#claims-table tbody:empty')")  # the list of claims fills itself
    before = page.evaluate(everything)
    page.emulate_media(media="print")
    page.locator("[id='cell-invented_other.16']").wait_for()
    page.emulate_media(media="screen")
    until(page, "!document.querySelector('table.brief')")
    assert page.evaluate(everything) == before
    page.locator("#tables-made_up > summary").click()
    page.locator("[id='fold-table-made_up-table-1'] > summary").click()
    page.locator("#table-made_up-table-1.paper").wait_for()


@needs("sections/paper_tables", "sections/defenses_against_attacks", "defenses/superimposition")
def test_unmeasured_claims_share_a_card_and_keep_their_own_part(open_page: Open) -> None:
    page = open_page(fragment="#cell-invented_other.17")
    page.locator("[id='cell-invented_other.17'] a").click()
    card = squeezed(page.locator("dialog .card").inner_text())
    assert card.startswith("Invented other 2002, Table III: CIFAR-10, Ours")
    for part in (
        "Not measured: superimposition (β = 2, 4) was not built in this study; data set CIFAR-10 is not in this study.",
        "claimed 44.4 %",
        "superimposition (β = 2, 4), trained on PGD examples, ResNet-32, CIFAR-10, MIM, ε = 0.3, black-box, "
        "made on 3 VGG-13 and ResNet-50 with PGD training",
        "evidence measured by its authors",
        "results/made_up/tables/verdicts.csv",
        "snakemake --cores all --force",
    ):
        assert part in card
    assert "33.3" not in card
    assert "SVHN" not in card
    page.keyboard.press("Escape")
    until(page, "document.activeElement.hash === '#card-claim-invented_other.17'")
    # The table's head says once what its cells lack; the cells say no more than that.
    caption = squeezed(page.locator("#table-invented_other-table-iii caption").inner_text())
    assert "superimposition" not in caption
    assert "the data sets SVHN and CIFAR-10 are not in this study" in caption
    assert cell(page, 17) == "44.4 ○ not measured"


@needs("sections/paper_tables", "sections/defenses_against_attacks", "sections/interpretations")
def test_interpretations_name_the_setting_that_carries_them(open_page: Open) -> None:
    page = open_page()
    first = squeezed(page.locator("#interpretations-made_up li").inner_text())
    assert first == "Eq. 1 has no weight. chosen 1 why The simplest. setting weight"
    assert page.locator("#interpretations-invented_other li").count() == 3
    assert page.locator("#interpretations-invented_other dd", has_text="none: it cannot be set").count() == 3


@whole_tables
def test_unfolded_tables_scroll_inside_their_own_box(open_page: Open, real_papers: Path) -> None:
    page = open_page(real_papers, viewport={"width": 390, "height": 844})
    page.get_by_text("Unfold all tables").click()
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.locator(".scroll", has=page.locator("#table-mustafa_pcl-table-2"))
    assert wide.evaluate("(e) => e.scrollWidth > e.clientWidth + 300")
    # It fades out at the edge over which more lies, and its head stays when it is scrolled.
    fades = "(e) => getComputedStyle(e).maskImage !== 'none'"
    assert wide.evaluate(fades)
    top = wide.evaluate(
        "(e) => { e.scrollTo(e.scrollWidth, 400);"
        " return e.querySelector('thead').getBoundingClientRect().top - e.getBoundingClientRect().top; }"
    )
    assert abs(top) <= 2
    assert wide.evaluate("(e) => e.scrollTop") > 100
    until(
        page, "!document.querySelector('#table-mustafa_pcl-table-2').parentElement.classList.contains('cut')"
    )
    assert not wide.evaluate(fades)
    bar = page.locator("#tables-mustafa_pcl nav.sub")
    assert bar.evaluate("(e) => e.scrollWidth > e.clientWidth")
    bar.locator("a").last.focus()
    place = bar.locator("a").last.bounding_box()
    assert place is not None
    assert place["x"] + place["width"] <= 390


@pytest.mark.parametrize(
    ("svg", "named"),
    [
        ("<svg><script>alert(1)</script></svg>", "<script>"),
        ('<svg onload="alert(1)"/>', "onload"),
        ('<svg><image href="https://example.invalid/a.png"/></svg>', "href"),
        ('<svg><path style="fill: url(https://example.invalid/a)"/></svg>', "style"),
        ("<svg><foreignObject/></svg>", "<foreignObject>"),
        ("<svg>", "is no SVG"),
    ],
)
def test_figures_with_foreign_content_are_refused(svg: str, named: str) -> None:
    with pytest.raises(ArtifactError, match=re.escape(named)):
        DrawnFigure.from_svg("odd", svg, "odd.svg")


def test_rendering_imports_no_heavy_module() -> None:
    code = (
        "import sys, reproof.report, reproof.figures.robustness; "
        "print(sorted({'torch', 'foolbox', 'torchvision', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment()
    )
    assert done.stdout.strip() == "[]"


def _environment() -> dict[str, str]:
    source = Path(__file__).parents[2] / "src"
    return {**os.environ, "PYTHONPATH": str(source)}
