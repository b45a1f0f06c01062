"""The tables under `tables/`: what each column holds, and the one place where they are written and read.

A table is a pandas frame from the job that makes it to the page. Text columns are never missing: an empty cell is the
empty text. Numbers may be missing; whole numbers stay whole then. Imports no torch.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
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
        """Return a frame as CSV: floats read back the same, what is missing is an empty cell; TypeError for others."""
        found = {str(name): str(dtype) for name, dtype in frame.dtypes.items()}
        if list(found.items()) != list(self.dtypes.items()):
            raise TypeError(f"{self.name}: its columns are {found}, not {self.dtypes}")
        texts = [column.name for column in self.columns if column.kind == "text"]
        missing = [name for name in texts if frame[name].isna().any()]
        if missing:
            raise TypeError(f"{self.name}: text is missing in {', '.join(missing)}; an empty cell is ''")
        flags = [column.name for column in self.columns if column.kind == "flag"]
        plain = frame.assign(**{name: frame[name].map({True: "true", False: "false"}) for name in flags})
        written: str = plain.to_csv(index=False, lineterminator="\n")
        return written

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


def _columns(kind: Kind, names: str, unit: str = "") -> tuple[Column, ...]:
    return tuple(Column(name, kind, unit) for name in names.split())


FRACTION = "a fraction, or in the metric's own unit"
_MODEL = _columns("text", "study dataset architecture defense training")
_PLACE = _columns("text", "setting source attack parameters metric")
_COUNTS = (
    Column("value", "real", FRACTION),
    *_columns("whole", "correct total", "images"),
    *_columns("real", "low high", "ends of the 95 % interval"),
    Column("model", "text"),
)

MEASUREMENTS = Schema(
    "measurements",
    (*_MODEL, Column("seed", "whole"), *_PLACE, *_COUNTS),
)
"""One row per model, seed, attack, parameters and metric."""
SUMMARY = Schema(
    "summary",
    (
        *_MODEL,
        Column("seeds", "whole", "how many"),
        *_PLACE,
        *_COUNTS,
        *_columns("real", "value_min value_max", FRACTION),
    ),
)
"""The same over seeds: the mean, pooled counts, the wider interval."""
KEY = ("study", "model", "setting", "source", "attack", "parameters", "metric")
"""Columns that name a row of the summary; a verdict has them too, of the row that it judged."""
VERDICTS = Schema(
    "verdicts",
    (
        *_columns("text", "claim_id paper table row column"),
        Column("claimed", "real", FRACTION),
        Column("verdict", "text"),
        Column("differences", "text", "JSON: a list of [kind, here, there]"),
        *_columns("text", " ".join(KEY)),
        *_columns("real", "measured low high", FRACTION),
        *_columns("text", "strongest_attack strongest_parameters"),
        *_columns("real", "strongest_value strongest_low strongest_high", FRACTION),
        Column("strongest_verdict", "text"),
    ),
)
"""One row per claim with a value; the key is empty where nothing was measured."""
STATEMENTS = Schema(
    "statements",
    (
        *_columns("text", "statement_id paper place in_print"),
        *_columns("whole", "print_pairs print_holding", "pairs"),
        *_columns("text", "print_left print_right", "claim ids"),
        Column("print_difference", "real", FRACTION),
        Column("measured", "text"),
        *_columns("whole", "measured_pairs measured_holding", "pairs"),
        *_columns("text", "measured_left measured_right", "claim ids"),
        Column("measured_difference", "real", FRACTION),
        Column("judgement", "text"),
        Column("differences", "text", "JSON: a list of [kind, here, there]"),
    ),
)
"""One row per statement of the papers' prose."""
RED_FLAGS = Schema(
    "red_flags",
    (
        *_columns("text", "model gate"),
        Column("raised", "flag", "missing: not checked"),
        Column("evidence", "text", "a sentence"),
        Column("rows", "text", "names of trials, joined by `; `"),
    ),
)
"""One row per model and check."""
CHECKLIST = Schema("checklist", _columns("text", "item group section model answer evidence"))
"""One row per question and model; `model` is empty where the study as a whole is asked."""
PER_CLASS = Schema(
    "per_class",
    (
        *_columns("text", "study dataset model"),
        Column("seeds", "whole"),
        *_columns("text", "setting source attack parameters"),
        Column("label", "whole"),
        *_columns("whole", "correct total", "images"),
        *_columns("real", "low high", "ends of the 95 % interval"),
    ),
)
"""One row per model, budget and class."""
PER_IMAGE = Schema(
    "per_image",
    (
        *_columns("text", "study dataset norm epsilon"),
        *_columns("whole", "image label"),
        *_columns("whole", "networks lost held misclassified", "networks"),
        *_columns("text", "holder"),
    ),
)
"""One row per data set, budget and test image."""
RECORDS = Schema(
    "records",
    (
        *_columns("text", "path rule name"),
        Column("seed", "whole", "missing where no seed was drawn"),
        *_columns("text", "digest commit"),
        Column("dirty", "flag", "code was changed and not committed"),
        Column("device", "text"),
        Column("threads", "whole"),
        Column("started", "text", "time, ISO 8601"),
        Column("seconds", "real"),
        *_columns("text", "sha256 command"),
    ),
)
"""One row per file of a reference run: who made it, when, on what, of which code."""
SCHEMAS = {
    schema.name: schema
    for schema in (
        MEASUREMENTS,
        SUMMARY,
        VERDICTS,
        STATEMENTS,
        RED_FLAGS,
        CHECKLIST,
        PER_CLASS,
        PER_IMAGE,
    )
}
"""Table by its name: the files of `tables/`."""
