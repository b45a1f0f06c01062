"""What papers claim: every printed number as a `Claim`, and what else a paper's folder says. Imports no torch."""

from __future__ import annotations

import csv
import difflib
import functools
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from reproof import registry
from reproof.errors import ClaimError
from reproof.settings import (
    AGGREGATED,
    MEMBER,
    Count,
    NonNegative,
    Number,
    Settings,
    format_number,
    parse_number,
)

FOLDER = Path(__file__).parent / "papers"

QUANTITY = (
    "dataset",
    "architecture",
    "defense",
    "training",
    "setting",
    "source",
    "attack",
    "parameters",
    "metric",
)
"""The columns that say what a number is about."""
COLUMNS = (
    *("claim_id", "paper", "table", "row", "column"),
    *QUANTITY,
    *("printed", "unit", "value", "evidence", "certainty", "note"),
)
DATASETS = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "ilsvrc")
DEFENSES = (
    "undefended",
    "fgsm_training",
    "pgd_training",
    "input_gradient",
    "decision_surface",
    "adaptive_diversity",
    "prototype_conformity",
    "adaptive_gravity",
    "defensive_features",
    "polarised_contrastive",
    "defensive_features+polarised_contrastive",
    "dynamic_training",
    "domain_adaptation",
    "superimposition",
    "virtual_adversarial",
    "independent_ensemble",
    "distilled_ensemble",
    "diverse_ensemble",
    "magnet",
    "pixel_defend",
    "defense_gan",
)
ARCHITECTURES = (
    "lenet",
    "cnn6",
    "vgg13",
    "vgg16",
    "vgg19",
    "resnet18",
    "resnet32",
    "resnet34",
    "resnet50",
    "resnet110",
    "wide_resnet",
    "dkd_mnist",
    "dkd_cifar10",
)
TRAININGS = ("clean", "fgsm", "pgd", "carlini_wagner")
SETTINGS = ("white_box", "black_box", "adaptive")
MEMBERS = (MEMBER, AGGREGATED)
"""Sources of white-box attacks on an ensemble: one member at a time, or the sum over all members."""
ATTACKS = (
    "none",
    "fgsm",
    "bim",
    "mim",
    "pgd",
    "carlini_wagner",
    "deepfool",
    "jsma",
    "gradient_ensemble",
    "autoattack",
)
PARAMETERS = ("epsilon", "c", "steps")
CERTAINTIES = ("certain", "likely", "unsure", "lost")
"""How sure a cell is: as the text has it; legible and placed with support; placed by a guess; not legible."""
NOT_CLAIMED = ("-", "-/-")
"""What `printed` holds where the paper's cell is a dash: a place in the layout without a value."""
LOST = "?"
"""What `printed` holds where the number is lost in the text that the ledger was typed from."""
SEPARATOR = " · "
"""Stands in `row` and `column` between a printed group heading and the label below it."""
TEXT = "Text"
"""The `table` of numbers that stand in the prose."""


@dataclass(frozen=True)
class Metric:
    """What a number measures: the units it is printed in, its range, and whether it is a share."""

    units: tuple[str, ...]
    words: str
    upper: float = math.inf
    lower: float = 0.0
    share: bool = False
    """True: a fraction, compared by an absolute tolerance; False: compared by a share of the claim."""
    parameter: str = ""
    """A parameter of its own, which is given whatever the attack: the accuracy of a time to reach it."""


