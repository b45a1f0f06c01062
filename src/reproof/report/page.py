"""Fills the templates: one HTML file that carries its style, script and figures, and may fetch nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from reproof import figures, wording
from reproof.claims import Paper
from reproof.report.cards import Card, Cards, commit, device_words
from reproof.report.contents import Figure, Flag, ReportData
from reproof.report.grids import VERDICTS, Grids, PaperTable

_FOLDER = Path(__file__).parent
_KINDS = (
    ("accuracy_against_epsilon", "Accuracy against ε"),
    ("latent_space", "Latent space"),
    ("training_curves", "Training"),
    ("cost", "Cost against robustness"),
    ("examples", "Examples"),
)


@dataclass(frozen=True)
class PaperView:
    """A paper with its counts and tables."""

    paper: Paper
    counts: tuple[tuple[str, int], ...]
    """Verdict, number of claims; only verdicts that occur."""
    claimed: int
    measured: int
    copied: int
    card: Card | None
    tables: Sequence[PaperTable]


@dataclass(frozen=True)
class FigureGroup:
    """Figures of one kind."""

    title: str
    caption: str
    """What all of them say of themselves; empty where each says something else."""
    pairs: bool
    figures: Sequence[tuple[Figure, Card, Markup]]


@dataclass(frozen=True)
class Stage:
    """What the jobs of one rule cost together."""

    rule: str
    jobs: int
    seconds: str
    memory: str


@dataclass(frozen=True)
class Source:
    """A commit, a device or a set of versions, and how many artifacts came from it."""

    text: str
    artifacts: int


def render(data: ReportData) -> str:
    """Return the page's HTML. It needs no other file and asks no network."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = wording.duration
    environment.filters["attack"] = wording.attack
    environment.filters["setting"] = wording.setting
    environment.filters["settings_text"] = flat
    environment.filters["breakable"] = lambda text: escape(text).replace("_", Markup("_<wbr>"))
    cards = Cards(data)
    grids = Grids(data, cards)
    papers = [_paper_view(paper, grids) for paper in data.papers]
    matrices, transfers = grids.matrices(), grids.transfers()
    flags = [(flag, cards.of_flag(flag, position)) for position, flag in enumerate(data.flags, 1)]
    figure_groups = [
        FigureGroup(
            title,
            chosen[0].caption if len({figure.caption for figure in chosen}) == 1 < len(chosen) else "",
            len(chosen) > 3,
            [(figure, cards.of_figure(figure), Markup(figure.svg)) for figure in chosen],
        )
        for title, chosen in _figure_kinds([*data.figures, *_cost_figure(data)])
    ]
    clean = {
        row["model"]: grids.number(row)
        for row in data.summary
        if row["attack"] == "none" and row["metric"] == "accuracy"
    }
    script = (_FOLDER / "script.js").read_text(encoding="utf-8")
    style = (_FOLDER / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.j2").render(
        data=data,
        papers=papers,
        matrices=matrices,
        transfers=transfers,
        flags=_flags_by_model(data, flags),
        figures=figure_groups,
        clean=clean,
        example=_example(papers, cards),
        stages=_stages(data),
        sources=_sources(data),
        cards=list(cards.cards.values()),
        records=cards.records(),
        verdicts=VERDICTS,
        settings=json.dumps(data.settings, indent=1, ensure_ascii=False, default=str),
        style=Markup(style),
        script=Markup(script),
        policy=(
            f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        ),
    )


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


def _paper_view(paper: Paper, grids: Grids) -> PaperView:
    claims = [claim for claim in paper.claims if claim.value is not None]
    words = [grids.verdict(claim) for claim in claims]
    counts = tuple((word, words.count(word)) for word in VERDICTS if word in words)
    return PaperView(
        paper,
        counts,
        len(claims),
        sum(count for word, count in counts if word != "not measured"),
        sum(claim.evidence != "measured" for claim in claims),
        grids.cards_of_counts(paper, counts),
        grids.paper_tables(paper),
    )


