"""What a study will cost before anyone starts it: jobs, core time and disk per stage. Imports no torch.

A job's cost is the measured one where its record is at hand (same slice of the study, same code). Else it is
images x one pass forward x an attack's passes or a defense's relative cost, as their files declare them, at
the speed of one core of an ordinary server or of a GPU (machine.py). Attacks may stop early, so theirs is an
upper bound.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproof.artifacts import read_record
from reproof.errors import ArtifactError
from reproof.plan.job import Job
from reproof.plan.jobs import RULES, Plan
from reproof.plan.machine import CORE, UTILISATION, Machine
from reproof.settings.architecture import ArchitectureSettings
from reproof.settings.attack import AttackSettings
from reproof.settings.baseline import CLEAN
from reproof.settings.cost import ADVERSARIAL_STEP, FORWARD
from reproof.settings.dataset import DatasetSettings
from reproof.settings.defense import DefenseSettings
from reproof.settings.parameters import PSNR
from reproof.settings.source_names import parts
from reproof.study.model import Model
from reproof.wording import duration, memory

START_SECONDS = 2.5
"""Starting Python, importing torch, reading and verifying inputs."""
TRAINING_STEP = 3.0
"""A training step on an image, in passes forward: forward, back to the features, back to the weights."""
STREAMED_BYTES_PER_SECOND = 9e6
"""Pixels that one core cuts out of photographs, scales and writes: 36,000 objects of 128 x 128 in 190 s."""
PSNR_TRIES = 4
"""Times that an attack is made until its images have a given PSNR."""
SEPARATION_SECONDS = 1e-4
"""Seconds per image and member that latent space separation takes (benchmarks/separation.py)."""
SURFACE_ROW_BYTES = 50
"""A loss at one point, as a line of a table."""
SUMMARY_SECONDS, SUMMARY_BYTES = 0.3, 100_000
"""Tables, figures and page: each of the three, per file of outcomes."""


@dataclass(frozen=True)
class Cost:
    """A job's seconds on one core, the bytes that it leaves on disk, and those that are removed later."""

    seconds: float
    kept_bytes: int
    temporary_bytes: int = 0
    measured: bool = False
    done: bool = False
    """Whether its files are there; measured too, where they were made by such a machine that nobody shared."""


def table(plan: Plan, machine: Machine = CORE) -> str:
    """Return the plan's cost as text: a line per stage, the sum, and what the sum rests on."""
    costs = {rule: [cost(plan, job, machine) for job in plan.jobs([rule])] for rule in RULES}
    everything = [one for stage in costs.values() for one in stage]
    measured = sum(one.measured for one in everything)
    temporary = sum(one.temporary_bytes for one in everything)
    lines = [f"{'stage':<10} {'jobs':>6} {'GPU time' if machine.gpu else 'core time':>14} {'disk':>10}"]
    for name, stage in {**costs, "total": everything}.items():
        if not stage:
            continue  # such as the ensembles of a study without any
        seconds, size = sum(one.seconds for one in stage), sum(one.kept_bytes for one in stage)
        lines.append(f"{name:<10} {len(stage):>6} {duration(seconds):>14} {memory(size):>10}")
    images = (
        f"Adversarial images are removed once they were evaluated: at most {memory(temporary)} at a time."
        if temporary
        else "Adversarial images stay on disk."
    )
    if temporary and any(one.kept_bytes for one in costs["attack"]):
        images += " Those that other models are shown stay."
    return "\n".join(
        [
            *lines,
            "",
            f"Study {plan.study.name!r}: {len(plan.study.models)} models, {len(plan.study.seeds)} seed(s). "
            f"{measured} of {len(everything)} jobs were measured by an earlier run; the others are "
            f"estimated, {basis(machine)}. {images}",
        ]
    )


def basis(machine: Machine) -> str:
    """Return what estimates for a machine rest on: `for one core and no GPU`."""
    if not machine.gpu:
        return f"for {machine.name} and no GPU"
    return f"for {machine.name} at {100 * UTILISATION:g} % of its data sheet's speed, which nobody measured"


