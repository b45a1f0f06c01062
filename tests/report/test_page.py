"""The page in a real browser: what it shows, that everything leads somewhere, that everybody can use it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import made_up_study
import pytest
from playwright.sync_api import Browser, Page

from reproof import claims
from reproof.errors import ArtifactError
from reproof.report import Figure, ReportData, Row, render

Open = Callable[..., Page]

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
() => [...document.querySelectorAll('a[href], button, summary, [tabindex="0"]')]
  .filter((e) => e.checkVisibility())
"""


def test_tells_hand_computed_numbers(open_page: Open) -> None:
    page = open_page()
    table = page.locator("#table-made_up-table-1")
    # 15 of 40 right: 37.5 %; Wilson with z = 1.96: centre 0.3860, reach 0.1437.
    cell = table.locator("tbody").nth(0).locator("tr").nth(2).locator("td").nth(1)
    assert cell.locator(".claimed").inner_text() == "60.00"
    assert cell.locator(".value").inner_text() == "37.5"
    assert cell.locator(".interval").inner_text() == "[24.2–53.0]"
    assert cell.locator(".verdict").inner_text() == "▼ lower"
    # 4 of 40 in the adaptive attack, which is also the worst case per image: 10 %, Wilson [4.0, 23.1].
    matrix = page.locator('[id="matrix-digits-ε=0.3"]')
    row = matrix.locator("tbody tr", has_text="prototype_conformity, clean").locator("td")
    assert row.nth(0).inner_text().split() == ["95.0", "[83.5–98.6]"]
    assert row.last.inner_text().split() == ["10.0", "[4.0–23.1]"]
    free = (
        page.locator("#matrix-digits-free tbody tr", has_text="undefended, clean, cnn6").locator("td").nth(1)
    )
    assert free.inner_text().split() == ["0.0", "[0.0–8.8]", "L2", "2.5"]
    counts = page.locator("ul.counts li").all_inner_texts()
    assert [re.sub(r"\s+", " ", text).strip() for text in counts] == [
        "✓ reproduced 9",
        "▼ lower 3",
        "▲ higher 1",
        "≠ not comparable 9",
        "○ not measured 5",
    ]
    assert (
        "22 of 27 claims were measured here; 4 of the claims were copied"
        in page.locator(".fell").inner_text()
    )


def test_lays_tables_out_as_printed(open_page: Open) -> None:
    page = open_page()
    table = page.locator("#table-made_up-table-1")
    assert table.locator("thead tr").nth(0).locator("th").all_inner_texts()[1:] == [
        "No Attack",
        "White-Box",
        "Black-Box",
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
    ]
    assert second.locator("td.empty").count() == 2 + 3
    # What all cells of a group lack is said once, at its head; what one cell lacks is said in it.
    assert second.locator(".reason", has_text="deepfool was not run").count() == 0
    assert second.locator("td", has_text="80.2").locator(".reason").inner_text() == (
        "attack pgd was not run in setting white_box"
    )
    assert "deepfool was not run in setting white_box" in second.locator("tr.group").nth(1).inner_text()
    assert second.locator("td", has_text="copied from the first paper").count() == 4
    # Printed tables of the real papers keep their shape, whatever was measured.
    rows = {
        paper.key: {claim.row for claim in paper.claims if claim.table == "Table 2"}
        for paper in claims.papers()
    }
    assert len(rows["mustafa_pcl"]) == 20


def test_real_papers_are_shown_whole(tree: made_up_study.Tree, open_page: Open, tmp_path: Path) -> None:
    papers = claims.papers()
    data = dataclasses.replace(made_up_study.report_data(tree), papers=papers, verdicts=[])
    path = tmp_path / "papers.html"
    path.write_text(render(data), encoding="utf-8")
    page = open_page(path)
    claimed = [claim for paper in papers for claim in paper.claims if claim.value is not None]
    assert page.locator("td.claim").count() == len(claimed)
    assert page.locator("td.claim.v-not-measured").count() == len(claimed)
    table = page.locator("#table-mustafa_pcl-table-2")
    assert table.locator("tbody th[scope=row]").count() == 20
    assert table.locator("tbody tr", has=page.locator("th[scope=row]")).first.locator("td").count() == 11


