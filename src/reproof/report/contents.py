"""What the page is made of, as plain frozen data. Who reads a results tree fills it; `render` draws it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from reproof.claims.paper import Paper
from reproof.errors import ArtifactError
from reproof.reference import Reference

Row = Mapping[str, str]
"""A row of a CSV table, as csv.DictReader gives it: all text, '' for missing."""


@dataclass(frozen=True)
class Model:
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
    budget: Mapping[str, Any] = field(default_factory=dict)
    """What it was given, in words: {"epochs": 20, "training images": 1200}."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Its slice of the study, nested as in the YAML."""
    deviations: tuple[str, ...] = ()
    """`Defense.deviations`: where this implementation departs from its paper."""


@dataclass(frozen=True)
class Attack:
    """An attack stanza of the study. The order of attacks is the order of the columns."""

    name: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The stanza: epsilons, steps, view, images."""
    title: str = ""
    """For people; empty takes the common name (`wording.attack`)."""


@dataclass(frozen=True)
class Threat:
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
    view: str = ""
    """The defense's own loss that the attacks climb; empty for the plain one on the logits."""


@dataclass(frozen=True)
class Step:
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
    steps: tuple[Step, ...]
    """From the data to the table. The step with the stage `outcome` is the file that the card names."""
    source: str = ""
    """As in the tables' column `source`: the model itself, another, or which members of it; empty fits any."""
    attacks: tuple[str, ...] = ()
    """The attacks of the threat; empty fits any attack."""


@dataclass(frozen=True)
class Flag:
    """One gradient-masking check of one model."""

    model: str
    check: str
    """In a few words: "iterative attacks at least as strong as single-step"."""
    raised: bool | None
    """True: a red flag. False: passed. None: not checked, and the sentence says why."""
    sentence: str
    """One plain sentence with its numbers."""
    gate: str = ""
    """As in red_flags.GATES; empty where the check's words name it."""


@dataclass(frozen=True)
class Figure:
    """A figure as SVG text; its title and caption come from inside the file."""

    name: str
    svg: str
    title: str
    caption: str
    path: str = ""
    """Its file, as in `ReportData.records`; the card names it."""

    @classmethod
    def from_svg(cls, name: str, svg: str, path: str = "") -> Figure:
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
    models: Sequence[Model]
    attacks: Sequence[Attack]
    threats: Sequence[Threat]
    summary: Sequence[Row]
    """tables/summary.csv"""
    measurements: Sequence[Row]
    """tables/measurements.csv"""
    verdicts: Sequence[Row]
    """tables/verdicts.csv"""
    papers: Sequence[Paper]
    """claims.papers(): citation, readings, contradictions, captions and claims in the order printed."""
    trails: Sequence[Trail]
    records: Mapping[str, Mapping[str, Any]]
    """Path of an artifact, as in the trails -> its record.json."""
    statements: Sequence[Row] = ()
    """tables/statements.csv"""
    classes: Sequence[Row] = ()
    """tables/per_class.csv"""
    images: Sequence[Row] = ()
    """tables/per_image.csv"""
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Data set, as in the models' `dataset` -> its classes' names in the order of the labels."""
    flags: Sequence[Flag] = ()
    checklist: Sequence[Row] = ()
    """tables/checklist.csv"""
    figures: Sequence[Figure] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    """Path of each table by its name: measurements, summary, verdicts, statements, red_flags, checklist."""
    warning: str = ""
    """Why this study is no verdict on the papers, in a box on top; empty for a study of their size."""
    stale: Mapping[str, str] = field(default_factory=dict)
    """Path of an artifact -> why it no longer fits the study or the code; what stands on it is marked."""
    rerun: str = ""
    """The command that makes the whole page again."""
    references: Sequence[Reference] = ()
    """Large runs that are committed with the code, shown beside this one."""
