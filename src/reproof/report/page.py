"""Fills the templates: one HTML file that carries its style, script and figures, and may fetch nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup, escape

from reproof import wording
from reproof.report import sections
from reproof.report.card_pack import card_pack
from reproof.report.contents import ReportData
from reproof.report.inlined_svg import taken_in_turns
from reproof.report.packing import packed
from reproof.report.section import found_sections
from reproof.report.shared import Shared
from reproof.report.verdict_words import VERDICTS

_FOLDER = Path(__file__).parent
GROUPS = (
    (10, "The claims"),
    (19, "This run"),
    (30, "Paper by paper"),
    (40, "Attacks and diagnostics"),
    (60, "How it was made, and how to make it again"),
)
"""Where groups of sections begin, by their order, and what stands over them."""
SCRIPTS = ("script.js", "cards.js", "finder.js")
BYTES = 2_900_000
"""So large may the page become: figures are taken while there is room."""
FIGURES = "{figures}"
"""Stands for the packed figures until it is known how much room is left for them."""


class CompiledTemplates(BytecodeCache):
    """Keeps templates as they were compiled, by name and content: a process that fills many pages compiles once."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give a template what was compiled of the same source."""
        code = self._codes.get((bucket.key, bucket.checksum))
        if code is not None:
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was compiled."""
        self._codes[bucket.key, bucket.checksum] = bucket.bytecode_to_string()


_COMPILED = CompiledTemplates()


@dataclass(frozen=True)
class FilledSection:
    """A section as the frame shows it."""

    id: str
    title: str
    heading: str
    group: str
    """What stands over it and the sections after it, until another group begins; empty for its followers."""
    folded: bool
    entries: Sequence[tuple[str, str]]
    body: Markup


def render(data: ReportData) -> str:
    """Return the page's HTML. It needs no other file and asks no network."""
    shared = Shared(data)
    found = found_sections(shared)
    shared.shown_sections = frozenset(section.declared.id for section in found)
    environment = _environment(shared)
    filled: list[FilledSection] = []
    group = ""
    for section in found:
        declared, before = section.declared, group
        group = next((words for order, words in reversed(GROUPS) if order <= declared.order), "")
        filled.append(
            FilledSection(
                declared.id,
                declared.title,
                declared.heading or declared.title,
                group if group != before else "",
                declared.folded,
                section.entries(shared),
                Markup(environment.get_template(section.template).render(section.build(shared))),
            )
        )
    script = "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    style = (_FOLDER / "style.css").read_text(encoding="utf-8") + shared.inlined.css
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    packs = {"blocks": packed(shared.blocks.html), "cards": packed(card_pack(shared))}
    html = environment.get_template("page.html.j2").render(
        data=data, sections=filled, style=Markup(style), script=Markup(script), policy=policy, packs=packs
    )
    return html.replace(FIGURES, packed(_fitting(shared.figures, BYTES - len(html.encode()))))


def _fitting(kinds: Sequence[Mapping[str, str]], room: int) -> dict[str, str]:
    """Return the figures for which the page has room, of each kind the first ones; the others lie in their files.

    room: bytes.
    """
    figures = {name: svg for kind in kinds for name, svg in kind.items()}
    chosen = {}
    for name in taken_in_turns([list(kind) for kind in kinds]):
        room -= len(packed(figures[name]))
        if room < 0:
            break
        chosen[name] = figures[name]
    return chosen


def _environment(shared: Shared) -> Environment:
    """Return what fills a template: the words of the page as filters, and what every template may ask for."""
    environment = Environment(
        loader=FileSystemLoader([_FOLDER / "templates", *sections.__path__]),
        autoescape=True,
        undefined=StrictUndefined,
        bytecode_cache=_COMPILED,
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
        "kept": kept,
        "setting": wording.setting,
        "training": wording.training,
        "worded": shared.paper_tables.judged.worded,
    }
    environment.globals |= {
        "later": shared.blocks.later,
        "best_reference": shared.references.best,
        "shown_sections": shared.shown_sections,
        "verdicts": VERDICTS,
    }
    return environment


def kept(text: str) -> str:
    """Return a text whose numbers stay on a line with their unit, their symbol and the word that they count."""
    text = re.sub(r"(?<=[\d.]) (?=%|(?:reproduced|lower|higher|undecided)\b)", "\N{NO-BREAK SPACE}", text)
    return re.sub(r"(?<=\w) = (?=[\d.])", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}", text)


def flat(value: Any, prefix: str = "") -> str:
    """Return nested settings on one line, without `kind` and empty lists: `epsilons 0.1, 0.3; loss cross entropy`."""
    if isinstance(value, Mapping):
        told = {key: inner for key, inner in value.items() if key != "kind" and inner not in ([], ())}
        parts = [flat(inner, f"{prefix} {str(key).replace('_', ' ')}".strip()) for key, inner in told.items()]
        return "; ".join(part for part in parts if part)
    if isinstance(value, list | tuple):
        text = ", ".join(flat(item) for item in value)
    elif value is None:
        text = "none"
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
        text = text.replace("_", " ") if text.isidentifier() else text
    return f"{prefix} {text}".strip()