def test_every_number_has_its_card(open_page: Open) -> None:
    page = open_page()
    assert page.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size"
    ) == page.evaluate("document.querySelectorAll('[id]').length")
    links = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map((a) => a.hash.slice(1))")
    dangling = page.evaluate(
        "(ids) => ids.filter((id) => !document.getElementById(decodeURIComponent(id)))", links
    )
    assert dangling == []
    assert page.locator("a.number").count() > 150
    bare = page.evaluate(
        """() => [...document.querySelectorAll('td.heat, td.claim, .value, .interval')]
             .filter((e) => !(e.closest('a.number') || e.querySelector('a.number')))
             .map((e) => e.textContent)"""
    )
    assert bare == []
    cards = page.evaluate(
        """() => [...document.querySelectorAll('a.number')].map((a) => {
             const card = document.getElementById(decodeURIComponent(a.hash.slice(1)));
             return {
               ordinal: a.dataset.card,
               terms: [...card.querySelectorAll('dt')].map((e) => e.textContent),
               head: card.querySelector('h3').textContent,
               value: a.querySelector('.value')?.textContent,
               text: card.textContent,
             };
           })"""
    )
    for card in cards:
        assert {"file", "command", "commit", "device", "took", "versions"} <= set(card["terms"]), card["head"]
        assert card["head"].endswith(f"card {card['ordinal']}")
        if card["value"]:
            assert {"seed"} <= set(card["terms"])
            assert card["value"].removeprefix("L2 ") in card["text"], card["head"]


def test_card_holds_what_is_behind_a_number(open_page: Open) -> None:
    page = open_page()
    page.locator("#table-made_up-table-1 td.v-lower a.number").click()
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
        "under the strongest 10.0 % [4.0–23.1]",
    ):
        assert part in text
    page.locator("dialog .chain a", has_text="adversarial").click()
    record = re.sub(r"\s+", " ", page.locator("dialog .card").inner_text())
    assert "results/made_up/adversarial/prototype_conformity/seed0/papers.safetensors" in record
    assert made_up_study.COMMIT in record
    page.locator("#panel-back").click()
    assert "15 of 40 images" in page.locator("dialog .card").inner_text()
    page.locator("#panel-close").click()
    assert not page.locator("dialog").is_visible()
    page.locator("figcaption a.number").first.click()
    assert "tree had local changes" in page.locator("dialog .card").inner_text()


def test_several_seeds_stand_apart_on_a_card(
    tree: made_up_study.Tree, open_page: Open, tmp_path: Path
) -> None:
    one = made_up_study.report_data(tree)

    def second(row: Row) -> Row:
        return (
            {**row, "seed": "1", "correct": "11", "value": "0.275"} if row["model"] == "undefended" else row
        )

    twice = [*one.measurements, *(second(row) for row in one.measurements if row["model"] == "undefended")]
    trails = [*one.trails, *(dataclasses.replace(trail, seed=1) for trail in one.trails)]
    summary = [
        {**row, "seeds": "2", "value_min": "0.1", "value_max": "0.3"} if row["model"] == "undefended" else row
        for row in one.summary
    ]
    data = dataclasses.replace(one, measurements=twice, trails=trails, summary=summary, seeds=(0, 1))
    path = tmp_path / "seeds.html"
    path.write_text(render(data), encoding="utf-8")
    page = open_page(path)
    page.locator('[id="matrix-digits-ε=0.3"] tbody tr').first.locator("a.number").nth(1).click()
    text = re.sub(r"\s+", " ", page.locator("dialog .card").inner_text())
    assert "2 seeds, from 10.0 to 30.0 %" in text
    assert re.search(r"Seed 0 .*correct 2 of 40.* Seed 1 .*correct 11 of 40", text)


def test_keyboard_reaches_everything_in_order(open_page: Open) -> None:
    page = open_page()
    expected = page.evaluate(f"() => ({FOCUSABLE})().map((e) => e.outerHTML.slice(0, 160))")
    assert sum('class="number' in text for text in expected) > 150
    assert sum('class="sort"' in text for text in expected) > 20
    reached = []
    for _ in range(len(expected)):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("() => document.activeElement.outerHTML.slice(0, 160)"))
    assert reached == expected


def test_enter_opens_a_card_and_escape_returns(open_page: Open) -> None:
    page = open_page()
    page.locator("td.heat a.number").nth(3).focus()
    before = page.evaluate("document.activeElement.hash")
    page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    assert dialog.is_visible()
    assert dialog.evaluate("(d) => d.contains(document.activeElement)")
    assert dialog.get_attribute("aria-label") == page.locator("dialog h3").inner_text()
    for _ in range(40):
        page.keyboard.press("Tab")
        focus = "document.activeElement"
        assert page.evaluate(f"{focus} === document.body || {focus}.closest('dialog') !== null")
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.hash") == before


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
    assert matrix.locator("[aria-sort]").count() == 1


