"""A study as its plan would leave it, with made-up outcomes: the page at the size of a real run, without a run."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.ours import papers_here
from tests.unit.study.test_studies import measurements, planned

from reproof import csv_tables, reference
from reproof.claims.independent import read_independent
from reproof.diagnostics.sanity_check import CHECKS
from reproof.judging.difference import Difference, dump
from reproof.judging.study_facts import StudyFacts
from reproof.measuring.intervals import wilson
from reproof.plan.jobs import Plan
from reproof.report import DrawnFigure, ReportData, ShownModel
from reproof.report.contents import THIS_RUN
from reproof.stages import report as stage

RULES = ("prepare", "train", "assemble", "attack", "evaluate", "surface", "tabulate", "draw")
DRAWN = 60
"""Of so many models there are figures: more than the page has room for."""
IMAGE_BYTES = 20_000
"""Of the image in each."""


def report_data(name: str = "") -> ReportData:
    """Return the page's data of a study of the project, every job done and then some code changed.

    name: as in studies/; the empty one is the default study's.
    """
    plan = planned(name, "")
    rows = [_varied(row, position) for position, row in enumerate(measurements(plan))]
    summary = csv_tables.SUMMARY.frame(rows)
    of_a_seed = csv_tables.MEASUREMENTS.frame({**row, "seed": plan.study.seeds[0]} for row in rows)
    models = list(_models(plan))
    records = dict(_records(plan))
    references = reference.read_all(stage.ROOT / reference.FOLDER)
    return ReportData(
        study=plan.study.name,
        title=plan.study.title,
        description=plan.study.summary,
        settings=plan.study.source,
        data_set={"images": "70,000 of 28 x 28 pixels, 10 classes"},
        seeds=plan.study.seeds,
        models=models,
        attacks=list(stage._attacks(plan)),
        threats=list(stage._threats(plan)),
        summary=summary,
        measurements=of_a_seed,
        verdicts=csv_tables.VERDICTS.frame(_verdicts(rows)),
        papers=papers_here(),
        trails=list(stage._trails(plan)),
        records=records,
        stale=dict.fromkeys(records, "the code that makes it has changed since"),
        flags=csv_tables.RED_FLAGS.frame(_flags(models)),
        gates={name: check.shows.rstrip(".") for name, check in CHECKS.items()},
        figures=[_figure(model, kind) for kind in ("latent_space", "examples") for model in models[:DRAWN]],
        tables={name: path for name, path in plan.tabulate().outputs.items() if name != "record"},
        references=references,
        recipes={
            THIS_RUN: StudyFacts.read(plan.tabulate().slice),
            **{run.title: reference.facts(run) for run in references},
        },
        independent=read_independent(),
        rerun="snakemake --cores all",
    )


def digest(*words: object) -> str:
    """Return 64 digits that look like nothing else: they compress as badly as real ones."""
    return hashlib.sha256(" ".join(map(str, words)).encode()).hexdigest()


def _varied(row: Mapping[str, Any], position: int) -> dict[str, Any]:
    """Return a row with a value of its own, so that nothing on the page is smaller than it would be."""
    total = row["total"] or 100
    correct = int(digest(position)[:8], 16) % (total + 1)
    if row["metric"] != "accuracy":
        return dict(row)
    value, (low, high) = correct / total, wilson(correct, total)
    told = {"value": value, "value_min": value, "value_max": value, "low": low, "high": high}
    return {**row, **told, "correct": correct, "total": total}


def _models(plan: Plan) -> Iterator[ShownModel]:
    for name, model in plan.study.models.items():
        yield ShownModel(
            name,
            model.title,
            plan.study.datasets[model.dataset].settings.key,
            model.architecture_key,
            model.defense_key,
            model.training_key,
            {"epochs": plan.epochs(model), "training images": "50,000"},
        )


def _records(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    for job in plan.jobs(RULES):
        paths = {name: path for name, path in job.outputs.items() if name != "record"}
        inputs = [
            path for found in job.inputs.values() for path in ([found] if isinstance(found, str) else found)
        ]
        record = {
            "rule": job.rule,
            "command": f"snakemake --cores all --force {next(iter(paths.values()))}",
            "commit": digest("commit")[:40],
            "dirty": False,
            "device": "CPU: a made-up processor",
            "threads": 2,
            "seconds": len(inputs) + 0.5,
            "peak_memory_bytes": 500_000_000 + len(inputs),
            "started": "2026-01-01T10:00:00+00:00",
            "versions": {"python": "3.11.2", "torch": "2.14.1"},
            "digest": digest(job.rule)[:16],
            "files": {Path(path).name: {"bytes": 1_000, "sha256": digest(path)} for path in paths.values()},
            "inputs": {str(path): digest(path) for path in inputs},
        }
        yield from ((path, record) for path in paths.values())


def _flags(models: list[ShownModel]) -> Iterator[dict[str, Any]]:
    for number, model in enumerate(models):
        for place, gate in enumerate(CHECKS):
            yield {
                "model": model.name,
                "gate": gate,
                "raised": gate == "more_steps" or (number + place) % 40 == 0,
                "evidence": f"White-box PGD at ε = 0.1 leaves {number} of 100 images, the longer attack {place}; "
                f"{number + place} withstand only the former, 0 only the latter (p = 0.014).",
                "rows": "",
                "detectable": 0.1,
                "images": 100,
            }


def _verdicts(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a verdict of every claim, each on another measurement; the judge would take longer than the page."""
    empty = dict.fromkeys(column.name for column in csv_tables.VERDICTS.columns)
    texts = {column.name: "" for column in csv_tables.VERDICTS.columns if column.kind == "text"}
    claims = [claim for paper in papers_here() for claim in paper.claims if claim.value is not None]
    for number, (claim, row) in enumerate(zip(claims, itertools.cycle(rows))):
        differences = [
            Difference("training.epochs", str(number), "350", "B"),
            Difference("training.learning_rate", "0.01", "0.1", "B"),
            Difference("images", str(number + 100), "10000", "A"),
        ]
        word = ("lower", "higher", "reproduced", "not comparable")[number % 4]
        yield {
            **empty,
            **texts,
            **{name: row[name] for name in csv_tables.KEY},
            "claim_id": claim.claim_id,
            "paper": claim.paper,
            "table": claim.table,
            "row": claim.row,
            "column": claim.column,
            "claimed": claim.value,
            "verdict": word,
            "grade": "C" if word == "not comparable" else "B",
            "margin": 0.02,
            "training_share": 0.05,
            "stable": "yes",
            "differences": dump(differences),
            "measured": row["value"],
            "low": row["low"],
            "high": row["high"],
            **{
                f"{left}_{end}": row[end]
                for left in ("strongest", "overall")
                for end in ("value", "low", "high")
            },
        }


def _figure(model: ShownModel, kind: str) -> DrawnFigure:
    """Return a figure that holds an image, which takes as much room as one of examples."""
    name = f"{kind}_{model.name}"
    image = base64.b64encode(hashlib.shake_256(name.encode()).digest(IMAGE_BYTES)).decode("ascii")
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="figure" viewBox="0 0 700 300" role="img" '
        f'aria-labelledby="{name}-t"><title id="{name}-t">{kind} of a model</title><desc>An image.</desc>'
        f'<image href="data:image/png;base64,{image}" width="700" height="300"/></svg>'
    )
    return DrawnFigure.from_svg(name, svg, f"results/figures/{name}.svg")