_SHARE = ("percent", "fraction")
METRICS: Mapping[str, Metric] = {
    "accuracy": Metric(_SHARE, "accuracy", 1.0, share=True),
    "l2_mean": Metric(("distance",), "mean L2 distance of the successful examples"),
    "train_accuracy": Metric(_SHARE, "accuracy on the training images", 1.0, share=True),
    "train_error": Metric(_SHARE, "error on the training images", 1.0, share=True),
    "fooling_set_accuracy": Metric(
        _SHARE, "accuracy on the adversarial images that fool all their sources", 1.0, share=True
    ),
    "fooling_set_clean_accuracy": Metric(
        _SHARE, "accuracy on the clean images whose adversarial ones fool all their sources", 1.0, share=True
    ),
    "refused": Metric(_SHARE, "share of images answered with no class", 1.0, share=True),
    "failed_majorities": Metric(("images",), "images on which no majority of the members agrees"),
    "accuracy_gain": Metric(("points",), "accuracy gained by the boosted vote", 1.0, -1.0, share=True),
    "epoch_seconds": Metric(("min:s",), "median time of a training epoch"),
    "seconds_to_accuracy": Metric(
        ("h:min",), "training time until a validation accuracy", parameter="accuracy"
    ),
    "chosen_round": Metric(("rounds",), "the round that was chosen"),
    "confidence": Metric(_SHARE, "the network's confidence on one image", 1.0, share=True),
    "strongest_epsilon": Metric(("levels",), "the ε at which a single step succeeds most often", 1.0),
}
_NUMBER = r"(?P<number>[-−]?\d+(?:\.\d+)?)"
_FORMS: Mapping[str, tuple[str, float]] = {
    "percent": (_NUMBER + " ?%?", 1 / 100),
    "points": (_NUMBER + " ?%?", 1 / 100),
    "levels": (_NUMBER, 1 / 255),
    "fraction": (_NUMBER, 1.0),
    "distance": (_NUMBER, 1.0),
    "images": (_NUMBER, 1.0),
    "rounds": (_NUMBER, 1.0),
    "min:s": (r"(?P<large>\d+):(?P<small>[0-5]\d) ?m?", 1.0),
    "h:min": (r"(?P<large>\d+):(?P<small>[0-5]\d) ?h?", 60.0),
}
"""Unit -> how a number in it is printed (parentheses apart), and what one of it is in the metric's own unit."""
UNITS = tuple(_FORMS)


@dataclass(frozen=True)
class Claim:
    """One printed number of a paper; `value` is a fraction or in SI units, None for a dash or a lost cell."""

    claim_id: str
    paper: str
    table: str
    row: str
    column: str
    dataset: str
    architecture: str
    defense: str
    training: str
    setting: str
    source: str
    """Networks that transferred images were made on, as `Source` reads it; empty where source is target."""
    attack: str
    parameters: str
    metric: str
    printed: str
    unit: str
    """How it is printed: percent, fraction, points, images, min:s ..."""
    value: float | None
    evidence: str
    certainty: str
    note: str
    """Keys into the paper's `notes`, separated by blanks."""

    @property
    def quantity(self) -> tuple[str, ...]:
        """Return the key that names what was measured, whoever claims it."""
        return tuple(getattr(self, name) for name in QUANTITY)

    @property
    def epsilon(self) -> str | None:
        """Return the budget as written in `parameters`; None for claims without one."""
        named = dict(part.split("=") for part in self.parameters.split())
        return named.get("epsilon")

    @property
    def copied(self) -> bool:
        """Say whether its authors took it from another paper: no evidence of theirs."""
        return self.evidence != "measured"

    @property
    def half_digit(self) -> float:
        """Return half a unit of the last printed digit, in the unit of `value`."""
        return 0.5 * _last_digit(self.printed, self.unit)


@dataclass(frozen=True)
class Source:
    """One kind of network that transferred images were made on."""

    architecture: str
    defense: str = "undefended"
    training: str = "clean"
    networks: int = 1

    @classmethod
    def read(cls, text: str) -> tuple[Source, ...]:
        """Return the sources of `vgg13*3 + vgg19:fgsm_training`; ValueError says which word is unknown."""
        return tuple(cls._one(part) for part in text.split(" + "))

    @classmethod
    def _one(cls, text: str) -> Source:
        network, star, count = text.partition("*")
        if star and not (count.isdigit() and int(count) > 1):
            raise ValueError(f"{text!r} should end in *2 or more")
        architecture, *rest = network.split(":")
        defense, training = [*rest, *("undefended", "clean")[len(rest) :]][:2]
        if rest and len(rest) == 1:
            training = {"fgsm_training": "fgsm", "pgd_training": "pgd"}.get(variant_of(defense), "clean")
        if len(rest) > 2:
            raise ValueError(f"{text!r} should read architecture:defense:training")
        for word, known in (
            (architecture, ARCHITECTURES),
            (variant_of(defense), (*DEFENSES, *registry.names("defenses"))),
            (training, TRAININGS),
        ):
            if word not in known:
                raise ValueError(f"{word!r} is unknown{_nearest(word, known)}")
        return cls(architecture, defense, training, int(count) if star else 1)

    def __str__(self) -> str:
        """Return it in words: `5 vgg13`, `vgg19 with fgsm_training`."""
        text = f"{self.networks} {self.architecture}" if self.networks > 1 else self.architecture
        if self.defense != "undefended":
            text += f" with {self.defense}"
        if self.training not in ("clean", variant_of(self.defense).removesuffix("_training")):
            text += f", trained on {self.training} examples"
        return text


