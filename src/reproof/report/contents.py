"""What the page is made of, as plain frozen data. Who reads a results tree fills it; `render` draws it."""

from __future__ import annotations

import functools
import itertools
import re
from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from xml.etree import ElementTree

import pandas as pd

from reproof import csv_tables, wording
from reproof.claims.independent import IndependentMeasurement
from reproof.claims.paper import Paper
from reproof.errors import ArtifactError
from reproof.judging.study_facts import StudyFacts
from reproof.reference import Reference

THIS_RUN = "this run"
"""What this run is called beside the reference runs' titles."""


class MeasuredRow(Protocol):
    """A row of the summary, as `rows` yields it; `measurements` have `seed` in place of what is over seeds."""

    study: str
    dataset: str
    architecture: str
    defense: str
    training: str
    seeds: int
    setting: str
    source: str
    attack: str
    parameters: str
    metric: str
    value: float
    correct: Any
    """A whole number, or pd.NA where the value is no share of images."""
    total: Any
    low: float
    """NaN where there is no interval."""
    high: float
    model: str
    value_min: float
    value_max: float


def rows(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield a frame's rows as tuples with the columns' names; a frame of the summary's yields `MeasuredRow`s.

    As `itertuples` does, which takes several times as long for a few rows.
    """
    cells = (frame[name].tolist() for name in frame.columns)
    return itertools.starmap(_row_of(tuple(frame.columns)), zip(*cells, strict=True))


@functools.cache
def _row_of(columns: tuple[str, ...]) -> Any:
    return namedtuple("FrameRow", columns)


def key_of(row: Any) -> tuple[str, ...]:
    """Return what names a row of the summary; a verdict has the same of the row that it judged."""
    return tuple(getattr(row, name) for name in csv_tables.KEY)


def empty(table: str) -> pd.DataFrame:
    """Return a table without rows."""
    return csv_tables.SCHEMAS[table].frame([])


@dataclass(frozen=True)
class ShownModel:
    """A network of the study and what it was given."""

    name: str
    """Its key in the study, as in the column `model` of the tables."""
    title: str
    """For people; the name with blanks will do."""
    dataset: str
    """The study's name of its data set, as in the column `dataset` of the tables."""
    architecture: str
    defense: str
    training: str
    """The adversarial examples it trained on: clean, fgsm, pgd."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """What it was given, in words: {"epochs": 20, "training images": 1200}."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Its slice of the study, nested as in the YAML."""
    deviations: tuple[str, ...] = ()
    """`Defense.deviations`: where this implementation departs from its paper."""


@dataclass(frozen=True)
class ShownAttack:
    """An attack's entry in the study. The order of attacks is the order of the columns."""

    name: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The entry: epsilons, steps, attack loss, images."""

    @property
    def title(self) -> str:
        """Return its name for people."""
        return wording.attack(self.name, self.kind)


@dataclass(frozen=True)
class ShownThreat:
    """Who attacks whom."""

    name: str
    setting: str
    """white_box, adaptive or black_box."""
    suite: str
    images: int
    """Test images of its suite."""
    attacks: tuple[str, ...] = ()
    source: str = ""
    """The model on which a black_box suite is made."""
    attack_loss: str = ""
    """The defense's own attack loss that is maximised; empty for the plain one on the logits."""


@dataclass(frozen=True)
class TrailFile:
    """One file on the way from the data to a number."""

    stage: str
    """In order: data, source model, model, adversarial, outcome, table."""
    path: str
    """As in `ReportData.records`."""


@dataclass(frozen=True)
class Trail:
    """The files behind all the numbers that one target has under one threat with one seed."""

    model: str
    seed: int
    setting: str
    """As in the tables; the worst case (`all`) stands on every trail of its model."""
    files: tuple[TrailFile, ...]
    """From the data to the table. The one of the stage `outcome` is the file that the card names."""
    source: str = ""
    """As in the tables' column `source`: the model itself, another, or which members of it; empty fits any."""
    attacks: tuple[str, ...] = ()
    """The attacks of the threat; empty fits any attack."""


@dataclass(frozen=True)
class DrawnFigure:
    """A figure as SVG text; its title and caption come from inside the file."""

    name: str
    svg: str
    title: str
    caption: str
    path: str = ""
    """Its file, as in `ReportData.records`; the card names it."""

    @classmethod
    def from_svg(cls, name: str, svg: str, path: str = "") -> DrawnFigure:
        """Return the figure with the title and description that the SVG carries.

        ArtifactError when it is no SVG, or holds what a page must not inline: scripts, handlers, foreign
        content, links to anywhere.
        """
        try:
            root = ElementTree.fromstring(svg)
        except ElementTree.ParseError as error:
            raise ArtifactError(
                f"figure {name}: {path or 'it'} is no SVG ({error}). Delete it and run again."
            ) from error
        words = {"title": "", "desc": ""}
        for element in root.iter():
            tag = element.tag.rpartition("}")[2]
            if tag in words:
                words[tag] = element.text or ""
            for key, value in element.attrib.items():
                plain = key.rpartition("}")[2].lower()
                inside = value.startswith(("#", "data:image/png;base64,"))
                if (
                    plain.startswith("on")
                    or (plain in ("href", "src") and not inside)
                    or _FOREIGN.search(value)
                ):
                    raise ArtifactError(
                        f"figure {name}: {path or 'it'} holds {plain}={value[:40]!r}, which no page may."
                    )
            if tag not in _SAFE_TAGS:
                raise ArtifactError(f"figure {name}: {path or 'it'} holds <{tag}>, which no page may.")
        return cls(name, svg, words["title"] or name.replace("_", " "), words["desc"], path)


_SAFE_TAGS = frozenset(
    ("svg", "title", "desc", "g", "defs", "path", "use", "text", "tspan", "image", "clipPath", "rect", "line")
)
_FOREIGN = re.compile(r"url\(\s*['\"]?(?!#)|javascript:", re.IGNORECASE)


@dataclass(frozen=True)
class ReportData:
    """Everything the page shows."""

    study: str
    """The study's name: digits."""
    title: str
    description: str
    settings: Mapping[str, Any]
    """The merged study, nested as in the YAML; shown whole, for the record."""
    data_set: Mapping[str, str]
    """What was run on, in words, in the order to be shown: {"images": "1,797 of 28 x 28 pixels"}."""
    seeds: Sequence[int]
    models: Sequence[ShownModel]
    attacks: Sequence[ShownAttack]
    threats: Sequence[ShownThreat]
    summary: pd.DataFrame
    """tables/summary.csv"""
    measurements: pd.DataFrame
    """tables/measurements.csv"""
    verdicts: pd.DataFrame
    """tables/verdicts.csv"""
    papers: Sequence[Paper]
    """claims.paper.papers(): citation, interpretations, contradictions, captions and claims in the order printed."""
    trails: Sequence[Trail]
    records: Mapping[str, Mapping[str, Any]]
    """Path of an artifact, as in the trails -> its record.json."""
    statements: pd.DataFrame = field(default_factory=lambda: empty("statements"))
    """tables/statements.csv"""
    classes: pd.DataFrame = field(default_factory=lambda: empty("per_class"))
    """tables/per_class.csv"""
    images: pd.DataFrame = field(default_factory=lambda: empty("per_image"))
    """tables/per_image.csv"""
    parts: pd.DataFrame = field(default_factory=lambda: empty("parts"))
    """tables/parts.csv"""
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Data set, as in the models' `dataset` -> its classes' names in the order of the labels."""
    flags: pd.DataFrame = field(default_factory=lambda: empty("red_flags"))
    """tables/red_flags.csv"""
    gates: Mapping[str, str] = field(default_factory=dict)
    """Check, as in the flags' column `gate` -> what an honest model shows, in a few words."""
    checklist: pd.DataFrame = field(default_factory=lambda: empty("checklist"))
    """tables/checklist.csv"""
    figures: Sequence[DrawnFigure] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    """Path of each table by its name (csv_tables.SCHEMAS)."""
    warning: str = ""
    """Why this study is no verdict on the papers, in a box on top; empty for a study of their size."""
    stale: Mapping[str, str] = field(default_factory=dict)
    """Path of an artifact -> why it no longer fits the study or the code; what stands on it is marked."""
    recipes: Mapping[str, StudyFacts] = field(default_factory=dict)
    """Run, THIS_RUN or a reference run's title -> the settings of its models and attacks."""
    rerun: str = ""
    """The command that makes the whole page again."""
    references: Sequence[Reference] = ()
    """Large runs that are committed with the code, shown beside this one."""
    independent: Sequence[IndependentMeasurement] = ()
    """claims.independent.read_independent(): what others measured of the papers' defenses."""

    @property
    def moved(self) -> pd.DataFrame:
        """Return the summary's shares of images that were made on one network and are right on another."""
        shares = self.summary["metric"].isin(["accuracy", "fooling_set_accuracy"])
        made = self.summary[shares & (self.summary["attack"] != "none")]
        return made[(made["setting"] == "black_box") | by_one_member(made)]

    @property
    def titles(self) -> dict[str, str]:
        """Return each model's title by its name."""
        return {model.name: model.title for model in self.models}

    @property
    def paper_names(self) -> dict[str, str]:
        """Return each paper's short name by its key: author and year."""
        return {paper.key: paper.short_name for paper in self.papers}


def by_one_member(frame: pd.DataFrame) -> pd.Series[bool]:
    """Say of each row whether the images were made on one named member of the ensemble that they are shown to."""
    elsewhere = (frame["source"] != "") & (frame["source"] != frame["model"])
    return (frame["setting"] == "white_box") & elsewhere & ~frame["source"].isin(list(wording.SOURCES))