def test_works_without_script(open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    link = page.locator("#table-made_up-table-1 td.v-lower a.number")
    target = (link.get_attribute("href") or "")[1:]
    assert page.locator("button.sort").count() == 0
    link.click()
    assert page.url.endswith(f"#{target}")
    card = page.locator(f'[id="{target}"]')
    assert card.is_visible()
    box = card.bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 900
    assert "15 of 40 images" in card.inner_text()
    assert not page.locator("dialog").is_visible()


def test_an_address_with_a_card_opens_it(open_page: Open) -> None:
    page = open_page(fragment="#card-claim-made_up.6")
    assert "claimed" in page.locator("dialog").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()


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
    page.locator("td.claim a.number").first.click()
    panel = page.locator("dialog").bounding_box()
    assert panel is not None
    assert panel["x"] >= 0
    assert panel["width"] <= 390
    assert page.locator(".panel-body").evaluate("(e) => e.scrollWidth <= e.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(open_page: Open, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    page.locator("details").evaluate("(e) => { e.open = true; }")
    result = page.evaluate(CONTRAST)
    faint = [(item["text"], round(item["ratio"], 2)) for item in result["found"] if item["ratio"] < 4.5]
    assert faint == []
    assert sum(item["heat"] for item in result["found"]) > 100
    assert (result["paper"] > 0.9) if scheme == "light" else (result["paper"] < 0.05)


def test_card_text_stands_out_in_the_dark(open_page: Open) -> None:
    page = open_page(color_scheme="dark")
    page.locator("td.heat a.number", has_text="stale").first.click()
    result = page.evaluate(CONTRAST)
    shown = [item for item in result["found"] if "Stale" in item["text"] or item["text"] == "commit"]
    assert len(shown) >= 2
    assert all(item["ratio"] >= 4.5 for item in result["found"])


def test_paper_shows_the_cards(open_page: Open) -> None:
    page = open_page()
    assert not page.locator("#cards").is_visible()
    page.emulate_media(media="print")
    assert page.locator("#cards").is_visible()
    assert page.locator("article.card").last.is_visible()
    assert not page.locator("nav").is_visible()
    link = page.locator("#table-made_up-table-1 td.v-lower a.number")
    after = link.evaluate("(e) => getComputedStyle(e, '::after').content")
    ordinal = link.get_attribute("data-card")
    assert f'"{ordinal}"' in after or after.endswith(f'{ordinal}"')
    assert page.locator("td.heat").first.evaluate("(e) => getComputedStyle(e).printColorAdjust") == "exact"
    assert page.locator(".scroll").first.evaluate("(e) => getComputedStyle(e).overflowX") == "visible"


def test_markup_in_texts_is_shown_not_run(open_page: Open) -> None:
    page = open_page()
    assert page.locator("table.grid tbody th", has_text=made_up_study.HOSTILE).count() >= 4
    assert page.locator("svg text", has_text=made_up_study.HOSTILE).count() >= 2
    assert page.locator("script").count() == 1
    assert "<b>not bold</b>" in page.locator("#readings").inner_text()
    page.locator("tr", has_text=made_up_study.HOSTILE).locator("a.number").first.click()
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


def test_structure_for_screen_readers(open_page: Open) -> None:
    page = open_page()
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").count() == 1
    assert page.evaluate(
        "[...document.querySelectorAll('table')].every((t) => t.caption && t.caption.innerText.trim())"
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
    words = {re.sub(r"[^a-z ]", "", text).strip() for text in page.locator("td .verdict").all_inner_texts()}
    assert words == {"reproduced", "lower", "higher", "not comparable", "not measured"}


def test_same_data_same_bytes_and_small(tree: made_up_study.Tree, html: str) -> None:
    again = render(made_up_study.report_data(tree, made_up_study.STALE))
    assert again == html
    assert len(html.encode()) < 1_500_000
    cards = re.findall(r'<article class="card" id=.*?</article>', html, re.DOTALL)
    assert len(cards) > 100
    # Model and history, outcomes and examples share a record, which stands once.
    records = re.findall(r'<article class="card record" id=.*?</article>', html, re.DOTALL)
    assert len(records) == len({json.dumps(record, sort_keys=True) for record in tree.records.values()})
    assert len(records) < len(tree.records)
    # A card of one seed stays small, so that thousands of numbers fit on a page.
    assert sum(map(len, cards)) / len(cards) < 2_000


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
        summary=(),
        measurements=(),
        verdicts=(),
        papers=(),
        trails=(),
        records={},
    )
    path = tmp_path / "empty.html"
    path.write_text(render(data), encoding="utf-8")
    text = open_page(path).locator("main").inner_text()
    assert "No attack has been measured yet." in text
    assert "nothing says how the files behind this page were made" in text


def test_missing_records_and_rows_are_told(tree: made_up_study.Tree, open_page: Open, tmp_path: Path) -> None:
    data = dataclasses.replace(made_up_study.report_data(tree), records={}, trails=())
    path = tmp_path / "bare.html"
    path.write_text(render(data), encoding="utf-8")
    page = open_page(path)
    page.locator("figcaption a.number").first.click()
    assert "nothing says how this file was made" in page.locator("dialog").inner_text()


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
        Figure.from_svg("odd", svg, "odd.svg")


def test_rendering_imports_no_heavy_module() -> None:
    code = (
        "import sys, reproof.report, reproof.figures; "
        "print(sorted({'torch', 'foolbox', 'torchvision', 'pandas', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment()
    )
    assert done.stdout.strip() == "[]"


def _environment() -> dict[str, str]:
    source = Path(__file__).parents[2] / "src"
    return {**os.environ, "PYTHONPATH": str(source)}
