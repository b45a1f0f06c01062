"""What a paper says of its experiments: each setting that defines one, with its place or as our reading."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from reproof.claims.claim import Claim
from reproof.claims.vocabulary import QUANTITY, Names, nearest
from reproof.settings.values import Settings, parse_number

Grade = Literal["A", "B", "C"]
"""A: the paper's own experiment. B: its amount or manner of training, or the attack's strength, differs, or its authors
released another network than they print. C: it is another experiment."""
Value = bool | int | float | str | None | tuple["Value", ...]
"""A setting's value, as JSON has it; `normal` makes equal what means the same."""

COLUMNS = ("table", *QUANTITY, "evidence")
"""The columns of a claim by which an experiment says which claims it is of."""
GRADES: Mapping[str, Grade] = {
    "images": "A",
    "seeds": "A",
    "training_images": "B",
    "training.adversarial": "C",
    "training": "B",
    "source": "B",
    "attack": "B",
    "dataset": "C",
    "architecture": "C",
    "defense": "C",
}
"""A setting, or the family before its first dot -> the grade of an experiment that differs in it."""


class Stated(Settings):
    """The value of one setting in the paper's experiment, and where the paper prints it, or why it is read so."""

    value: Any = Field(alias="is")
    place: str = ""
    """Where it is printed; empty where the paper is silent or unclear."""
    reading: str = ""
    """Why it is read so, where the paper does not print it."""
    alternatives: tuple[Any, ...] = Field((), alias="or")
    """Other readings, as plausible: with any of them it is still the paper's experiment."""
    where: dict[str, dict[str, tuple[Any, ...]]] = Field(default_factory=dict)
    """Another setting -> its value, as text -> those of the readings that go together with it: an optimiser's rates."""
    grade: Literal["B", "C"] | None = None
    """The grade of an experiment with another value, where it is not the one of the setting's family (GRADES)."""

    @model_validator(mode="before")
    @classmethod
    def _know_every_key(cls, data: Any) -> Any:
        """Refuse an unknown key; the names of Python are not those of the file."""
        known = ("is", "place", "reading", "or", "where", "grade")
        for key in data if isinstance(data, dict) else ():
            if key not in known:
                raise ValueError(f"unknown key {key!r}{nearest(str(key), known)}")
        return data

    @model_validator(mode="after")
    def _place_or_reading(self) -> Stated:
        if bool(self.place) == bool(self.reading):
            raise ValueError("needs either place, where the paper prints it, or reading, why it is read so")
        if self.alternatives and self.place:
            raise ValueError("or: a printed value has no other readings")
        mine = [normal(one) for one in self.readings()]
        for other, cases in self.where.items():
            for case, values in cases.items():
                if unknown := [one for one in values if normal(one) not in mine]:
                    raise ValueError(f"where.{other}.{case}: {unknown[0]!r} is none of the readings")
        return self

    def readings(self, beside: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        """Return the value and the other readings; those alone that go together with what other settings are.

        beside: settings, named as in a study; None: whatever they are.
        """
        found: tuple[Any, ...] = (self.value, *self.alternatives)
        for other, cases in self.where.items():
            values = {normal(case): values for case, values in cases.items()}
            here = normal(beside[other]) if beside is not None and other in beside else None
            if here in values:
                together = [normal(one) for one in values[here]]
                found = tuple(one for one in found if normal(one) in together)
        return found

    def allows(self, value: Any, beside: Mapping[str, Any] | None = None) -> bool:
        """Say whether a study's value is the paper's, or one of the readings. beside: see `readings`."""
        return normal(value) in [normal(one) for one in self.readings(beside)]


class Fact(Settings):
    """What a paper says of an experiment that is no setting here: its device, its software."""

    name: str
    value: str
    place: str


class Experiment(Settings):
    """One experiment of a paper, or what several have in common: the claims it is of, and its settings.

    Settings are named as in a study: `training.epochs`, `architecture.depth`, `defense.distance`,
    `defense.built_on.kernel`, `dataset.image_size`, `attack.steps`, and `attack.view`, the attack loss (a suite's).
    Beside them: `training_images`, `images` (test images), `seeds`.
    """

    of: dict[str, Names] = Field(min_length=1)
    """Column of a claim -> the words it may have there, `*` for any text."""
    settings: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]*$")], Stated] = Field(default_factory=dict)
    facts: tuple[Fact, ...] = ()

    @field_validator("of")
    @classmethod
    def _known_columns(cls, of: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for column in of:
            if column not in COLUMNS:
                raise ValueError(f"{column!r} is unknown{nearest(column, COLUMNS)}")
        return of

    @field_validator("settings")
    @classmethod
    def _known_families(cls, settings: dict[str, Stated]) -> dict[str, Stated]:
        for name in settings:
            family = name.partition(".")[0]
            if family not in GRADES or family == "source":
                raise ValueError(f"{name!r} is unknown{nearest(family, GRADES)}")
        return settings

    def is_of(self, claim: Claim) -> bool:
        """Say whether a claim is about this experiment; a copied number only where `of` names its evidence."""
        if claim.copied and "evidence" not in self.of:
            return False
        return all(
            any(_pattern(word).fullmatch(getattr(claim, column)) for word in words)
            for column, words in self.of.items()
        )


@functools.cache
def _pattern(word: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in word.split("*")))


def protocol_of(experiments: Iterable[Experiment], claim: Claim) -> dict[str, Stated]:
    """Return what a paper states of a claim's experiment, by setting; a later entry replaces an earlier one."""
    found: dict[str, Stated] = {}
    for experiment in experiments:
        if experiment.is_of(claim):
            found.update(experiment.settings)
    return found


def grade_of(setting: str, stated: Stated | None = None) -> Grade:
    """Return the grade of an experiment that differs from the paper's in a setting."""
    if stated is not None and stated.grade is not None:
        return stated.grade
    if setting.startswith("training.adversarial"):
        return GRADES["training.adversarial"]
    return GRADES[setting.partition(".")[0]]


def normal(value: Any) -> Value:
    """Return a setting's value such that equal ones are equal: `1/7` and its float, a list and a tuple."""
    if isinstance(value, list | tuple):
        return tuple(normal(one) for one in value)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return _number_or_text(value)
    return value if value is None or isinstance(value, bool) else str(value)


@functools.lru_cache(4096)
def _number_or_text(value: str | float) -> float | str:
    try:
        return float(f"{float(parse_number(value)):.9g}")
    except ValueError:
        return str(value)
