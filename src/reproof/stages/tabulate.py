"""Count outcomes into measurements, add what trainings left, pool seeds, judge claims, raise flags, count classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from reproof import artifacts, csv_tables
from reproof.diagnostics import checklist, checklist_case, red_flags
from reproof.job_tables import HISTORY, SEPARATION
from reproof.judging import tables
from reproof.judging.study_facts import StudyFacts
from reproof.measuring import breakdown, parts, separations, trainings
from reproof.measuring import outcomes as measuring_outcomes
from reproof.measuring.measurements import Cells
from reproof.measuring.outcomes import Outcomes
from reproof.plan.job import Job
from reproof.provenance import Run


def tabulate(job: Job, run: Run) -> None:
    """Do the tabulate job (plan.jobs.Plan.tabulate)."""
    outcomes = measuring_outcomes.read_outcomes(run.read(Path(path)) for path in job.inputs["outcomes"])
    facts = StudyFacts.read(job.slice)
    others = (*_of_trainings(job, run), *_of_ensembles(job, run, outcomes))
    made = tables.tabulate(outcomes, facts, others=others)
    flags = red_flags.find(outcomes, facts.attacks, facts.suite_overrides)
    stated = checklist_case.facts(job.slice["checklist"], facts.attacks)
    frames = {
        "measurements": made.measurements,
        "summary": made.summary,
        "verdicts": made.verdicts,
        "statements": made.statements,
        "red_flags": csv_tables.RED_FLAGS.frame(red_flags.table_rows(flags)),
        "checklist": csv_tables.CHECKLIST.frame(
            checklist.table_rows(checklist.answer(stated, outcomes, flags, made.judged))
        ),
        "per_class": breakdown.per_class(outcomes),
        "per_image": breakdown.per_image(outcomes),
        "parts": parts.parts(outcomes),
    }
    for name, schema in csv_tables.SCHEMAS.items():
        artifacts.write_text(run.wrote(Path(job.outputs[name])), schema.text(frames[name]))
    run.notes = {"measurements": len(made.measurements), "claims": len(made.verdicts)}


def _of_trainings(job: Job, run: Run) -> Iterator[Cells]:
    """Yield the measurements of histories and training logs."""
    study, models = job.slice["study"], job.slice["checklist"]["models"]

    def whose(kind: str) -> Iterator[tuple[trainings.Training, Path]]:
        for (model, seed), path in zip(job.slice["trainings"][kind], job.inputs[kind], strict=True):
            yield trainings.Training.read(study, models, model, seed), run.read(Path(path))

    for training, path in whose("histories"):
        yield from trainings.train_error(training, HISTORY.rows(HISTORY.read(path)))
    for training, path in whose("training_logs"):
        if "rounds" in artifacts.read_json(path):
            log = csv_tables.ROUNDS.read(run.read(path.with_name("rounds.csv")))
            yield from trainings.rounds(training, csv_tables.ROUNDS.rows(log))


def _of_ensembles(job: Job, run: Run, outcomes: Iterable[Outcomes]) -> Iterable[Cells]:
    """Return the measurements of the ensembles' latent spaces."""
    clean = {(one.model, one.seed): one.clean for one in outcomes}
    found = []
    for known, path in zip(job.slice["separations"], job.inputs["separations"], strict=True):
        margin = separations.mean_margin(SEPARATION.rows(SEPARATION.read(run.read(Path(path)))))
        right = clean.get((known["model"], known["seed"]))
        found.append(separations.Separated(**known, margin=margin, clean=right))
    return separations.separations(found)
