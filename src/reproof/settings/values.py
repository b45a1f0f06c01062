"""Base classes and number types of everything a study's YAML can say. Imports no torch."""

from __future__ import annotations

import ast
import difflib
import inspect
import itertools
import math
import os
import sys
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

Norm = Literal["linf", "l2", "l1", "l0"]


def parse_number(value: Any) -> Any:
    """Return the number that a YAML scalar means; YAML itself reads `8/255` and `1e-3` as strings.

    Anything that is neither a number nor such a string raises ValueError.
    """
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")
    if isinstance(value, str):
        try:
            return float(Fraction(value.replace(" ", ""))) if "/" in value else float(value)
        except (ValueError, ZeroDivisionError, OverflowError):
            raise ValueError(f"should be a number such as 0.3, 8/255 or 1e-3, not {value!r}") from None
    if not isinstance(value, int | float):
        raise ValueError("should be a number")
    return value


def parse_count(value: Any) -> Any:
    """Return the whole number that a YAML scalar means; `1e3` is one thousand."""
    number = parse_number(value)
    if not math.isfinite(number) or number != int(number):
        raise ValueError(f"should be a whole number, not {value!r}")
    return int(number)


def format_number(value: float) -> str:
    """Return the shortest text that reads back as the same float (0.3, 1e-06, 8.0 as 8)."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def scaled(size: int, width: float) -> int:
    """Return a layer's channels or units at a width multiplier: the nearest whole number, at least 1."""
    return max(1, round(size * width))


def nearest_hint(word: str, known: Iterable[str]) -> str:
    """Return `did you mean ...?`, or all known words where none is near."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"


def know_every_key(data: Any, known: Iterable[str]) -> None:
    """Refuse a mapping's first unknown key and name the nearest right one, which pydantic's own message lacks."""
    names = list(known)
    for key in data if isinstance(data, dict) else ():
        if key not in names:
            hint = nearest_hint(str(key), sorted(names))
            raise PydanticCustomError(
                "unknown_key", "unknown key {key}; {hint}", {"key": repr(key), "hint": hint}
            )


Number = Annotated[float, BeforeValidator(parse_number, json_schema_input_type=float | str)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
UnitInterval = Annotated[Number, Field(ge=0, le=1)]
Whole = Annotated[int, BeforeValidator(parse_count, json_schema_input_type=int | str)]
Count = Annotated[Whole, Field(ge=1, lt=2**31)]
"""How many there are. What takes more would not end, and breaks where numbers have 32 bits."""
Seed = Annotated[Whole, Field(ge=0, lt=2**32)]
"""What random numbers are drawn from. Part of a folder's name, so never negative; torch takes no longer ones."""
Switch = Annotated[bool, Strict()]


class Settings(BaseModel):
    """Frozen settings; unknown keys are errors, and so are infinite numbers and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    declared_in: ClassVar[str | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        """Note the class's file while its module is at hand: another plug-in of that name may take its place."""
        super().__init_subclass__(**options)
        cls.declared_in = getattr(sys.modules.get(cls.__module__), "__file__", None)

    @model_validator(mode="before")
    @classmethod
    def _know_every_key(cls, data: Any) -> Any:
        """Refuse an unknown key and name the nearest right one."""
        know_every_key(data, cls.model_fields)
        return data

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe each field by its docstring. Pydantic can, but as each class is made: every job would wait."""
        schema = handler(core_schema)
        fields = handler.resolve_ref_schema(schema)["properties"]
        for base in reversed(cls.__mro__):
            if issubclass(base, Settings):
                for name, text in _field_docstrings(base).items():
                    if name in fields:
                        fields[name]["description"] = text
        return schema

    def resolved(self, features: Sequence[str] = (), epochs: int = 0) -> dict[str, Any]:
        """Return what its settings come to, by name, where that is not what they say: of null what it stands for.

        features: the names of the network's latent features, the last one last. epochs: of the training.
        """
        return {}


def _field_docstrings(declared: type[Settings]) -> dict[str, str]:
    """Return the string below each field of a class, as its file has it; none where that cannot be read any more."""
    try:
        node: ast.AST | None = ast.parse(Path(declared.declared_in or os.devnull).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    for name in declared.__qualname__.replace(".<locals>", "").split("."):
        within = ast.walk(node) if node else ()
        node = next((found for found in within if getattr(found, "name", None) == name), None)
    found = {}
    for statement, following in itertools.pairwise(node.body if isinstance(node, ast.ClassDef) else ()):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=field)), ast.Expr(value=ast.Constant(value=str(text))):
                found[field] = inspect.cleandoc(text)
    return found
