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

from reproof import wording
from reproof.claims.paper import Paper
from reproof.claims.vocabulary import LOST
from reproof.figures import robustness
from reproof.report.cards import Card, Cards, commit, device_words
from reproof.report.contents import Figure, ReportData
from reproof.report.sections import checklist, red_flags
from reproof.report.sections.breakdowns import Breakdowns
from reproof.report.sections.conclusions import Conclusions
from reproof.report.sections.grids import Grids
from reproof.report.sections.paper_tables import CERTAINTIES, VERDICTS, PaperTable, PaperTables
from reproof.report.sections.reference_runs import ReferenceRuns
from reproof.report.sections.statements import ContradictionView, Findings, Judged, StatementView
from reproof.report.sections.transfer import Transfers

_FOLDER = Path(__file__).parent
FELL = tuple(word for word in VERDICTS if word != "not claimed")
_KINDS = (
    ("accuracy_against_epsilon", "Accuracy against ε"),
    ("latent_space", "Latent space"),
    ("training", "Training"),
    ("rounds", "Rounds of training"),
    ("centroid_paths", "Ways of the classes’ centroids"),
    ("separation", "Latent spaces of ensembles"),
    ("loss", "Loss around test images"),
    ("cost", "Cost against robustness"),
    ("examples", "Examples"),
)


_WIDE = ("Accuracy against ε",)
"""Kinds of figures with a panel for each model, which half a page is too narrow for."""