def cost(plan: Plan, job: Job, machine: Machine = CORE) -> Cost:
    """Return a job's cost: measured where its record fits and is of such a machine, else estimated."""
    record = record_of(job)
    measured = record is not None and _measures(record, machine)
    seconds, size = _estimate(plan, job, machine)
    if record is not None:
        size = sum(file["bytes"] for file in record["files"].values())
        if measured:
            seconds = record["seconds"] * (1 if machine.gpu else record["threads"])
    removed = 0
    if job.rule == "attack" and not plan.study.keep_adversarial:
        removed = 0 if plan.transfers(job.slice["model"], job.slice["suite"]) else size
    return Cost(START_SECONDS + seconds, size - removed, removed, measured=measured, done=record is not None)


def _measures(record: Mapping[str, Any], machine: Machine) -> bool:
    on_gpu = str(record.get("device", "")).startswith("GPU")
    return not record.get("device_shared", False) and on_gpu == machine.gpu


def record_of(job: Job) -> dict[str, Any] | None:
    """Return the record of an earlier run of the very same job."""
    if "record" not in job.outputs:
        return None
    try:
        record = read_record(Path(job.outputs["record"]))
    except ArtifactError:
        return None
    same = record.get("job") == json.loads(json.dumps(job.slice))
    return record if same and record.get("digest") == job.digest else None


def _estimate(plan: Plan, job: Job, machine: Machine) -> tuple[float, int]:
    """Return a job's seconds after its start, and the bytes of its files."""
    facts, study = job.slice, plan.study
    if job.rule == "prepare":
        data: DatasetSettings = study.datasets[facts["dataset"]].settings
        size = sum(data.sizes().values()) * (_pixels(data) + 16)  # and each label and index, 8 bytes
        return size / STREAMED_BYTES_PER_SECOND if data.streams else 0.0, size
    if job.rule == "assemble":
        return _assemble(plan, study.models[facts["model"]], machine)
    if job.rule == "train":
        return _train(plan, study.models[facts["model"]], machine)
    if job.rule == "load":
        return _load(plan, study.models[facts["model"]], machine)
    if job.rule == "attack":
        return _attack(plan, facts, machine)
    if job.rule == "evaluate":
        return _evaluate(plan, facts, machine)
    if job.rule == "surface":
        return _surface(plan, facts, machine)
    outcomes = len(plan.outcomes())
    return SUMMARY_SECONDS * outcomes, SUMMARY_BYTES * outcomes


def _train(plan: Plan, model: Model, machine: Machine) -> tuple[float, int]:
    data: DatasetSettings = plan.study.datasets[model.dataset].settings
    defense: DefenseSettings = model.defense.settings
    relative = defense.relative_cost()
    adversarial = model.training.adversarial
    if adversarial is not None:
        # The study's examples take the place of the method's own; a shaped network costs them as much more.
        network = relative if defense.shapes_network else float(model.networks)
        loss = relative / network if defense.trains_on == CLEAN else 1.0
        relative = network * (loss + adversarial.relative_cost(loss, model.training.epochs))
    relative += (
        FORWARD * ADVERSARIAL_STEP * max(0, len(model.beside) - 1)
    )  # the method itself counts one peer
    if model.built_on is not None:
        beneath: DefenseSettings = model.built_on.settings
        relative *= beneath.relative_cost()
    images = model.training.epochs * data.sizes()["train"]
    layers = model.architecture.settings.layers(*data.shape, len(data.class_names))
    # The relative cost counts the networks.
    one_network = _forward_seconds(plan, model, machine, training=True) / model.networks
    seconds = images * relative * TRAINING_STEP * one_network
    return seconds, 4 * model.networks * sum(weights for weights, _ in layers) + 70 * model.training.epochs


def _assemble(plan: Plan, model: Model, machine: Machine) -> tuple[float, int]:
    """Return what it takes to look at the test images once and to lay planes between the members' features."""
    data: DatasetSettings = plan.study.datasets[model.dataset].settings
    images = data.sizes()["test"]
    layers = model.architecture.settings.layers(*data.shape, len(data.class_names))
    seconds = images * (_forward_seconds(plan, model, machine) + len(model.members) * SEPARATION_SECONDS)
    return seconds, 4 * len(model.members) * sum(weights for weights, _ in layers)


