"""What papers claim: every printed number as a `Claim`, and what else a paper's folder says. Imports no torch."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator

from reproof.claims.claim import Claim
from reproof.claims.protocol import Experiment, Stated, protocol_of
from reproof.claims.reader import read_claims
from reproof.claims.vocabulary import COLUMNS, FAMILIES, Names, Terms, nearest, not_built
from reproof.errors import ClaimError
from reproof.fast_yaml import LOADER
from reproof.settings.values import Count, NonNegative, Number, Settings

FOLDER = Path(__file__).parents[1] / "papers"


class PaperTable(Settings):
    """A table's shape, which its claims must have, and a caption in our own words."""

    caption: str
    rows: Count
    columns: Count
    cells: Count
    one_model: Literal["row", "column", "cell"] = "cell"
    """Which of its cells the paper measured on one model, as far as they are about the same data set, network,
    defense and training: those of a row, of a column, or each cell by itself."""


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
    papers: tuple[str, ...] = ()
    """Keys of the other papers that it is with; empty where the paper disagrees with itself alone."""
    cells: tuple[str, ...] = ()
    """Patterns of claim ids, `*` for any text, that name the claims it is about."""


class Unmeasurable(Settings):
    """Claims that no study measures, and why: the paper says too little of them, or nothing here counts it."""

    claims: Names
    """Patterns of claim ids of this paper, `*` for any text."""
    reason: str = Field(min_length=1)


class PaperFigure(Settings):
    """A figure of the paper of which the same is drawn here, and what is printed of it."""

    name: str = Field(min_length=1)
    shows: str
    """In our own words."""
    drawn: tuple[str, ...] = Field(min_length=1)
    """How the names of our figures begin that show the same."""
    claims: tuple[str, ...] = ()
    """Patterns of claim ids, `*` for any text: the numbers that are printed of it."""
    statements: tuple[str, ...] = ()
    """Keys of the statements about it."""


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
                raise ValueError(f"pair_by: {name!r} is unknown{nearest(name, COLUMNS)}")
        return self


class Paper(Settings):
    """A paper's folder: what paper.yaml says, and the claims of claims.csv in the file's order."""

    key: str
    title: str
    short_name: str = Field(min_length=1)
    """What tables call it: `Mustafa 2019`."""
    year: int = Field(ge=1950, le=2100)
    citation: str
    summary: str
    thesis: str = ""
    """What it claims, in one sentence, with its place; quoted where a short quotation says it."""
    headlines: tuple[str, ...] = ()
    """Ids of the claims that it stands or falls by, the first one first; each measured by its own authors."""
    threat_model: str
    tables: dict[str, PaperTable]
    """In the order printed; numbers of the prose are the table `Text`."""
    notes: dict[str, str] = Field(default_factory=dict)
    """What a cell's `note` names by its key."""
    terms: Terms = Terms()
    """What the paper calls what its claims are about."""
    others: tuple[str, ...] = ()
    """Keys of other papers that its contradictions, statements and copies name; they need not be there."""
    protocol: tuple[Experiment, ...] = ()
    """Its experiments, general ones first: of two that state a setting the later one counts."""
    readings: tuple[Reading, ...]
    contradictions: tuple[Contradiction, ...]
    statements: tuple[Statement, ...] = ()
    unmeasurable: tuple[Unmeasurable, ...] = ()
    figures: tuple[PaperFigure, ...] = ()
    claims: tuple[Claim, ...]

    def not_built(self) -> dict[str, list[str]]:
        """Return the keys of its claims, and of its terms, that no plugin here stands for: family -> keys, sorted."""
        keys = {(column, getattr(claim, column)) for claim in self.claims for column in FAMILIES}
        keys |= {(column, key) for column, family in FAMILIES.items() for key in self.terms.of(family)}
        return {
            family: sorted({key for name, word in keys if name == column for key in not_built(name, word)})
            for column, family in FAMILIES.items()
        }

    def protocol_of(self, claim: Claim) -> dict[str, Stated]:
        """Return what the paper states of a claim's experiment, by setting."""
        return protocol_of(self.protocol, claim)

    def reason_not_measurable(self, claim: Claim) -> str:
        """Return why no study can measure one of its claims; the empty text where one can."""
        for entry in self.unmeasurable:
            if _expression(entry.claims, self.key, frozenset({self.key}))[0].fullmatch(claim.claim_id):
                return entry.reason
        return ""

    def note(self, claim: Claim) -> str:
        """Return a claim's notes as text."""
        return " ".join(self.notes[key] for key in claim.note.split())


