"""Rows of tables for tests: as frames, and as objects whose attributes are the columns."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pandas as pd

from reproof.csv_tables import Schema


def rows(schema: Schema, frame: pd.DataFrame) -> list[SimpleNamespace]:
    """Return a frame's rows; a missing number is None."""
    return [SimpleNamespace(**cells) for cells in schema.rows(frame)]


def frame(schema: Schema, made: Iterable[SimpleNamespace]) -> pd.DataFrame:
    """Return the frame of these rows."""
    return schema.frame(vars(row) for row in made)


def changed(row: SimpleNamespace, **changes: Any) -> SimpleNamespace:
    """Return a row with other cells."""
    return SimpleNamespace(**{**vars(row), **changes})
