"""An attack's parameters as studies, claims and tables write them: `norm=linf epsilon=8/255`. Imports nothing heavy."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, WrapValidator

from reproof.settings.values import format_number, parse_number

PSNR = "psnr"
"""Name of the parameter of attacks whose images have a given mean PSNR."""
FRACTION = re.compile(r"\d+/\d+")
"""A number that is printed as it was written: every other one is printed as the shortest text of its value."""


class PrintedNumber(float):
    """A number that keeps the text it was written in: equal to its value, printed as 8/255.

    What is computed from it is a plain number again.
    """

    text: str

    def __new__(cls, text: str) -> PrintedNumber:
        """Return the number that a text means; ValueError where it means none."""
        number = super().__new__(cls, parse_number(text))
        number.text = text if FRACTION.fullmatch(text) else format_number(float(number))
        return number

    def __reduce__(self) -> tuple[type[PrintedNumber], tuple[str]]:
        """Return what makes it again, in a copy or another process."""
        return PrintedNumber, (self.text,)

    def __str__(self) -> str:
        """Return it as it was written."""
        return self.text


def written(number: float) -> str:
    """Return a number's text in parameters: as it was written where it knows that, else the shortest one."""
    return number.text if isinstance(number, PrintedNumber) else format_number(number)


def _keep_fraction(value: Any, validate: Any) -> float:
    text = str(value).replace(" ", "")
    number: float = validate(parse_number(value))
    return PrintedNumber(text) if FRACTION.fullmatch(text) else number


def _as_json(number: float) -> float | str:
    return number.text if isinstance(number, PrintedNumber) else number


Printed = Annotated[
    float,
    WrapValidator(_keep_fraction, json_schema_input_type=float | str),
    PlainSerializer(_as_json, when_used="json"),
]
"""A number of a study that keeps its print: JSON holds a fraction as its text, which reads back the same."""
PrintedUnitInterval = Annotated[Printed, Field(ge=0, le=1)]
PrintedNonNegative = Annotated[Printed, Field(ge=0)]


@dataclass(frozen=True, eq=False)
class Parameters:
    """Names and values of an attack's parameters, each printed as it was written.

    Equal where names and numbers are equal, whatever their print and order: `epsilon=8/255` is
    `epsilon=0.03137254901960784`. Sorted by norm, then by names and numbers: c=2 comes before c=10.
    """

    items: tuple[tuple[str, str], ...] = ()
    """Name and printed value, in the order written."""

    @classmethod
    @functools.cache
    def parse(cls, text: str) -> Parameters:
        """Return what a text such as `norm=linf epsilon=0.3` says; ValueError names the part that says nothing."""
        items: list[tuple[str, str]] = []
        for part in text.split():
            name, equals, value = part.partition("=")
            if not (name and equals and value):
                raise ValueError(f"{part!r} should read name=value, such as epsilon=0.3")
            if name in dict(items):
                raise ValueError(f"{name!r} stands twice")
            items.append((name, value))
        return cls(tuple(items))

    @classmethod
    def of(cls, **values: str | float) -> Parameters:
        """Return parameters of these values, in their order."""
        return cls(tuple((n, v if isinstance(v, str) else written(v)) for n, v in values.items()))

    @functools.cached_property
    def key(self) -> tuple[tuple[bool, str, float, str], ...]:
        """Return what two equal parameters share, in an order in which they are sorted."""
        found = []
        for name, text in self.items:
            number = _number(text)
            found.append((name != "norm", name, number or 0.0, "" if number is not None else text))
        return tuple(sorted(found))

    @property
    def names(self) -> tuple[str, ...]:
        """Return their names, in the order written."""
        return tuple(name for name, _ in self.items)

    def text(self, name: str) -> str | None:
        """Return one parameter as it was written; None where it is not given."""
        return dict(self.items).get(name)

    def number(self, name: str) -> PrintedNumber | None:
        """Return one parameter as a number that keeps its print; None where it is not given, or is no number."""
        text = self.text(name)
        return PrintedNumber(text) if text is not None and _number(text) is not None else None

    def without(self, name: str) -> Parameters:
        """Return the other parameters."""
        return Parameters(tuple(item for item in self.items if item[0] != name))

    def __contains__(self, name: str) -> bool:
        """Tell whether a parameter is given."""
        return any(name == own for own, _ in self.items)

    def __eq__(self, other: object) -> bool:
        """Tell whether names and numbers are equal."""
        return isinstance(other, Parameters) and self.key == other.key

    def __lt__(self, other: Parameters) -> bool:
        """Tell whether it is sorted before another one."""
        return self.key < other.key

    def __hash__(self) -> int:
        """Return one number for equal parameters."""
        return hash(self.key)

    def __str__(self) -> str:
        """Return the text that stands in outcomes, tables and claims."""
        return " ".join(f"{name}={value}" for name, value in self.items)


@functools.cache
def _number(text: str) -> float | None:
    """Return the finite number that a text means; None where it is a word."""
    try:
        number = float(parse_number(text))
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