def variant_of(defense: str) -> str:
    """Return the defense of a variant: `diverse_ensemble` for `diverse_ensemble[boosted]`."""
    return re.sub(r"\[[\w.=,]+\]$", "", defense)


class PaperBudget(Settings):
    """What the paper gave its own models on one data set; None where it does not say."""

    epochs: Count | None = None
    train_images: Count | None = None
    test_images: Count | None = None
    seeds: Count | None = None


class PaperTable(Settings):
    """A table's shape, which its claims must have, and a caption in our own words."""

    caption: str
    rows: Count
    columns: Count
    cells: Count


class HyperParameter(Settings):
    """A number that the paper states, and where."""

    name: str
    value: str
    place: str


class Reading(Settings):
    """A place where the paper is silent or unclear, what was chosen, and the setting that changes it."""

    gap: str
    choice: str
    reason: str
    setting: str


class Contradiction(Settings):
    """Places that do not agree: of one paper with each other or its own words, or with another paper."""

    places: tuple[str, ...] = Field(min_length=1)
    values: tuple[str, ...] = Field(min_length=1)
    meaning: str
    cells: tuple[str, ...] = ()
    """Patterns of claim ids, `*` for any text, that name the claims it is about."""


class Statement(Settings):
    """A comparison that the prose makes, judged over cells: as printed, and as measured."""

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    place: str
    words: str
    left: tuple[str, ...] = Field(min_length=1)
    """Patterns of claim ids: what is said to be more, less, or about as much."""
    right: tuple[str, ...] = ()
    """Patterns of claim ids: what it is compared with. A claim is never compared with itself."""
    value: Number | None = None
    """What it is compared with instead: a number."""
    pair_by: tuple[str, ...] = ()
    """Columns in which two claims must agree to be a pair."""
    against: Literal["each", "best", "worst"] = "each"
    """Of the right claims of a left one: all of them, the largest, or the smallest."""
    relation: Literal["more", "less", "about"]
    margin: Number = 0.0
    """By how much: left - right >= margin, left - right <= -margin, or |left - right - margin| <= tolerance."""
    scale: Literal["absolute", "relative"] = "absolute"
    """Differences as they are, or as a share of the right one."""
    tolerance: NonNegative | None = None
    """What rounding may take; 0.0005, and 0.005 for `about`, where not given."""
    holds_for: Literal["all", "some", "mean"] = "all"

    @property
    def slack(self) -> float:
        """Return the tolerance."""
        if self.tolerance is not None:
            return self.tolerance
        return 0.005 if self.relation == "about" else 0.0005

    @model_validator(mode="after")
    def _right_or_value(self) -> Statement:
        if bool(self.right) == (self.value is not None):
            raise ValueError("needs either right or value")
        for name in self.pair_by:
            if name not in COLUMNS:
                raise ValueError(f"pair_by: {name!r} is unknown{_nearest(name, COLUMNS)}")
        return self


class Paper(Settings):
    """A paper's folder: what paper.yaml says, and the claims of claims.csv in the file's order."""

    key: str
    title: str
    year: int = Field(ge=1950, le=2100)
    citation: str
    summary: str
    threat_model: str
    tables: dict[str, PaperTable]
    """In the order printed; numbers of the prose are the table `Text`."""
    notes: dict[str, str] = Field(default_factory=dict)
    """What a cell's `note` names by its key."""
    budgets: dict[str, PaperBudget]
    """Data set -> the paper's own budget."""
    attacks: dict[str, dict[str, Number]]
    """Attack -> what the paper says of it, or is read to say, by the names of the attack's own settings."""
    hyper_parameters: tuple[HyperParameter, ...]
    readings: tuple[Reading, ...]
    contradictions: tuple[Contradiction, ...]
    statements: tuple[Statement, ...] = ()
    claims: tuple[Claim, ...]

    def note(self, claim: Claim) -> str:
        """Return a claim's notes as text."""
        return " ".join(self.notes[key] for key in claim.note.split())


def papers(folder: Path = FOLDER) -> list[Paper]:
    """Return every paper under the folder, oldest first; ClaimError names the file and the place.

    What names other claims is checked here: patterns that match nothing, notes and sources of copies that do
    not exist.
    """
    found = sorted(path.parent for path in folder.glob("*/paper.yaml"))
    for path in folder.glob("*/claims.csv"):
        if path.parent not in found:
            raise ClaimError(f"{path.parent / 'paper.yaml'}: missing; every folder with claims.csv needs one")
    read = sorted((_read_paper(path) for path in found), key=lambda paper: (paper.year, paper.key))
    for paper in read:
        _check_references(folder / paper.key, paper, read)
    return read