def _load(plan: Plan, model: Model, machine: Machine) -> tuple[float, int]:
    """Return what it takes to look at the clean test images once."""
    data: DatasetSettings = plan.study.datasets[model.dataset].settings
    layers = model.architecture.settings.layers(*data.shape, len(data.class_names))
    seconds = data.sizes()["test"] * _forward_seconds(plan, model, machine)
    return seconds, 4 * model.networks * sum(weights for weights, _ in layers)


def _attack(plan: Plan, facts: dict[str, Any], machine: Machine) -> tuple[float, int]:
    shares = attack_seconds(plan, facts, machine)
    images = sum(count for _, _, count in _crafted(plan, facts["suite"]))
    return sum(shares.values()), 4 * images * _pixels(plan.study.datasets[facts["dataset"]].settings)


def attack_seconds(plan: Plan, facts: dict[str, Any], machine: Machine) -> dict[str, float]:
    """Return what each attack of an attack job is estimated to take. facts: the job's slice."""
    models = [plan.study.models[name] for name in parts(facts["model"])]
    forward = sum(_forward_seconds(plan, model, machine) for model in models)
    found = {}
    for name, attack, count in _crafted(plan, facts["suite"]):
        passes = attack.passes() + FORWARD  # and one to judge
        searched = sum(point.name == PSNR for point in attack.points())
        tries = 1 + searched * (PSNR_TRIES - 1) / len(attack.points())
        found[name] = count * tries * passes / FORWARD * forward
    return found


def _evaluate(plan: Plan, facts: dict[str, Any], machine: Machine) -> tuple[float, int]:
    model = plan.study.models[facts["model"]]
    data: DatasetSettings = plan.study.datasets[model.dataset].settings
    rows, shown = data.sizes()["test"], 1
    for _, attack, count in _crafted(plan, plan.study.threats[facts["threat"]].suite):
        rows += count * len(facts["sources"])
        shown += len(attack.points())
    pictures = 4 * facts["examples"] * shown * _pixels(data)
    return rows * _forward_seconds(plan, model, machine), 20 * rows + pictures


def _surface(plan: Plan, facts: dict[str, Any], machine: Machine) -> tuple[float, int]:
    """Return what the passes at every point of the surface and of the lines take, and the gradients before them."""
    wanted = facts["surfaces"]
    own, other = (
        _forward_seconds(plan, plan.study.models[name], machine)
        for name in (facts["model"], facts["beside"][0]["model"])
    )
    rows = wanted["points"] ** 2 + wanted["images"] * len(wanted["epsilons"])
    gradients = max(wanted["images"], wanted["image"] + 1)
    return rows * own + (gradients * own + other) / FORWARD, SURFACE_ROW_BYTES * rows


def _crafted(plan: Plan, suite: str) -> Iterator[tuple[str, AttackSettings, int]]:
    """Yield a suite's attacks by name, with the number of images that each makes, over all its points."""
    images = plan.study.suites[suite].images
    for name, attack in plan.study.suite_attacks[suite].items():
        settings: AttackSettings = attack.settings
        yield name, settings, min(images, settings.images or images) * len(settings.points())


def _pixels(data: DatasetSettings) -> int:
    channels, height, width = data.shape
    return channels * height * width


def _forward_seconds(plan: Plan, model: Model, machine: Machine, *, training: bool = False) -> float:
    """Return the seconds of one image's pass forward, in a batch as training or attacks have them."""
    data: DatasetSettings = plan.study.datasets[model.dataset].settings
    architecture: ArchitectureSettings = model.architecture.settings
    image = (*data.shape, len(data.class_names))
    batch = model.training.batch_size if training else plan.study.attack_batch_size
    return model.networks * machine.forward_seconds(
        architecture.multiply_adds(*image),
        len(architecture.layers(*image)),
        batch,
        model.training.precision if training else "float32",
    )
