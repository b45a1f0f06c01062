"""Train a model, or go on from its checkpoint, and write weights and history."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from reproof import artifacts, device
from reproof.data import prepared
from reproof.job_tables import HISTORY
from reproof.models import build
from reproof.models.classifier import Classifier, takes_channels_last
from reproof.models.defense import Row
from reproof.plan.job import Job
from reproof.provenance import Run
from reproof.settings.training import TrainingSettings
from reproof.table_schema import schema_of
from reproof.training import loop


def train(job: Job, run: Run) -> None:
    """Do a train job (plan.jobs.Plan.train)."""
    chosen = device.claim(run)
    data = prepared.read_dataset(run.read(Path(job.inputs["data"][0])))
    defense, trainee = build.build(job.slice, data.description, job.slice["seed"])
    defense.peers = [
        _frozen(build.load(other, data.description, run.read(Path(path)))[1].classifier, chosen)
        for other, path in zip(job.slice.get("beside", ()), job.inputs.get("beside", ()), strict=True)
    ]
    model, history_path = Path(job.outputs["model"]), Path(job.outputs["history"])
    checkpoint = run.leaves_behind(model.with_name("checkpoint.safetensors"))
    history = loop.train(
        defense,
        trainee,
        data,
        TrainingSettings.model_validate(job.slice["training"]),
        seed=job.slice["seed"],
        device=chosen,
        checkpoint=checkpoint,
        # A checkpoint of training with other peers is of another run.
        digest=" ".join([job.digest, *(run.inputs[path] for path in job.inputs.get("beside", ()))]),
        progress=sys.stderr.isatty(),
    )
    artifacts.write_tensors(run.wrote(model), trainee.state_dict(), {"network": job.slice})
    artifacts.write_text(run.wrote(history_path), HISTORY.text_of_rows(history))
    write_training_log(Path(job.outputs["training_log"]), defense.training_log(), run)
    run.notes = {"parameters": sum(parameter.numel() for parameter in trainee.classifier.parameters())}


def write_training_log(index: Path, tables: Mapping[str, Sequence[Row]], run: Run) -> None:
    """Write each table of a training log that has rows as a CSV file beside the index, and last the index: their names.

    Every training writes an index, so that one rule of the workflow fits all methods.
    """
    filled = {name: rows for name, rows in tables.items() if rows}
    for name, rows in filled.items():
        artifacts.write_text(
            run.wrote(index.with_name(f"{name}.csv")), schema_of(name, rows).text_of_rows(rows)
        )
    artifacts.write_json(run.wrote(index), list(filled))


def _frozen(network: Classifier, place: torch.device) -> Classifier:
    """Return a trained network as a frozen peer: without gradient, in the loop's memory format."""
    network.to(place)
    if takes_channels_last(network):
        network.to(memory_format=torch.channels_last)
    return network.requires_grad_(False).eval()