def select(patterns: Iterable[str], paper: Paper, among: Sequence[Paper]) -> list[Claim]:
    """Return the claims whose id fits one of the patterns, in the ledger's order.

    `*` stands for any text. A pattern that does not begin with a paper's key is about `paper` itself.
    """
    keys = {other.key for other in among} | {paper.key}
    expressions = [_expression(pattern, paper.key, frozenset(keys)) for pattern in patterns]
    return [
        claim
        for other in among
        for claim in other.claims
        if any(expression.fullmatch(claim.claim_id) for expression in expressions)
    ]


@functools.cache
def _expression(pattern: str, own: str, keys: frozenset[str]) -> re.Pattern[str]:
    full = pattern if pattern.partition(".")[0] in keys else f"{own}.{pattern}"
    return re.compile(".*".join(re.escape(part) for part in full.split("*")))


def _check_references(folder: Path, paper: Paper, read: Sequence[Paper]) -> None:
    path = folder / "paper.yaml"
    named = [
        (f"contradictions.{position}.cells", pattern)
        for position, found in enumerate(paper.contradictions)
        for pattern in found.cells
    ]
    for position, statement in enumerate(paper.statements):
        named += [(f"statements.{position}.left", pattern) for pattern in statement.left]
        named += [(f"statements.{position}.right", pattern) for pattern in statement.right]
    for place, pattern in named:
        if not select([pattern], paper, read):
            ids = [claim.claim_id for other in read for claim in other.claims]
            full = pattern if pattern.partition(".")[0] in {p.key for p in read} else f"{paper.key}.{pattern}"
            raise ClaimError(f"{path}: {place}: {pattern!r} fits no claim{_nearest(full, ids, 1)}")
    keys = [other.key for other in read]
    for claim in paper.claims:
        origin = claim.evidence.removeprefix("copied from ")
        if claim.copied and " " not in origin and origin not in keys:
            place = f"{folder / 'claims.csv'}, claim {claim.claim_id}, column evidence"
            raise ClaimError(f"{place}: there is no paper {origin!r}{_nearest(origin, keys)}")


def _read_paper(folder: Path) -> Paper:
    path = folder / "paper.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClaimError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ClaimError(f"{path}: should be a mapping of keys to values")
    for key in ("key", "claims"):
        if key in content:
            raise ClaimError(
                f"{path}: {key}: is not written here; it comes from the folder's name and claims.csv"
            )
    claims = read_claims(folder / "claims.csv")
    try:
        paper = Paper.model_validate({**content, "key": folder.name, "claims": claims})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ClaimError(f"{path}: {place}: {message}" if place else f"{path}: {message}") from error
    for claim in paper.claims:
        place = f"{folder / 'claims.csv'}, claim {claim.claim_id}"
        if claim.paper != paper.key:
            raise ClaimError(f"{place}, column paper: is {claim.paper!r}; the folder is called {paper.key!r}")
        if claim.table not in paper.tables:
            raise ClaimError(f"{path}: tables: has no caption for {claim.table!r}, which claims.csv names")
        for key in claim.note.split():
            if key not in paper.notes:
                raise ClaimError(
                    f"{place}, column note: {path.name} has no note {key!r}{_nearest(key, paper.notes)}"
                )
    for name, table in paper.tables.items():
        own = [claim for claim in claims if claim.table == name]
        shape = {
            "rows": len({claim.row for claim in own}),
            "columns": len({claim.column for claim in own}),
            "cells": len(own),
        }
        for what, number in shape.items():
            if number != getattr(table, what):
                raise ClaimError(
                    f"{path}: tables.{name}.{what}: is {getattr(table, what)}; claims.csv has {number}"
                )
    statements = [statement.key for statement in paper.statements]
    for key in statements:
        if statements.count(key) > 1:
            raise ClaimError(f"{path}: statements: the key {key!r} stands twice")
    return paper


