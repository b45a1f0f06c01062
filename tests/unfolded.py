"""The page's HTML with everything in its place: what a reader sees who unfolds all blocks and opens all cards."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import escape

from reproof import report
from reproof.report import ReportData

PLACE = re.compile(
    r'<div class="later" data-pack="([^"]*)" data-name="([^"]*)"><noscript>(.*?)</noscript></div>', re.DOTALL
)
WITHOUT_SCRIPT = re.compile(r'<noscript><section id="cards">.*?</section></noscript>', re.DOTALL)


def render(data: ReportData) -> str:
    """Return the page's HTML, unfolded."""
    return unfolded(report.render(data))


def read(path: Path) -> str:
    """Return a page's HTML in a file, unfolded."""
    return unfolded(path.read_text(encoding="utf-8"))


def unfolded(html: str) -> str:
    """Return a page's HTML with its blocks and figures in their places, and its cards at the end."""
    packs = {name: unpacked(html, name) for name in ("blocks", "figures")}
    body = re.sub(r'<script type="text/plain" id="pack-(?!claims).*?</script>\n', "", html, flags=re.DOTALL)
    return WITHOUT_SCRIPT.sub(lambda _: cards(unpacked(html, "cards")), filled(body, packs))


def unpacked(html: str, name: str) -> Any:
    """Return what a page carries in a pack."""
    text = html.split(f'id="pack-{name}">')[1].split("</script>")[0]
    return json.loads(gzip.decompress(base64.b64decode(text)))


def filled(html: str, packs: Mapping[str, Mapping[str, str]]) -> str:
    """Return HTML whose places hold their blocks, and these theirs."""

    def block(place: re.Match[str]) -> str:
        pack, name, static = place.groups()
        found = packs[pack].get(name.replace("&#39;", "'")) if pack else None
        return static if found is None else filled(found, packs)

    return PLACE.sub(block, html)


def cards(pack: Mapping[str, Any]) -> str:
    """Return all cards and records as a section of articles."""
    articles = [_card(name, expanded(pack["pool"], item)) for name, item in pack["cards"].items()]
    articles += [_record(name, expanded(pack["pool"], item)) for name, item in pack["records"].items()]
    return f'<section id="cards">{"".join(articles)}</section>'


def expanded(pool: list[Any], item: Any) -> Any:
    """Return a card's texts, nested as reproof.report.card_pack has them."""
    if isinstance(item, int):
        return expanded(pool, pool[item])
    return item if isinstance(item, str) else [expanded(pool, each) for each in item]


def _facts(facts: list[list[str]]) -> str:
    return "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in facts)


def _card(name: str, content: list[Any]) -> str:
    title, ordinal, stale, reason, facts, runs = content
    told = "".join(
        f"<h4>{escape(heading)}</h4>{_facts(own)}"
        + "".join(f'<a href="#{record}">{link}</a>{old}' if record else link for link, record, old in chain)
        for heading, own, chain, _ in runs
    )
    head = f"<h3>{escape(title)} card {ordinal}</h3>{escape(stale)}{escape(reason)}"
    return f'<article class="card" id="{name}">{head}{_facts(facts)}{told}</article>\n'


def _record(name: str, content: list[Any]) -> str:
    paths, stale, facts, files, inputs = content
    links = "".join(f'<a href="#{record}">{file}</a>' for file, _, record in inputs if record)
    return f'<article id="{name}">{" ".join(paths)}{escape(stale)}{_facts(facts)}{_facts(files)}{links}</article>\n'
