"""Train a model, or go on from its checkpoint, and write weights and history."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reproof import artifacts, device, networks, prepared, training
from reproof.plan import Job
from reproof.provenance import Run
from reproof.training_settings import TrainingSettings


def train(job: Job, run: Run) -> None:
    """Do a train job (plan.Plan.train)."""
    chosen = device.choose(run.threads)
    run.device = device.words(chosen)
    data = prepared.read_dataset(run.read(Path(job.inputs["data"][0])))
    defense, trainee = networks.build(job.slice, data.description, job.slice["seed"])
    model, history_path = Path(job.outputs["model"]), Path(job.outputs["history"])
    checkpoint = model.with_name("checkpoint.safetensors")
    history = training.train(
        defense,
        trainee,
        data,
        TrainingSettings.model_validate(job.slice["training"]),
        seed=job.slice["seed"],
        device=chosen,
        checkpoint=checkpoint,
        digest=job.digest,
        progress=sys.stderr.isatty(),
    )
    artifacts.write_tensors(run.wrote(model), trainee.state_dict(), {"network": job.slice})
    artifacts.write_text(run.wrote(history_path), _csv(history))
    for name, rows in defense.traces().items():
        artifacts.write_text(run.wrote(Path(job.outputs[f"trace_{name}"])), _csv(rows))
    run.notes = {"parameters": sum(parameter.numel() for parameter in trainee.classifier.parameters())}
    checkpoint.unlink(missing_ok=True)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV text; None is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