def papers(folder: Path = FOLDER) -> list[Paper]:
    """Return every paper under the folder, oldest first; ClaimError names the file and the place.

    What names other claims is checked here: patterns that match nothing, notes and sources of copies that do
    not exist. Contradictions and statements about a paper that is not there are left out, if `others` names it.
    """
    found = sorted(path.parent for path in folder.glob("*/paper.yaml"))
    for path in folder.glob("*/claims.csv"):
        if path.parent not in found:
            raise ClaimError(f"{path.parent / 'paper.yaml'}: missing; every folder with claims.csv needs one")
    read = sorted((_read_paper(path) for path in found), key=lambda paper: (paper.year, paper.key))
    for paper in read:
        _check_references(folder / paper.key, paper, read)
    return [_without_absent(paper, read) for paper in read]


def _absent(paper: Paper, read: Sequence[Paper]) -> set[str]:
    return set(paper.others) - {other.key for other in read}


def _without_absent(paper: Paper, read: Sequence[Paper]) -> Paper:
    absent = _absent(paper, read)

    def complete(*patterns: str) -> bool:
        return not any(pattern.partition(".")[0] in absent for pattern in patterns)

    kept = {
        "contradictions": tuple(one for one in paper.contradictions if complete(*one.cells, *one.papers)),
        "statements": tuple(one for one in paper.statements if complete(*one.left, *one.right)),
    }
    return paper.model_copy(update=kept) if absent else paper


def select(patterns: Iterable[str], paper: Paper, among: Sequence[Paper]) -> list[Claim]:
    """Return the claims whose id fits one of the patterns, in the claims table's order.

    `*` stands for any text. A pattern that does not begin with a paper's key is about `paper` itself.
    """
    keys = frozenset({*(other.key for other in among), paper.key})
    expression, about = _expression(tuple(patterns), paper.key, keys)
    return [
        claim
        for other in among
        if other.key in about
        for claim in other.claims
        if expression.fullmatch(claim.claim_id)
    ]


@functools.cache
def _expression(
    patterns: tuple[str, ...], own: str, keys: frozenset[str]
) -> tuple[re.Pattern[str], frozenset[str]]:
    """Return what fits as soon as one pattern does, and the keys of the papers that the patterns are about."""
    full = [one if one.partition(".")[0] in keys else f"{own}.{one}" for one in patterns]
    either = "|".join(".*".join(re.escape(part) for part in one.split("*")) for one in full)
    return re.compile(either), frozenset(one.partition(".")[0] for one in full)