def _flags_by_model(
    data: ReportData, flags: Iterable[tuple[Flag, Card]]
) -> list[tuple[str, int, list[tuple[Flag, Card]]]]:
    """Return model's title, how many flags are raised, and its checks: raised ones first, unchecked last."""
    titles = {model.name: model.title for model in data.models}
    by_model: dict[str, list[tuple[Flag, Card]]] = {name: [] for name in titles}
    for flag, card in flags:
        by_model.setdefault(flag.model, []).append((flag, card))
    order = {True: 0, False: 1, None: 2}
    return [
        (
            titles.get(name, name),
            sum(flag.raised is True for flag, _ in found),
            sorted(found, key=lambda item: order[item[0].raised]),
        )
        for name, found in by_model.items()
        if found
    ]


def _figure_kinds(figures: Sequence[Figure]) -> list[tuple[str, list[Figure]]]:
    groups: dict[str, list[Figure]] = {title: [] for _, title in _KINDS}
    for figure in figures:
        title = next((title for start, title in _KINDS if figure.name.startswith(start)), "More figures")
        groups.setdefault(title, []).append(figure)
    return [(title, chosen) for title, chosen in groups.items() if chosen]


def _cost_figure(data: ReportData) -> list[Figure]:
    """Draw seconds against accuracy here, from the records: figures made earlier are to be reproducible."""
    seconds: dict[str, dict[str, float]] = {}
    for trail in data.trails:
        for step in trail.steps:
            if step.stage == "model" and "seconds" in data.records.get(step.path, {}):
                seconds.setdefault(trail.model, {})[step.path] = float(data.records[step.path]["seconds"])
    means = {model: sum(found.values()) / len(found) for model, found in seconds.items()}
    titles = {model.name: model.title for model in data.models}
    svg = figures.cost_against_robustness(data.summary, titles, means)
    name = "cost_against_robustness"
    if svg is None or any(figure.name == name for figure in data.figures):
        return []
    return [Figure.from_svg(name, svg, data.tables.get("summary", ""))]


def _example(papers: Sequence[PaperView], cards: Cards) -> Card | None:
    """Return a card whose number the page shows how to make again: of a judged claim if there is one."""
    cells = [
        cell
        for view in papers
        for table in view.tables
        for group in table.groups
        for _, row in group.rows
        for cell in row
        if cell is not None and cell.measured is not None
    ]
    if cells:
        return cards.cards[cells[0].card]
    return next((card for card in cards.cards.values() if card.runs), None)


def _stages(data: ReportData) -> list[Stage]:
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for record in data.records.values():
        job = f"{record.get('command')} {record.get('started')}"
        found.setdefault(str(record.get("rule", "not recorded")), {})[job] = record
    stages = []
    for rule, records in found.items():
        seconds = sum(float(record.get("seconds", 0)) for record in records.values())
        peak = max(float(record.get("peak_memory_bytes", 0)) for record in records.values())
        stages.append(Stage(rule, len(records), wording.duration(seconds), wording.memory(peak)))
    return stages


def _sources(data: ReportData) -> list[tuple[str, list[Source]]]:
    """Return what all artifacts came from: commits, devices, versions, seeds, time."""

    def counted(texts: Iterable[str]) -> list[Source]:
        listed = list(texts)
        return [Source(text, listed.count(text)) for text in dict.fromkeys(listed)]

    records = list(data.records.values())
    started = sorted(str(record["started"]) for record in records if record.get("started"))
    sources = [
        ("commit", counted(commit(record) for record in records)),
        (
            "device",
            counted(device_words(record) for record in records),
        ),
        (
            "versions",
            counted(
                ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())
                or "not recorded"
                for record in records
            ),
        ),
        ("seed", counted(str(record["seed"]) for record in records if record.get("seed") is not None)),
    ]
    if started:
        first, last = (text[:16].replace("T", " ") for text in (started[0], started[-1]))
        span = f"{first} UTC (the first job) to {last} UTC (the last)"
        sources.append(("begun", [Source(span, len(records))]))
    return [(name, found) for name, found in sources if found]
