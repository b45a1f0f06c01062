"""Fills the templates: one HTML file that carries its style, script and figures, and may fetch nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from reproof import wording
from reproof.report import sections
from reproof.report.contents import ReportData
from reproof.report.section import found_sections
from reproof.report.shared import Shared
from reproof.report.verdict_words import VERDICTS

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class FilledSection:
    """A section as the frame shows it."""

    id: str
    title: str
    heading: str
    entries: Sequence[tuple[str, str]]
    body: Markup


def render(data: ReportData) -> str:
    """Return the page's HTML. It needs no other file and asks no network."""
    shared = Shared(data)
    found = found_sections(shared)
    shared.shown_sections = frozenset(section.declared.id for section in found)
    environment = _environment(shared)
    filled = [
        FilledSection(
            section.declared.id,
            section.declared.title,
            section.declared.heading or section.declared.title,
            section.entries(shared),
            Markup(environment.get_template(section.template).render(section.build(shared))),
        )
        for section in found
    ]
    script = (_FOLDER / "script.js").read_text(encoding="utf-8")
    style = (_FOLDER / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.j2").render(
        data=data,
        sections=filled,
        cards=list(shared.cards.cards.values()),
        records=shared.cards.records(),
        style=Markup(style),
        script=Markup(script),
        policy=(
            f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        ),
    )


def _environment(shared: Shared) -> Environment:
    """Return what fills a template: the words of the page as filters, and what every template may ask for."""
    environment = Environment(
        loader=FileSystemLoader([_FOLDER / "templates", *sections.__path__]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "architecture": wording.architecture,
        "attack": wording.attack,
        "breakable": lambda text: escape(text).replace("_", Markup("_<wbr>")),
        "counted": lambda things, noun: wording.counted(len(things), noun),
        "defense": wording.defense,
        "flat": flat,
        "setting": wording.setting,
        "training": wording.training,
        "worded": shared.paper_tables.judged.worded,
    }
    environment.globals |= {
        "best_reference": shared.references.best,
        "shown_sections": shared.shown_sections,
        "verdicts": VERDICTS,
    }
    return environment


def flat(value: Any, prefix: str = "") -> str:
    """Return nested settings on one line, without `kind`: `epsilons 0.1, 0.2, 0.3; steps 10`."""
    if isinstance(value, Mapping):
        words = {str(key).replace("_", " "): inner for key, inner in value.items() if key != "kind"}
        parts = [flat(inner, f"{prefix} {key}".strip()) for key, inner in words.items()]
        return "; ".join(part for part in parts if part)
    if isinstance(value, list | tuple):
        text = ", ".join(flat(item) for item in value)
    elif value is None:
        text = "none"
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{prefix} {text}".strip()
