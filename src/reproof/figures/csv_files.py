"""CSV files that training and other jobs leave, as frames of the columns that a figure needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from reproof.figures.style import unreadable


def read(path: Path, numbers: Sequence[str], words: Sequence[str] = ()) -> pd.DataFrame:
    """Return these columns, empty cells of numbers as NaN; ArtifactError names a file that lacks one."""
    try:
        cells = pd.read_csv(path, dtype=str, keep_default_na=False)
        missing = {*numbers, *words} - {*cells.columns}
        if missing:
            raise ValueError(f"it has no column {', '.join(sorted(missing))}")
        return cells[[*words]].assign(
            **{name: cells[name].replace("", "nan").astype("float64") for name in numbers}
        )
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
