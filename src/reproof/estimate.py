"""What a study will cost before anyone starts it: jobs, core seconds and disk per stage. Imports no torch.

Seconds are the measured ones where a job's record is at hand (same slice and code), else passes x images x the
network's multiply-adds at a speed measured on one core of an ordinary server; a GPU is many times faster.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproof.errors import ArtifactError
from reproof.artifacts import read_json
from reproof.plan import RULES, Job, Plan
from reproof.settings import ArchitectureSettings, AttackSettings, DatasetSettings
from reproof.study import Model

START_SECONDS = 2.5
"""Starting Python, importing torch, reading and verifying inputs."""
MULTIPLY_ADDS_PER_SECOND = 6e9
"""One core, small convolutions in float32, measured on the default study (see benchmarks/README.md)."""


@dataclass(frozen=True)
class Cost:
    """A job's estimated cost on one core, and the bytes that it leaves on disk."""

    seconds: float
    bytes: int
    measured: bool = False


def table(plan: Plan) -> str:
    """Return the plan's cost as text: a line per stage, then the sum."""
    lines = [f"{'stage':<10} {'jobs':>6} {'core time':>12} {'disk':>10}"]
    total_jobs, total_seconds, total_bytes, measured = 0, 0.0, 0, 0
    for rule in RULES:
        jobs = list(plan.jobs([rule]))
        costs = [cost(plan, job) for job in jobs]
        seconds, size = sum(one.seconds for one in costs), sum(one.bytes for one in costs)
        measured += sum(one.measured for one in costs)
        lines.append(f"{rule:<10} {len(jobs):>6} {_duration(seconds):>12} {_size(size):>10}")
        total_jobs, total_seconds, total_bytes = total_jobs + len(jobs), total_seconds + seconds, total_bytes + size
    lines.append(f"{'total':<10} {total_jobs:>6} {_duration(total_seconds):>12} {_size(total_bytes):>10}")
    lines.append("")
    lines.append(
        f"Study {plan.study.name!r}, {len(plan.study.models)} models, {len(plan.study.seeds)} seed(s). {measured} of "
        f"{total_jobs} jobs were measured by an earlier run; the others are estimated, for one core and no GPU. "
        + (
            "Adversarial images stay on disk."
            if plan.study.keep_adversarial
            else "Adversarial images are removed once they were evaluated."
        )
    )
    return "\n".join(lines)


def cost(plan: Plan, job: Job) -> Cost:
    """Return a job's cost: measured where its record fits, else estimated."""
    record = _record(job)
    if record is not None:
        return Cost(record["seconds"], sum(file["bytes"] for file in record["files"].values()), measured=True)
    facts = job.slice
    study = plan.study
    if job.rule == "prepare":
        data: DatasetSettings = study.datasets[facts["dataset"]].settings
        return Cost(START_SECONDS, data.images * (_pixels(data) + 8))
    if job.rule == "train":
        return _training(plan, study.models[facts["model"]])
    if job.rule == "attack":
        return _attack(plan, facts)
    if job.rule == "evaluate":
        images = sum(_images(plan, facts, name, suite_images(plan, facts)) for name in facts["attacks"])
        data = study.datasets[facts["dataset"]].settings
        passes = (images + data.test_images) * _multiply_adds(plan, study.models[facts["model"]])
        return Cost(START_SECONDS + passes / MULTIPLY_ADDS_PER_SECOND, 30 * images + 30 * data.test_images)
    outcomes = len(plan.outcomes())
    return Cost(START_SECONDS + 0.02 * outcomes, 20_000 + 10_000 * outcomes)


def _record(job: Job) -> dict[str, Any] | None:
    if "record" not in job.outputs:
        return None
    try:
        record: dict[str, Any] = read_json(Path(job.outputs["record"]))
    except ArtifactError:
        return None
    fits = record.get("digest") == job.digest and record.get("job") == json.loads(json.dumps(job.slice))
    return record if fits else None


def suite_images(plan: Plan, facts: dict[str, Any]) -> int:
    """Return how many test images the suite of an evaluate job has."""
    return plan.study.suites[plan.study.threats[facts["threat"]].suite].images


def _images(plan: Plan, facts: dict[str, Any], attack: str, images: int) -> int:
    """Return how many adversarial images an attack makes, over all its points."""
    settings: AttackSettings = plan.study.attacks[attack].settings
    return min(images, settings.images or images) * len(settings.points())


def _pixels(data: DatasetSettings) -> int:
    channels, height, width = data.shape
    return channels * height * width


def _multiply_adds(plan: Plan, model: Model) -> float:
    """Return the multiply-adds of one forward pass of one image."""
    data: DatasetSettings = plan.study.datasets[model.dataset].settings
    architecture: ArchitectureSettings = model.architecture.settings
    return architecture.multiply_adds(*data.shape, len(data.class_names) or 10)


def _training(plan: Plan, model: Model) -> Cost:
    data: DatasetSettings = plan.study.datasets[model.dataset].settings
    forward = _multiply_adds(plan, model)
    adversarial = model.training.adversarial or model.defense.settings.adversarial_training()
    passes = 3.0
    if adversarial is not None:
        steps = adversarial.steps if adversarial.attack == "pgd" else 1
        passes += adversarial.share * steps * 2.5 + (3.0 * adversarial.share if adversarial.augment else 0.0)
    work = model.training.epochs * data.train_images * forward * passes
    parameters = model.architecture.settings.multiply_adds(*data.shape, 10) / 50
    return Cost(START_SECONDS + work / MULTIPLY_ADDS_PER_SECOND, int(4 * parameters) + 100 * model.training.epochs)


def _attack(plan: Plan, facts: dict[str, Any]) -> Cost:
    model = plan.study.models[facts["model"]]
    forward = _multiply_adds(plan, model)
    size, work = 0, 0.0
    for name in facts["attacks"]:
        settings: AttackSettings = plan.study.attacks[name].settings
        images = _images(plan, facts, name, facts["images"])
        work += images * settings.passes() * 2.5 * forward
        size += images * _pixels(plan.study.datasets[model.dataset].settings) * 4
    return Cost(START_SECONDS + work / MULTIPLY_ADDS_PER_SECOND, size if plan.study.keep_adversarial else 2_000)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
