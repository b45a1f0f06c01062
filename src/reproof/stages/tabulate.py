"""Count outcomes into measurements, pool seeds, judge every claim, raise red flags."""

from __future__ import annotations

from pathlib import Path

from reproof import artifacts, claims, red_flags, tables, verdicts
from reproof.plan import Job
from reproof.provenance import Run


def tabulate(job: Job, run: Run) -> None:
    """Do the tabulate job (plan.Plan.tabulate)."""
    outcomes = tables.read_outcomes(run.read(Path(path)) for path in job.inputs["outcomes"])
    papers = claims.papers()
    budgets = {name: verdicts.Budget(**budget) for name, budget in job.slice["budgets"].items()}
    narrowed = {
        (found["model"], found["setting"], found["source"], found["attack"]): found["settings"]
        for found in job.slice["narrowed"]
    }
    made = tables.tabulate(
        outcomes, papers, budgets, job.slice["attacks"], job.slice["tolerance"], narrowed=narrowed
    )
    texts = made.files()
    texts["red_flags.csv"] = tables.to_csv(red_flags.table_rows(red_flags.find(outcomes)), red_flags.COLUMNS)
    for name, text in texts.items():
        artifacts.write_text(run.wrote(Path(job.outputs[name.removesuffix(".csv")])), text)
    run.notes = {"measurements": len(made.measurements), "claims": len(made.verdicts)}