@dataclass(frozen=True)
class PaperView:
    """A paper with its counts, tables, statements and contradictions."""

    paper: Paper
    name: str
    """Author and year."""
    counts: tuple[tuple[str, int], ...]
    """Verdict, number of claims that the authors measured; only verdicts that occur."""
    claimed: int
    """Cells with a number."""
    own: int
    """Of these, measured by the authors."""
    measured: int
    """Of the authors' own, measured in this study, comparable or not."""
    copied: tuple[tuple[str, int], ...]
    """Where the other numbers come from, and how many."""
    dashes: int
    lost: int
    doubtful: int
    """Cells with a number whose place is not certain."""
    card: Card | None
    tables: Sequence[PaperTable]
    statements: Sequence[StatementView]
    within: Sequence[ContradictionView]
    between: Sequence[ContradictionView]

    @property
    def overview(self) -> tuple[int, ...]:
        """Return its numbers for the table of all papers, so that they can be added up."""
        fell = dict(self.counts)
        return (
            self.claimed,
            self.claimed - self.own,
            self.own,
            *(fell.get(word, 0) for word in FELL),
            len(self.statements),
            self.in_print.get("holds", 0),
            self.in_study.get("holds", 0),
            self.in_study.get("does not hold", 0),
            len(self.within),
            len(self.between),
            len(self.paper.readings),
        )

    @property
    def in_print(self) -> dict[str, int]:
        """Return how many statements fall how over the printed numbers."""
        return _words(statement.in_print for statement in self.statements)

    @property
    def in_study(self) -> dict[str, int]:
        """Return how many statements fall how over the measured numbers."""
        return _words(statement.measured for statement in self.statements)


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
    environment.filters["told"] = _told
    environment.filters["defense"] = wording.defense
    environment.filters["training"] = wording.training
    environment.filters["architecture"] = wording.architecture
    environment.filters["settings_text"] = flat
    environment.filters["breakable"] = lambda text: escape(text).replace("_", Markup("_<wbr>"))
    environment.globals["symbols"] = VERDICTS
    runs = ReferenceRuns(data)
    environment.globals["beside"] = runs.beside
    cards = Cards(data)
    grids = Grids(data, cards)
    tables = PaperTables(data, cards)
    environment.filters["worded"] = tables.worded
    findings = Findings(data, tables)
    contradictions = findings.contradictions()
    papers = [_paper_view(paper, tables, findings, contradictions) for paper in data.papers]
    matrices, transferred = grids.matrices(), Transfers(data, cards, grids)
    transfers = grids.transfers(apart=transferred.shown())
    breakdowns = Breakdowns(data, cards, grids)
    checks = red_flags.view(data, cards)
    figure_groups = [
        FigureGroup(
            title,
            chosen[0].caption if len({figure.caption for figure in chosen}) == 1 < len(chosen) else "",
            len(chosen) > 3 and title not in _WIDE,
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
        between=[found for found in contradictions if found.between],
        matrices=matrices,
        references=runs.views(),
        conclusions=Conclusions(data, grids).all(tables.names),
        matrices_of_transfer=transferred.matrices(),
        fooling_sets=transferred.fooling_sets(),
        transfers=transfers,
        checklist=checklist.group(data, cards),
        answers=checklist.SYMBOLS,
        flags=checks,
        figures=figure_groups,
        clean=clean,
        strongest=breakdowns.strongest(),
        budgets=[
            f"{wording.dataset(dataset)}: {wording.parameters(budget)}"
            for dataset, budget in breakdowns.budgets.items()
        ],
        breakdowns=breakdowns.views(),
        titles={model.name: model.title for model in data.models},
        example=_example(papers, cards),
        stages=_stages(data),
        sources=_sources(data),
        cards=list(cards.cards.values()),
        records=cards.records(),
        verdicts=VERDICTS,
        fell=FELL,
        overview=_overview(papers),
        certainties=CERTAINTIES,
        settings=json.dumps(data.settings, indent=1, ensure_ascii=False, default=str),
        style=Markup(style),
        script=Markup(script),
        policy=(
            f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        ),
    )


def sentences(data: ReportData) -> dict[str, list[tuple[str, str]]]:
    """Return what was found, paper by paper: what each sentence is about, and its words as plain text."""
    cards = Cards(data)
    names = {paper.key: paper.short_name for paper in data.papers}
    return {
        told.key: [(finding.term, finding.words.striptags()) for finding in told.findings]
        for told in Conclusions(data, Grids(data, cards)).all(names)
    }


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


def _paper_view(
    paper: Paper, tables: PaperTables, findings: Findings, contradictions: Sequence[ContradictionView]
) -> PaperView:
    claims = [claim for claim in paper.claims if claim.value is not None]
    counts = tables.counts(claims)
    origins = [tables.origin(claim) for claim in claims if claim.copied]
    mine = [found for found in contradictions if found.paper == tables.names[paper.key]]
    return PaperView(
        paper,
        tables.names[paper.key],
        counts,
        len(claims),
        len(claims) - len(origins),
        sum(count for word, count in counts if word != "not measured"),
        tuple((origin, origins.count(origin)) for origin in dict.fromkeys(origins)),
        sum(claim.value is None and claim.printed != LOST for claim in paper.claims),
        sum(claim.printed == LOST for claim in paper.claims),
        sum(claim.certainty != "certain" for claim in claims),
        tables.card_of_counts(paper, counts),
        tables.tables(paper),
        findings.statements(paper),
        [found for found in mine if not found.between],
        [found for found in mine if found.between],
    )


def _overview(papers: Sequence[PaperView]) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return key, name and numbers of each paper, and of all together where there are several."""
    rows = [(view.paper.key, view.name, view.overview) for view in papers]
    if len(rows) > 1:
        rows.append(("", "All papers", tuple(map(sum, zip(*(row[2] for row in rows), strict=True)))))
    return rows


def _told(words: Mapping[str, int]) -> str:
    """Return `2 hold, 1 does not hold, 3 undecided`."""
    many = {"holds": "hold", "does not hold": "do not hold"}
    return ", ".join(
        f"{count} {many.get(word, word) if count > 1 else word}" for word, count in words.items()
    )


def _words(judged: Iterable[Judged]) -> dict[str, int]:
    words = [each.word for each in judged]
    return {word: words.count(word) for word in dict.fromkeys(words)}


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
    svg = robustness.cost_against_robustness(data.summary, titles, means)
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