def _check_references(folder: Path, paper: Paper, read: Sequence[Paper]) -> None:
    path = folder / "paper.yaml"
    named = [
        (f"contradictions.{position}.cells", pattern)
        for position, found in enumerate(paper.contradictions)
        for pattern in found.cells
    ]
    for position, figure in enumerate(paper.figures):
        named += [(f"figures.{position}.claims", pattern) for pattern in figure.claims]
        keys = [statement.key for statement in paper.statements]
        for key in figure.statements:
            if key not in keys:
                raise ClaimError(
                    f"{path}: figures.{position}.statements: {key!r} is unknown{nearest(key, keys)}"
                )
    for position, statement in enumerate(paper.statements):
        named += [(f"statements.{position}.left", pattern) for pattern in statement.left]
        named += [(f"statements.{position}.right", pattern) for pattern in statement.right]
    absent = _absent(paper, read)
    for place, pattern in named:
        if pattern.partition(".")[0] not in absent and not select([pattern], paper, read):
            ids = [claim.claim_id for other in read for claim in other.claims]
            full = pattern if pattern.partition(".")[0] in {p.key for p in read} else f"{paper.key}.{pattern}"
            raise ClaimError(f"{path}: {place}: {pattern!r} fits no claim{nearest(full, ids, 1)}")
    for position, entry in enumerate(paper.unmeasurable):
        for pattern in entry.claims:
            if not select([pattern], paper, [paper]):
                own = [claim.claim_id for claim in paper.claims]
                raise ClaimError(
                    f"{path}: unmeasurable.{position}.claims: {pattern!r} fits no claim of this paper"
                    f"{nearest(f'{paper.key}.{pattern}', own, 1)}"
                )
    own_claims = {claim.claim_id: claim for claim in paper.claims}
    for position, key in enumerate(paper.headlines):
        if key not in own_claims:
            raise ClaimError(
                f"{path}: headlines.{position}: {key!r} is no claim of this paper{nearest(key, own_claims, 1)}"
            )
        if own_claims[key].value is None or own_claims[key].copied:
            raise ClaimError(f"{path}: headlines.{position}: {key!r} is no number that its authors measured")
    keys = [*(other.key for other in read), *paper.others]
    for position, contradiction in enumerate(paper.contradictions):
        place = f"{path}: contradictions.{position}.papers"
        for key in contradiction.papers:
            if key not in keys or key == paper.key:
                raise ClaimError(f"{place}: there is no other paper {key!r}{nearest(key, keys)}")
        cells = select(contradiction.cells, paper, read) if contradiction.cells else []
        for key in sorted({claim.paper for claim in cells} - {paper.key, *contradiction.papers}):
            raise ClaimError(f"{place}: must name {key!r}, of which its cells are")
    for claim in paper.claims:
        origin = claim.evidence.removeprefix("copied from ")
        if claim.copied and " " not in origin and origin not in keys:
            place = f"{folder / 'claims.csv'}, claim {claim.claim_id}, column evidence"
            raise ClaimError(f"{place}: there is no paper {origin!r}{nearest(origin, keys)}")


def _read_paper(folder: Path) -> Paper:
    path = folder / "paper.yaml"
    content = _load(path)
    terms = _validated(path, Terms, content.get("terms", {}), "terms")
    claims = read_claims(folder / "claims.csv", terms)
    paper = _validated(path, Paper, {**content, "key": folder.name, "claims": claims})
    for claim in paper.claims:
        place = f"{folder / 'claims.csv'}, claim {claim.claim_id}"
        if claim.paper != paper.key:
            raise ClaimError(f"{place}, column paper: is {claim.paper!r}; the folder is called {paper.key!r}")
        if claim.table not in paper.tables:
            raise ClaimError(f"{path}: tables: has no caption for {claim.table!r}, which claims.csv names")
        for key in claim.note.split():
            if key not in paper.notes:
                raise ClaimError(
                    f"{place}, column note: {path.name} has no note {key!r}{nearest(key, paper.notes)}"
                )
    _check_shapes(path, paper)
    statements = [statement.key for statement in paper.statements]
    for key in statements:
        if statements.count(key) > 1:
            raise ClaimError(f"{path}: statements: the key {key!r} stands twice")
    return paper


def _load(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClaimError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ClaimError(f"{path}: should be a mapping of keys to values")
    for key in ("key", "claims"):
        if key in content:
            raise ClaimError(
                f"{path}: {key}: is not written here; it comes from the folder's name and claims.csv"
            )
    return content


Section = TypeVar("Section", bound=Settings)


def _validated(path: Path, model: type[Section], content: Any, *place: str) -> Section:
    """Return what a file says at a place, checked; ClaimError names the place."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join((*place, *map(str, first["loc"])))
        message = first["msg"].removeprefix("Value error, ")
        raise ClaimError(f"{path}: {where}: {message}" if where else f"{path}: {message}") from error


def _check_shapes(path: Path, paper: Paper) -> None:
    for name, table in paper.tables.items():
        own = [claim for claim in paper.claims if claim.table == name]
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
