"""Prepare a data set: read or fetch it, check it, fix its splits, write it once for every later job."""

from __future__ import annotations

import sys
from pathlib import Path

from reproof import registry
from reproof.data import checks, prepared
from reproof.plan import file_digest
from reproof.plan.job import Job
from reproof.provenance import Run


def prepare(job: Job, run: Run) -> None:
    """Do a prepare job (plan.jobs.Plan.prepare)."""
    entry = dict(job.slice["settings"])
    module = registry.load("datasets", entry.pop("kind"))
    settings, root = module.Settings(**entry), Path(job.slice["data_root"])
    path = run.wrote(Path(job.outputs["data"]))
    if settings.streams:
        working_folder = path.with_name(f".{path.stem}.working")
        run.notes = module.prepare_to(settings, root, path, working_folder, run.threads)
        return
    dataset = module.prepare(settings, root)
    counted = checks.check(dataset, settings, job.slice["dataset"])
    for remark in dataset.remarks:
        print(f"reproof: {remark}", file=sys.stderr, flush=True)
    for file in settings.files:
        run.inputs[file] = file_digest.of(Path(file))
    prepared.write_dataset(path, dataset)
    run.notes = {
        "images": len(dataset.labels),
        "splits": {split: len(indices) for split, indices in dataset.splits.items()},
        "classes": dataset.description.classes,
        "height": dataset.description.height,
        "width": dataset.description.width,
        "remarks": list(dataset.remarks),
        **counted,
    }
