"""Outcomes per image -> measurements with counts -> summary over seeds -> verdicts. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reproof.claims.paper import Paper
from reproof.claims.paper import papers as all_papers
from reproof.claims.vocabulary import LOST
from reproof.csv_tables import STATEMENTS, VERDICTS
from reproof.judging.measured import Measured
from reproof.judging.statements import judge_statements
from reproof.judging.study_facts import StudyFacts
from reproof.judging.verdicts import Judge, Verdict
from reproof.measuring.measurements import Cells, measure, summarise
from reproof.measuring.outcomes import Outcomes

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Tables:
    """The tables of a study, rows sorted; statements in the order of the papers."""

    measurements: pd.DataFrame
    summary: pd.DataFrame
    verdicts: pd.DataFrame
    statements: pd.DataFrame
    judged: tuple[Verdict, ...]
    """The verdicts, typed."""


def tabulate(
    outcomes: Sequence[Outcomes],
    facts: StudyFacts,
    papers: Sequence[Paper] | None = None,
    others: Iterable[Cells] = (),
) -> Tables:
    """Return the tables of a study beside the claims of all papers, or of these. others: rows beside the outcomes'."""
    measurements = measure(outcomes, others)
    summary = summarise(measurements)
    verdicts, statements, judged = judge_claims(summary, measurements, facts, papers)
    return Tables(measurements, summary, verdicts, statements, judged)


def judge_claims(
    summary: pd.DataFrame,
    measurements: pd.DataFrame,
    facts: StudyFacts,
    papers: Sequence[Paper] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[Verdict, ...]]:
    """Return the verdicts and statements (csv_tables.VERDICTS, STATEMENTS) of a study, and the verdicts typed.

    StudyError where two models of the study fit the same claims alike.

    Cells where the paper prints a dash, or that are lost, get no verdict; statements are told what was measured of
    lost ones.
    """
    chosen = all_papers() if papers is None else papers
    judge = Judge(Measured(summary, measurements), facts, chosen)
    judged = [judge.verdict(claim) for paper in chosen for claim in paper.claims if claim.value is not None]
    judged.sort(key=lambda verdict: verdict.claim_id)
    lost = [judge.verdict(claim) for paper in chosen for claim in paper.claims if claim.printed == LOST]
    statements = judge_statements(chosen, [*judged, *lost])
    return (
        VERDICTS.frame(verdict.cells() for verdict in judged),
        STATEMENTS.frame(statement.cells() for statement in statements),
        tuple(judged),
    )
