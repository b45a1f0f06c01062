"""Draw the study's figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from reproof import artifacts, csv_tables
from reproof.figures.draw import FigureInputs
from reproof.figures.draw import draw as draw_figures
from reproof.figures.ensembles import DrawnEnsemble
from reproof.figures.surfaces import Surroundings
from reproof.figures.training import Identity
from reproof.plan.job import Job
from reproof.provenance import Run


def draw(job: Job, run: Run) -> None:
    """Do the draw job (plan.jobs.Plan.draw)."""
    facts = job.slice
    (table,) = job.inputs["tables"]
    summary = csv_tables.SUMMARY.read(run.read(Path(table)))

    def named(names: list[str], paths: tuple[str, ...]) -> dict[str, Path]:
        return {name: run.read(Path(path)) for name, path in zip(names, paths, strict=True)}

    attacked = facts["models"]["outcomes"]
    drawn = draw_figures(
        FigureInputs(
            summary=summary,
            titles=facts["titles"],
            class_names=facts["class_names"],
            histories=named(facts["models"]["histories"], job.inputs["histories"]),
            outcomes=named(attacked, job.inputs["outcomes"]),
            examples=named(attacked, job.inputs["examples"]),
            training_logs=tables_of(
                named(facts["models"]["training_logs"], job.inputs["training_logs"]), run
            ),
            ensembles={
                name: DrawnEnsemble(**{**found, "members": tuple(found["members"])})
                for name, found in facts["ensembles"].items()
            },
            separations=named(facts["models"]["separations"], job.inputs["separations"]),
            surfaces=named(facts["models"]["surfaces"], job.inputs["surfaces"]),
            surroundings=None if facts["surroundings"] is None else Surroundings(**facts["surroundings"]),
            identities={name: Identity(*identity) for name, identity in facts["identities"].items()},
        )
    )
    index = Path(job.outputs["figures"])
    for old in index.parent.glob("*.svg"):
        old.unlink()
    for name, svg in drawn.items():
        artifacts.write_text(run.wrote(index.with_name(f"{name}.svg")), svg)
    artifacts.write_text(run.wrote(index), json.dumps(list(drawn), indent=1) + "\n")


def tables_of(logs: Mapping[str, Path], run: Run) -> dict[str, dict[str, Path]]:
    """Return the files of training logs, table -> model -> CSV file. logs: model -> the index of its log."""
    found: dict[str, dict[str, Path]] = {}
    for model, index in logs.items():
        for table in artifacts.read_json(index):
            found.setdefault(table, {})[model] = run.read(index.with_name(f"{table}.csv"))
    return found
