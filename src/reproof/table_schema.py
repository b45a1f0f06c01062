"""What a table of CSV is: its columns, and the one place where such tables are written and read.

A table is a pandas frame from the job that makes it to the page. Text columns are never missing: an empty cell is the
empty text. Numbers may be missing; whole numbers stay whole then. Imports no torch, and pandas for frames alone.
"""

from __future__ import annotations

import csv
import io
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reproof.errors import ArtifactError

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["text", "whole", "real", "flag"]
DTYPES: Mapping[Kind, str] = {"text": "str", "whole": "Int64", "real": "float64", "flag": "boolean"}
"""Kind of a column -> its dtype in a frame."""
FLAGS: Mapping[str, bool | None] = {"true": True, "false": False, "": None}


def _text(value: str | None) -> str:
    if value is None:
        raise TypeError("text is missing; an empty cell is ''")
    return value


def _number(kind: type[int] | type[float]) -> Callable[[Any], str]:
    return lambda value: "" if value is None else repr(kind(value))


_PRINTED: Mapping[Kind, Callable[[Any], str]] = {
    "text": _text,
    "whole": _number(int),
    "real": _number(float),
    "flag": lambda value: "" if value is None else "true" if value else "false",
}
"""Kind of a column -> what prints its cells; None is a missing number."""


@dataclass(frozen=True)
class Column:
    """A column: its name, what its cells are, and their unit or meaning."""

    name: str
    kind: Kind
    unit: str = ""


@dataclass(frozen=True)
class Schema:
    """A table's columns, in their order."""

    name: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Return the columns' names, in order."""
        return [column.name for column in self.columns]

    @property
    def dtypes(self) -> dict[str, str]:
        """Return each column's dtype in a frame."""
        return {column.name: DTYPES[column.kind] for column in self.columns}

    def frame(self, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
        """Return rows as a frame of this schema; None is a missing number; KeyError where a row lacks a column."""
        import pandas as pd

        listed = list(rows)
        return pd.DataFrame(
            {name: _series([row[name] for row in listed], dtype) for name, dtype in self.dtypes.items()},
            columns=self.names,
        )

    def rows(self, frame: pd.DataFrame) -> list[dict[str, Any]]:
        """Return a frame's rows as plain Python values; a missing number is None."""
        columns = {
            name: frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in self.names
        }
        return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]

    def text(self, frame: pd.DataFrame) -> str:
        """Return a frame as CSV; TypeError for one of other columns or dtypes, or with text that is missing."""
        found = {str(name): str(dtype) for name, dtype in frame.dtypes.items()}
        if list(found.items()) != list(self.dtypes.items()):
            raise TypeError(f"{self.name}: its columns are {found}, not {self.dtypes}")
        texts = [column.name for column in self.columns if column.kind == "text"]
        missing = [name for name in texts if frame[name].isna().any()]
        if missing:
            raise TypeError(f"{self.name}: text is missing in {', '.join(missing)}; an empty cell is ''")
        return self.text_of_rows(self.rows(frame))

    def text_of_rows(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """Return rows as CSV: floats read back the same, None is an empty cell; KeyError where a row lacks a column.

        Without pandas, for the jobs that need it for nothing else.
        """
        written = io.StringIO(newline="")
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow(self.names)
        for row in rows:
            writer.writerow([_PRINTED[column.kind](row[column.name]) for column in self.columns])
        return written.getvalue()

    def parse(self, text: str, origin: str) -> pd.DataFrame:
        """Return the frame that `text` was written from; ArtifactError names `origin` where it is no such table."""
        import pandas as pd

        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            header, *lines = [(reader.line_num, cells) for cells in reader] or [(1, [])]
        except csv.Error as error:
            raise ArtifactError(
                f"{origin}, line {reader.line_num}: is no readable CSV table: {error}"
            ) from error
        if header[1] != self.names:
            raise ArtifactError(
                f"{origin}: its columns are not those of {self.name} ({', '.join(self.names)})"
            )
        for number, cells in lines:
            if len(cells) != len(self.columns):
                raise ArtifactError(f"{origin}, line {number}: has too many or too few cells")
        found = {}
        for position, column in enumerate(self.columns):
            try:
                found[column.name] = _typed([cells[position] for _, cells in lines], column.kind)
            except (ValueError, OverflowError) as error:
                raise ArtifactError(f"{origin}: column {column.name}: {error}") from error
        return pd.DataFrame(found, columns=self.names)

    def read(self, path: Path) -> pd.DataFrame:
        """Return the frame in a file that has been verified; ArtifactError where it is no such table."""
        try:
            with path.open(encoding="utf-8", newline="") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise ArtifactError(
                f"{path} cannot be read ({error}). Delete it and run snakemake again."
            ) from error
        return self.parse(text, str(path))


def _typed(cells: list[str], kind: Kind) -> pd.Series[Any]:
    """Return a column's cells in its dtype; ValueError where one is no such value."""
    if kind == "text":
        return _series(cells, DTYPES[kind])
    if kind == "flag":
        unknown = set(cells) - set(FLAGS)
        if unknown:
            raise ValueError(f"{sorted(unknown)[0]!r} is neither true nor false")
        return _series([FLAGS[cell] for cell in cells], DTYPES[kind])
    number = int if kind == "whole" else float
    return _series([None if cell == "" else number(cell) for cell in cells], DTYPES[kind])


def _series(values: list[Any], dtype: Any) -> pd.Series[Any]:
    import pandas as pd

    series: pd.Series[Any] = pd.Series(values, dtype=dtype)
    return series


def columns(kind: Kind, names: str, unit: str = "") -> tuple[Column, ...]:
    """Return columns of one kind and meaning; names: separated by blanks."""
    return tuple(Column(name, kind, unit) for name in names.split())


def schema_of(name: str, rows: Sequence[Mapping[str, Any]]) -> Schema:
    """Return the schema of rows whose columns nobody declared: those of the first, each of its cells' kind.

    Whole numbers among real ones are real, as is a column without a value; TypeError names one of other mixtures, and
    rows that are none or have other columns than the first.
    """
    if not rows or any(row.keys() != rows[0].keys() for row in rows):
        raise TypeError(f"{name}: its rows should be one or more, all with the same columns")
    found = []
    for column in rows[0]:
        kinds = {_kind(row[column]) for row in rows if row[column] is not None}
        if kinds <= {"whole", "real"} and len(kinds) != 1:
            kinds = {"real"}
        if len(kinds) != 1:
            raise TypeError(f"{name}: column {column} holds {' and '.join(sorted(kinds))} values")
        found.append(Column(column, *kinds))
    return Schema(name, tuple(found))


def _kind(value: Any) -> Kind:
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, numbers.Integral):
        return "whole"
    return "real" if isinstance(value, numbers.Real) else "text"
