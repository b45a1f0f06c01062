"""Outcomes per image -> measurements with counts -> summary over seeds -> verdicts. Imports no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from reproof.claims.paper import Paper
from reproof.csv_tables import to_csv
from reproof.errors import ArtifactError
from reproof.judging.statements import StatementVerdict, judge_statements
from reproof.judging.verdicts import TOLERANCE, Budget, Verdict, judge
from reproof.measuring.measurements import Measurement, Summary, measure, summarise
from reproof.measuring.outcomes import Outcomes

if TYPE_CHECKING:
    pass


Row = TypeVar("Row", Measurement, Summary, Verdict)

MEASUREMENT_COLUMNS = tuple(field.name for field in fields(Measurement))
SUMMARY_COLUMNS = tuple(field.name for field in fields(Summary))
VERDICT_COLUMNS = tuple(field.name for field in fields(Verdict))
STATEMENT_COLUMNS = tuple(field.name for field in fields(StatementVerdict))


@dataclass(frozen=True)
class Tables:
    """The tables of a study, rows sorted; statements in the order of the papers."""

    measurements: list[Measurement]
    summary: list[Summary]
    verdicts: list[Verdict]
    statements: list[StatementVerdict]

    def files(self) -> dict[str, str]:
        """Return each table's file name and its text."""
        return {
            "measurements.csv": to_csv(map(asdict, self.measurements), MEASUREMENT_COLUMNS),
            "summary.csv": to_csv(map(asdict, self.summary), SUMMARY_COLUMNS),
            "verdicts.csv": to_csv(map(asdict, self.verdicts), VERDICT_COLUMNS),
            "statements.csv": to_csv(map(asdict, self.statements), STATEMENT_COLUMNS),
        }


def tabulate(
    outcomes: Sequence[Outcomes],
    papers: Sequence[Paper],
    budgets: Mapping[str, Budget],
    attacks: Mapping[str, Mapping[str, Any]] | None = None,
    tolerance: float = TOLERANCE,
    *,
    narrowed: Mapping[tuple[str, str, str, str], Mapping[str, Any]] | None = None,
) -> Tables:
    """Return the tables of a study. Cells where the paper prints a dash, or that are lost, get no verdict.

    budgets: model -> what it was given. attacks: stanza -> the study's settings of that attack. narrowed: (model,
    setting, source, attack) -> its settings there, where a suite sets them otherwise.
    """
    measurements = measure(outcomes)
    summary = summarise(measurements)
    verdicts = [
        judge(claim, summary, tolerance, budgets=budgets, paper=paper, attacks=attacks, narrowed=narrowed)
        for paper in papers
        for claim in paper.claims
        if claim.value is not None
    ]
    verdicts.sort(key=lambda verdict: verdict.claim_id)
    return Tables(measurements, summary, verdicts, judge_statements(papers, verdicts))


_WHOLE = ("seed", "seeds", "correct", "total")
_REAL = (
    "value",
    "low",
    "high",
    "value_min",
    "value_max",
    "claimed",
    "measured",
    "strongest_value",
    "strongest_low",
    "strongest_high",
)


def from_csv(text: str, kind: type[Row], origin: str) -> list[Row]:
    """Return the rows that `to_csv` wrote; ArtifactError names `origin` where they are not."""
    expected = [field.name for field in fields(kind)]
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if reader.fieldnames != expected:
        raise ArtifactError(
            f"{origin}: its columns are not those of {kind.__name__.lower()} ({', '.join(expected)})"
        )
    rows: list[Row] = []
    try:
        for cells in reader:
            if None in cells or None in cells.values():
                raise ArtifactError(f"{origin}, line {reader.line_num}: has too many or too few cells")
            rows.append(kind(**{name: _value(name, cell) for name, cell in cells.items()}))
    except (csv.Error, ValueError) as error:
        raise ArtifactError(f"{origin}, line {reader.line_num}: {error}") from error
    return rows


def _value(name: str, cell: str) -> Any:
    if name in _WHOLE:
        return int(cell) if cell else None
    if name in _REAL:
        return float(cell) if cell else None
    return cell
