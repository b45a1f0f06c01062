"""Count outcomes into measurements, pool seeds, judge claims, raise flags, count classes, answer the checklist."""

from __future__ import annotations

from pathlib import Path

from reproof import artifacts, csv_tables
from reproof.claims import paper
from reproof.diagnostics import checklist, checklist_case, red_flags
from reproof.judging import tables, verdicts
from reproof.measuring import breakdown
from reproof.measuring import outcomes as measuring_outcomes
from reproof.plan.job import Job
from reproof.provenance import Run


def tabulate(job: Job, run: Run) -> None:
    """Do the tabulate job (plan.Plan.tabulate)."""
    outcomes = measuring_outcomes.read_outcomes(run.read(Path(path)) for path in job.inputs["outcomes"])
    papers = paper.papers()
    budgets = {name: verdicts.Budget(**budget) for name, budget in job.slice["budgets"].items()}
    narrowed = {
        (found["model"], found["setting"], found["source"], found["attack"]): found["settings"]
        for found in job.slice["narrowed"]
    }
    made = tables.tabulate(
        outcomes, papers, budgets, job.slice["attacks"], job.slice["tolerance"], narrowed=narrowed
    )
    texts = {**made.files(), **breakdown.files(outcomes)}
    flags = red_flags.find(outcomes, job.slice["attacks"], narrowed)
    texts["red_flags.csv"] = csv_tables.to_csv(red_flags.table_rows(flags), red_flags.COLUMNS)
    replies = checklist.answer(
        checklist_case.facts(job.slice["checklist"], job.slice["attacks"]), outcomes, flags, made.verdicts
    )
    texts["checklist.csv"] = csv_tables.to_csv(checklist.table_rows(replies), checklist.COLUMNS)
    for name, text in texts.items():
        artifacts.write_text(run.wrote(Path(job.outputs[name.removesuffix(".csv")])), text)
    run.notes = {"measurements": len(made.measurements), "claims": len(made.verdicts)}
