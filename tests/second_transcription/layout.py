"""How a table is typed a second time: keys by row and by column, numbers by column from the bottom upwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

DEFAULTS = {
    "training": "clean",
    "setting": "white_box",
    "source": "",
    "attack": "none",
    "parameters": "",
    "metric": "accuracy",
    "unit": "percent",
    "evidence": "measured",
    "certainty": "certain",
}
NO_CELL = "."


@dataclass(frozen=True)
class Table:
    """A printed table. What `columns` say wins over `rows`, and `exceptions` over both."""

    name: str
    shared: Mapping[str, str]
    rows: Mapping[str, Mapping[str, str]]
    """Printed row label -> the claim's columns that it decides."""
    columns: Mapping[str, Mapping[str, str]]
    printed: Mapping[str, str]
    """Column label -> its cells from the last row up to the first; `NO_CELL` where the paper has none."""
    exceptions: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)

    def cells(self) -> Iterator[dict[str, str]]:
        """Yield every cell as the text of claims.csv's columns, without claim_id, paper, value and note."""
        if set(self.printed) != set(self.columns):
            raise ValueError(f"{self.name}: printed and columns name different columns")
        unknown = [key for key in self.exceptions if key[0] not in self.rows or key[1] not in self.columns]
        if unknown:
            raise ValueError(f"{self.name}: exceptions for cells that do not exist: {unknown}")
        typed = {column: text.split()[::-1] for column, text in self.printed.items()}
        for column, cells in typed.items():
            if len(cells) != len(self.rows):
                raise ValueError(f"{self.name}, {column}: {len(cells)} cells for {len(self.rows)} rows")
        for position, (row, by_row) in enumerate(self.rows.items()):
            for column, by_column in self.columns.items():
                printed = typed[column][position]
                if printed == NO_CELL:
                    continue
                exception = self.exceptions.get((row, column), {})
                keys = {**DEFAULTS, **self.shared, **by_row, **by_column, **exception}
                if keys["attack"] == "none" and keys["metric"] == "accuracy":
                    keys["parameters"] = ""
                yield {"table": self.name, "row": row, "column": column, "printed": printed, **keys}
