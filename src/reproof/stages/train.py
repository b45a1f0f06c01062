"""Train a model, or go on from its checkpoint, and write weights and history."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from reproof import artifacts, device
from reproof.data import prepared
from reproof.models import build
from reproof.models.classifier import Classifier
from reproof.plan.job import Job
from reproof.provenance import Run
from reproof.settings.training import TrainingSettings
from reproof.training import loop


def train(job: Job, run: Run) -> None:
    """Do a train job (plan.Plan.train)."""
    chosen = device.choose(run.threads)
    run.device = device.words(chosen)
    data = prepared.read_dataset(run.read(Path(job.inputs["data"][0])))
    defense, trainee = build.build(job.slice, data.description, job.slice["seed"])
    defense.peers = [
        _frozen(build.load(other, data.description, run.read(Path(path)))[1].classifier, chosen)
        for other, path in zip(job.slice.get("beside", ()), job.inputs.get("beside", ()), strict=True)
    ]
    model, history_path = Path(job.outputs["model"]), Path(job.outputs["history"])
    checkpoint = model.with_name("checkpoint.safetensors")
    history = loop.train(
        defense,
        trainee,
        data,
        TrainingSettings.model_validate(job.slice["training"]),
        seed=job.slice["seed"],
        device=chosen,
        checkpoint=checkpoint,
        # A checkpoint of training beside other weights is of another run.
        digest=" ".join([job.digest, *(run.inputs[path] for path in job.inputs.get("beside", ()))]),
        progress=sys.stderr.isatty(),
    )
    artifacts.write_tensors(run.wrote(model), trainee.state_dict(), {"network": job.slice})
    artifacts.write_csv(run.wrote(history_path), history)
    for name, rows in defense.training_log().items():
        artifacts.write_csv(run.wrote(Path(job.outputs[f"trace_{name}"])), rows)
    run.notes = {"parameters": sum(parameter.numel() for parameter in trainee.classifier.parameters())}
    checkpoint.unlink(missing_ok=True)


def _frozen(network: Classifier, place: torch.device) -> Classifier:
    """Return a trained network as others are trained beside it: without gradient, in the loop's memory format."""
    network.to(place).to(memory_format=torch.channels_last)
    return network.requires_grad_(False).eval()
