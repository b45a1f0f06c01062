"""Read a model's weights from its own file, check them, and measure how accurate it is on clean images."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from reproof import artifacts, device
from reproof.attacking import decisions, judge
from reproof.data import prepared
from reproof.data.dataset import to_unit
from reproof.measuring.intervals import wilson
from reproof.models import build, own_weights
from reproof.plan import file_digest
from reproof.plan.job import Job
from reproof.provenance import Run
from reproof.settings.weights import WeightsSettings

CHANCE, OTHERS = "chance", "the other images of a batch"
REMEDIES = {
    CHANCE: "look for dropout that stays on in evaluation mode; of a network that should draw at random, attacks need "
    "the mean of several gradients (`samples`)",
    OTHERS: "look for batch norms that take a batch's own statistics in evaluation mode",
}
"""What answers may depend on beside the image -> what to do."""
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
    unsteady = depends_on(trainee, to_unit(images[: facts["batch_size"]]).to(chosen))
    run.notes = {
        "parameters": sum(parameter.numel() for parameter in trainee.classifier.parameters()),
        "clean": {
            "correct": correct,
            "total": total,
            "largest_class": largest,
            "at_chance_level": at_chance_level(correct, total, largest),
        },
        "depends_on": unsteady,
    }
    words = _words(facts["model"], correct, total, largest)
    if unsteady:
        words += f". WARNING: answers depend on {unsteady}: {REMEDIES[unsteady]}"
    print(words, file=sys.stderr, flush=True)
    artifacts.write_tensors(run.wrote(Path(job.outputs["model"])), trainee.state_dict(), {"network": facts})


def at_chance_level(correct: int, total: int, largest_class: float) -> bool:
    """Say whether an accuracy may be that of one answer for all images. largest_class: the share of its images."""
    return wilson(correct, total)[0] <= largest_class


def depends_on(classifier: nn.Module, images: Tensor) -> str:
    """Return what answers in evaluation mode depend on beside the image: one of REMEDIES, or nothing.

    images: float32 (N, C, H, W) in [0, 1], one batch.
    """
    if decisions.draws_at_random(classifier, images):
        return CHANCE
    with torch.inference_mode():
        together = classifier(images).float()
        parts = torch.split(images, max(1, len(images) // 2))
        apart = torch.cat([classifier(part).float() for part in parts])
    return OTHERS if decisions.differ(together, apart) else ""


def _words(model: str, correct: int, total: int, largest: float) -> str:
    words = f"reproof: {model}: {correct} of {total} clean test images are right"
    if at_chance_level(correct, total, largest):
        words += (
            f"; one answer for all is right for {100 * largest:.1f} % of them. WARNING: look at the normalisation "
            "(mean and std), at the order of classes and colour channels, and whether the file is the right one"
        )
    return words