def read_claims(path: Path) -> list[Claim]:
    """Return the file's claims in its order; ClaimError names line, column and the nearest right word."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ClaimError(f"{path}: cannot be read: {error}") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    claims: list[Claim] = []
    seen: dict[tuple[str, ...], tuple[int, Claim]] = {}
    try:
        header = next(reader, [])
        _check_header(path, header)
        for cells in reader:
            place = f"{path}, line {reader.line_num}"
            if len(cells) != len(header):
                raise ClaimError(f"{place}: has {len(cells)} cells, the header has {len(header)}")
            claim = _claim(place, dict(zip(header, cells, strict=True)))
            for column, what, key in (
                ("row", "cell", ("cell", claim.table, claim.row, claim.column)),
                ("claim_id", "id", ("id", claim.claim_id)),
                ("parameters", "quantity", ("quantity", claim.table, *claim.quantity)),
            ):
                line, first = seen.setdefault(key, (reader.line_num, claim))
                if first is not claim and not (what == "quantity" and _may_repeat(claim, first)):
                    raise ClaimError(
                        f"{place}, column {column}: the {what} {' / '.join(key[1:])} "
                        f"stands already in line {line}"
                    )
            claims.append(claim)
    except csv.Error as error:
        raise ClaimError(f"{path}, line {reader.line_num}: is no CSV: {error}") from error
    return claims


def _may_repeat(claim: Claim, first: Claim) -> bool:
    """Say whether a quantity may stand in a table twice: in the prose, or where the same number is printed."""
    return claim.table == TEXT or first.printed == claim.printed


def claim_id(paper: str, table: str, row: str, column: str) -> str:
    """Return the id of a cell, made of its labels: `mustafa_pcl.table_9.pgd.eps_0_1.ours_f_star`."""
    pieces = [piece for label in (table, row, column) for piece in label.split(SEPARATOR)]
    return ".".join([paper, *(_slug(piece) for piece in pieces)])


_SPELLED = {"ε": "eps", "α": "alpha", "λ": "lambda", "ζ": "zeta", "&": "and", "*": "_star_"}


def _slug(label: str) -> str:
    text = label.lower()
    for sign, word in _SPELLED.items():
        text = text.replace(sign, word)
    return "_".join(part for part in re.split(r"[^a-z0-9]+", text) if part)


def _check_header(path: Path, header: list[str]) -> None:
    for name in header:
        if name not in COLUMNS:
            raise ClaimError(f"{path}, line 1: column {name!r} is unknown{_nearest(name, COLUMNS)}")
        if header.count(name) > 1:
            raise ClaimError(f"{path}, line 1: column {name!r} stands twice")
    for name in COLUMNS:
        if name not in header:
            raise ClaimError(
                f"{path}, line 1: column {name!r} is missing; the columns are {', '.join(COLUMNS)}"
            )


def _claim(place: str, cells: dict[str, str]) -> Claim:
    for name, text in cells.items():
        if text != " ".join(text.split()):
            raise ClaimError(f"{place}, column {name}: {text!r} has a line break, or a blank too many")
    for name in ("claim_id", "paper", "table", "row", "column", "architecture", "printed"):
        if not cells[name]:
            raise ClaimError(f"{place}, column {name}: is empty")
    for name, word, known in (
        ("dataset", cells["dataset"], DATASETS),
        ("architecture", cells["architecture"], ARCHITECTURES),
        ("defense", variant_of(cells["defense"]), (*DEFENSES, *registry.names("defenses"))),
        ("training", cells["training"], TRAININGS),
        ("setting", cells["setting"], SETTINGS),
        ("attack", cells["attack"], (*ATTACKS, *registry.names("attacks"))),
        ("metric", cells["metric"], tuple(METRICS)),
        ("unit", cells["unit"], METRICS[cells["metric"]].units if cells["metric"] in METRICS else UNITS),
        ("certainty", cells["certainty"], CERTAINTIES),
    ):
        if word not in known:
            raise ClaimError(f"{place}, column {name}: {word!r} is unknown{_nearest(word, known)}")
    wanted = claim_id(cells["paper"], cells["table"], cells["row"], cells["column"])
    if cells["claim_id"] != wanted:
        raise ClaimError(
            f"{place}, column claim_id: {cells['claim_id']!r} should be {wanted!r}, which paper, table, row and "
            "column make"
        )
    _check_source(f"{place}, column source", cells)
    _check_parameters(f"{place}, column parameters", cells["attack"], cells["metric"], cells["parameters"])
    evidence = cells["evidence"]
    if evidence != "measured" and not re.fullmatch(r"copied from \S.*", evidence):
        raise ClaimError(
            f"{place}, column evidence: {evidence!r} should be 'measured' or 'copied from <paper>'"
        )
    value = _value(place, cells)
    return Claim(
        **{field.name: cells[field.name] for field in fields(Claim) if field.name != "value"}, value=value
    )


def _check_source(place: str, cells: Mapping[str, str]) -> None:
    source, setting = cells["source"], cells["setting"]
    if setting == "black_box" and not source:
        raise ClaimError(f"{place}: is empty; a black_box attack names the network its images were made on")
    if setting == "black_box":
        try:
            Source.read(source)
        except ValueError as error:
            raise ClaimError(f"{place}: {error}") from error
    elif source and source not in MEMBERS:
        raise ClaimError(
            f"{place}: {source!r} should be empty where the setting is {setting!r}, or, for an ensemble, one of "
            f"{', '.join(MEMBERS)}"
        )


def _check_parameters(place: str, attack: str, metric: str, text: str) -> None:
    own = METRICS[metric].parameter
    if attack == "none" and not own:
        if text:
            raise ClaimError(f"{place}: {text!r} should be empty where the attack is 'none'")
        return
    allowed = (own,) if own else PARAMETERS
    if own and not text:
        raise ClaimError(f"{place}: is empty; {metric} needs one such as {own}=0.5")
    seen = set()
    for part in text.split(" ") if text else ():
        name, equals, number = part.partition("=")
        if not equals:
            raise ClaimError(f"{place}: {part!r} should read name=number, such as {allowed[0]}=0.3")
        if name not in allowed:
            raise ClaimError(f"{place}: {name!r} is unknown{_nearest(name, allowed)}")
        if name in seen:
            raise ClaimError(f"{place}: {name!r} stands twice")
        seen.add(name)
        try:
            written = format_number(parse_number(number))
        except (ValueError, OverflowError):
            raise ClaimError(f"{place}: {number!r} is no number such as 0.3") from None
        if written != number:
            raise ClaimError(
                f"{place}: {part!r} should be written {name}={written}, as measurements write it"
            )


def _value(place: str, cells: Mapping[str, str]) -> float | None:
    """Return the value, having checked it against the printed text and its unit."""
    printed, text, unit = cells["printed"], cells["value"], cells["unit"]
    if (printed == LOST) != (cells["certainty"] == "lost"):
        raise ClaimError(f"{place}, column certainty: is 'lost' where, and only where, {LOST!r} is printed")
    empty = printed in NOT_CLAIMED or printed == LOST
    if empty != (text == ""):
        signs = ", ".join(map(repr, (*NOT_CLAIMED, LOST)))
        raise ClaimError(f"{place}, column value: is empty where, and only where, one of {signs} is printed")
    if empty:
        return None
    one, match = _read_print(printed, unit)
    if match is None:
        raise ClaimError(f"{place}, column printed: {printed!r} is no number printed as {unit}")
    try:
        value = float(text)
    except ValueError:
        raise ClaimError(f"{place}, column value: {text!r} is no number") from None
    metric = METRICS[cells["metric"]]
    if not metric.lower <= value <= metric.upper or math.isinf(value):
        upper = "∞)" if math.isinf(metric.upper) else f"{metric.upper:g}]"
        hint = "; fractions, not percentages" if metric.share else ""
        raise ClaimError(f"{place}, column value: {text} lies outside [{metric.lower:g}, {upper}{hint}")
    found = match.groupdict()
    if "large" in found:
        stands_for = one * (60 * int(found["large"]) + int(found["small"]))
    else:
        stands_for = one * float(found["number"].replace("−", "-"))
    if abs(value - stands_for) > 1e-9 * max(1.0, abs(stands_for)):
        raise ClaimError(
            f"{place}, column value: {text} does not mean the printed {printed!r} in {unit}, "
            f"which is {stands_for:g}"
        )
    return value


def _read_print(printed: str, unit: str) -> tuple[float, re.Match[str] | None]:
    """Return what one is worth in the unit, and the printed number; None where it is not printed so."""
    form, one = _FORMS[unit]
    inner = printed[1:-1] if printed.startswith("(") and printed.endswith(")") else printed
    return one, re.fullmatch(form, inner)


def _last_digit(printed: str, unit: str) -> float:
    one, match = _read_print(printed, unit)
    if match is None:
        return 0.0
    number = match.groupdict().get("number", "")
    return one * 10.0 ** -len(number.partition(".")[2])


def _nearest(word: str, known: Iterable[str], shown: int = 1000) -> str:
    choices = sorted(set(known))
    near = [choice for choice in choices if word and choice.startswith(word)]
    if len(near) != 1:
        near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are: {', '.join(choices)}" if len(choices) <= shown else ""
