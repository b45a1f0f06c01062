"""Read a model's weights from its own file, check them, and measure how accurate it is on clean images."""

from __future__ import annotations

import sys
from pathlib import Path

from reproof import artifacts, device
from reproof.attacking import judge
from reproof.data import prepared
from reproof.data.dataset import to_unit
from reproof.measuring.intervals import wilson
from reproof.models import build, own_weights
from reproof.plan import file_digest
from reproof.plan.job import Job
from reproof.provenance import Run
from reproof.settings.weights import WeightsSettings

MOST_IMAGES = 1000
"""Clean test images that are looked at: enough to tell a network that works from one that is fed the wrong way."""


def load(job: Job, run: Run) -> None:
    """Do a load job (plan.model_jobs.ModelJobs.load)."""
    chosen = device.claim(run)
    facts = job.slice
    data = prepared.read_dataset(run.read(Path(job.inputs["data"][0])))
    settings = WeightsSettings.model_validate(facts["weights"])
    path = Path(settings.path)
    _, trainee = build.build(facts, data.description, seed=0)
    own_weights.fit(trainee, own_weights.read(path, settings), settings)
    run.inputs[settings.path] = file_digest.of(path)
    images, labels = data.select("test", MOST_IMAGES)
    trainee.eval().to(chosen)
    classes = judge.classes(trainee, to_unit(images), facts["batch_size"], chosen).cpu()
    correct, total = int((classes == labels).sum()), len(labels)
    largest = int(labels.bincount().max()) / total
    run.notes = {
        "parameters": sum(parameter.numel() for parameter in trainee.classifier.parameters()),
        "clean": {
            "correct": correct,
            "total": total,
            "largest_class": largest,
            "at_chance_level": at_chance_level(correct, total, largest),
        },
    }
    print(_words(facts["model"], correct, total, largest), file=sys.stderr, flush=True)
    artifacts.write_tensors(run.wrote(Path(job.outputs["model"])), trainee.state_dict(), {"network": facts})


def at_chance_level(correct: int, total: int, largest_class: float) -> bool:
    """Say whether an accuracy may be that of one answer for all images. largest_class: the share of its images."""
    return wilson(correct, total)[0] <= largest_class


def _words(model: str, correct: int, total: int, largest: float) -> str:
    words = f"reproof: {model}: {correct} of {total} clean test images are right"
    if at_chance_level(correct, total, largest):
        words += (
            f"; one answer for all is right for {100 * largest:.1f} % of them. WARNING: look at the normalisation "
            "(mean and std), at the order of classes and colour channels, and whether the file is the right one"
        )
    return words
