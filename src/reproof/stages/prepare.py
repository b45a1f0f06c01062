"""Prepare a data set: read or fetch it, check it, fix its splits, write it once for every later job."""

from __future__ import annotations

from pathlib import Path

from reproof import networks, registry
from reproof.plan import Job
from reproof.provenance import Run


def prepare(job: Job, run: Run) -> None:
    """Do a prepare job (plan.Plan.prepare)."""
    stanza = dict(job.slice["settings"])
    module = registry.load("datasets", stanza.pop("kind"))
    dataset = module.prepare(module.Settings(**stanza), Path(job.slice["data_root"]))
    networks.write_dataset(run.wrote(Path(job.outputs["data"])), dataset)
    run.notes = {
        "images": len(dataset.labels),
        "splits": {split: len(indices) for split, indices in dataset.splits.items()},
        "classes": dataset.description.classes,
        "height": dataset.description.height,
        "width": dataset.description.width,
    }
