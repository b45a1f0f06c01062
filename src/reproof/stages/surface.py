"""Measure a network's loss around test images, in the adversarial directions of Seiler, Fig. 5 and 6."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reproof import artifacts, device
from reproof.data import prepared
from reproof.data.dataset import to_unit
from reproof.errors import StudyError
from reproof.geometry import loss_surfaces
from reproof.geometry.loss_surfaces import Losses
from reproof.job_tables import SURFACE
from reproof.models import build
from reproof.plan.job import Job
from reproof.provenance import Run


def surface(job: Job, run: Run) -> None:
    """Do a surface job (plan.jobs.Plan.surface)."""
    chosen = device.claim(run)
    facts, wanted = job.slice, job.slice["surfaces"]
    data = prepared.read_dataset(run.read(Path(job.inputs["data"][0])))
    first, needed = wanted["image"], max(wanted["images"], wanted["image"] + 1)
    available = len(data.splits["test"])
    if needed > available:
        raise StudyError(
            f"surfaces.images and surfaces.image: ask for {needed} test images, and {facts['dataset']} has "
            f"{available}; lower them, or give the data set more test images"
        )
    (beside,) = facts["beside"]
    _, other = build.load(beside, data.description, run.read(Path(job.inputs["beside"][0])))
    _, trainee = build.load(facts, data.description, run.read(Path(job.inputs["model"][0])))
    network = trainee.to(chosen).classifier
    stored, labels = data.select("test", needed)
    images = to_unit(stored)
    batches: dict[str, Any] = {"batch_size": facts["batch_size"], "device": chosen}
    how: dict[str, Any] = {"clip": wanted["clip"], **batches}

    here = slice(first, first + 1)
    direction_1 = loss_surfaces.signs(other.to(chosen).classifier, images[here], labels[here], **batches)[0]
    directions = loss_surfaces.signs(network, images, labels, **batches)
    along_1, along_2 = (_spaced(wanted[key], wanted["points"]) for key in ("range_1", "range_2"))
    shifts = list(itertools.product(along_1, along_2))
    found = loss_surfaces.surface(
        network, images[first], labels[first], direction_1, directions[first], shifts, **how
    )
    rows = _rows("surface", (first for _ in shifts), shifts, found)
    count = wanted["images"]
    for epsilon in wanted["epsilons"]:
        found = loss_surfaces.line(
            network, images[:count], labels[:count], directions[:count], epsilon, **how
        )
        rows += _rows("line", range(count), ((None, epsilon) for _ in range(count)), found)
    artifacts.write_text(run.wrote(Path(job.outputs["surface"])), SURFACE.text_of_rows(rows))
    zero = (directions[:count] == 0).flatten(1).all(dim=1)
    run.notes = {
        "images": count,
        "zero_gradients": int(zero.sum()),
        "zero_direction_1": bool((direction_1 == 0).all()),
    }


def _spaced(ends: Sequence[float], points: int) -> list[float]:
    low, high = ends
    return [float(value) for value in np.linspace(low, high, points)]


def _rows(
    kind: str, images: Iterable[int], shifts: Iterable[tuple[float | None, float]], found: Losses
) -> list[dict[str, Any]]:
    """Return one row per image and shift; a line has no ε1."""
    return [
        {
            "kind": kind,
            "image": image,
            "epsilon_1": epsilon_1,
            "epsilon_2": epsilon_2,
            "loss": float(f"{loss:.6g}"),
            "correct": correct,
        }
        for image, (epsilon_1, epsilon_2), loss, correct in zip(
            images, shifts, found.losses.tolist(), found.correct.tolist(), strict=True
        )
    ]
