"""Make a suite's adversarial images on a source: a model, or several together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reproof import artifacts, device, provenance, registry
from reproof.attacking import checkpoint, judge, probes, psnr_search
from reproof.attacking.aggregation import aggregate
from reproof.attacking.engine import AttackEngine, AttackResult
from reproof.attacking.source_networks import SourceNetworks, fooled, members_of
from reproof.data import prepared
from reproof.data.dataset import Dataset, to_unit
from reproof.errors import StudyError
from reproof.models import build
from reproof.models.classifier import Classifier
from reproof.models.voting import Ensemble
from reproof.plan.job import Job
from reproof.provenance import Run
from reproof.settings.attack import AttackSettings


def attack(job: Job, run: Run) -> None:
    """Do an attack job (plan.jobs.Plan.attack)."""
    chosen = device.claim(run)
    facts = job.slice
    data = prepared.read_dataset(run.read(Path(job.inputs["data"][0])))
    loaded = [
        build.load(network, data.description, run.read(Path(path)))
        for network, path in zip(facts.get("together", [facts]), job.inputs["model"], strict=True)
    ]
    defense, source = loaded[0]
    trainee = SourceNetworks([one for _, one in loaded]) if len(loaded) > 1 else source
    trainee.to(chosen)
    losses = {} if len(loaded) > 1 or facts.get("lacks_auxiliary") else defense.attack_losses(source)
    attack_loss = None if facts["view"] == "logits" else losses[facts["view"]]
    networks = {
        network["model"]: build.load(network, data.description, run.read(Path(path)))[1]
        for network, path in zip(facts.get("transfer_from", []), job.inputs["transfer_from"], strict=True)
    }
    aggregated = facts.get("aggregated", False)
    images, labels = _images(data, facts)
    engines = [
        AttackEngine(
            victim,
            device=chosen,
            batch_size=facts["batch_size"],
            seed=facts["seed"],
            skip_misclassified=facts["skip_misclassified"] and not aggregated,
            attack_loss=attack_loss,
            attack_losses={} if aggregated else losses,
            networks=networks,
        )
        for victim in (_members(source.classifier) if aggregated else [trainee])
    ]
    clean = judge.classes(trainee, images, facts["batch_size"], chosen)
    tensors: dict[str, torch.Tensor] = {"labels": labels}
    notes: dict[str, dict[str, Any]] = {}
    made = Path(job.outputs["adversarial"])
    folder = run.leaves_behind(made.with_suffix(".checkpoint"))
    with checkpoint.going_on(folder, job.digest, facts, run.inputs, chosen.type, provenance.versions()):
        for name, entry in facts["attacks"].items():
            with checkpoint.within(name):
                found, notes[name] = _attack(
                    name, entry, engines, trainee, (images, labels, clean), aggregated
                )
            tensors |= found
    run.notes = notes
    metadata = {"attacks": facts["attacks"], "notes": {name: _lasting(note) for name, note in notes.items()}}
    if attack_loss is None and not aggregated and len(loaded) == 1:
        metadata["probe"] = probes.probe(
            trainee,
            images,
            labels,
            seed=facts["seed"],
            batch_size=facts["batch_size"],
            device=chosen,
            attack_losses=losses,
        )
    artifacts.write_tensors(run.wrote(made), tensors, metadata)


def _attack(
    name: str,
    entry: Mapping[str, Any],
    engines: Sequence[AttackEngine],
    trainee: nn.Module,
    shown: Sequence[torch.Tensor],
    aggregated: bool,
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return what one attack makes, `{name}/{parameters}` -> images, and what is to be noted of it.

    engines: one, or each member's where their perturbations are summed. shown: images, labels and the source's classes.
    """
    kind = entry["kind"]
    chosen = {key: value for key, value in entry.items() if key != "kind"}
    settings = registry.load("attacks", kind).Settings(**chosen)
    images, labels, clean = (part[: settings.images or len(part)] for part in shown)
    runs = []
    for number, engine in enumerate(engines):
        with checkpoint.within(f"network {number}"):
            runs.append(psnr_search.run_all(engine, kind, settings, images, labels, clean, what=name))
    made, budgets = [result for result, _ in runs], runs[-1][1]
    found = _summed(images, made, settings) if aggregated else made[0].images
    tensors = {f"{name}/{parameters}": moved for parameters, moved in found.items()}
    if settings.fooling_set:
        rows = _fooling_set(trainee, engines[0], images, labels, found, settings.clean_correct)
        tensors |= {f"fooled/{name}/{parameters}": fools for parameters, fools in rows.items()}
    parts = {part: how for taken in made[0].taken.values() for part, how in taken.parts.items()}
    for parameters, taken in made[0].taken.items():
        by = torch.full((len(images),), -1, dtype=torch.int16)
        for position, part in taken.by.items():
            by[position] = list(parts).index(part)
        tensors[f"taken/{name}/{parameters}"] = by
    # Pairs: what stores them sorts keys, and the parts have an order.
    return tensors, _note(made, budgets, len(images)) | ({"parts": list(parts.items())} if parts else {})


def _images(data: Dataset, facts: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the test images that the suite asks for, and their labels; StudyError where there are too few."""
    available = len(data.splits["test"])
    if facts["images"] > available:
        raise StudyError(
            f"suites.{facts['suite']}.images: asks for {facts['images']} test images, and {facts['dataset']} has "
            f"{available}; lower it, or give the data set more test images"
        )
    stored, labels = data.select("test", facts["images"])
    return to_unit(stored), labels


def _summed(
    images: torch.Tensor, made: Sequence[AttackResult], settings: AttackSettings
) -> dict[str, torch.Tensor]:
    """Return, at each point, the clean images moved by the sum of what was made on each member."""
    found = {}
    for point in settings.points():
        moved = [result.images[point.parameters] for result in made]
        found[point.parameters] = aggregate(images, moved, settings.budget_norm, point.epsilon)
    return found


def _fooling_set(
    trainee: nn.Module,
    engine: AttackEngine,
    images: torch.Tensor,
    labels: torch.Tensor,
    found: Mapping[str, torch.Tensor],
    clean_correct: bool,
) -> dict[str, torch.Tensor]:
    """Return, at each point, which images fool all the networks that they were made on, bool (N,)."""

    def classes(shown: torch.Tensor) -> list[torch.Tensor]:
        networks = members_of(trainee)
        return [judge.classes(one, shown, engine.batch_size, engine.device) for one in networks]

    before = classes(images)
    return {
        parameters: fooled(before, classes(moved), labels, clean_correct)
        for parameters, moved in found.items()
    }


def _note(
    made: Sequence[AttackResult], budgets: Mapping[str, psnr_search.Found], count: int
) -> dict[str, Any]:
    """Return what is noted of an attack on so many images, summed over the members where it was made on each."""
    shares = [result.gradient_zero_share for result in made]
    broken = [result.gradient_broken_share for result in made]
    smaller = [result.batch_size for result in made if result.batch_size is not None]
    return {
        "seconds": _sum(result.seconds for result in made),
        "unchanged": _sum(result.unchanged for result in made),
        "gradient_zero_share": max((share for share in shares if share is not None), default=None),
        "gradient_broken_share": max((share for share in broken if share is not None), default=None),
        "images": count,
        "attacked": sum(result.attacked for result in made),
        **({"batch_size": min(smaller)} if smaller else {}),
        **({"budgets": {point: asdict(found) for point, found in budgets.items()}} if budgets else {}),
    }


def _lasting(note: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is the same each time that an attack's images are made."""
    return {key: value for key, value in note.items() if key != "seconds"}


def _members(classifier: Classifier) -> list[Classifier]:
    if not isinstance(classifier, Ensemble):
        raise TypeError("an aggregated suite attacks the members of an Ensemble")
    return [member for member in classifier.members if isinstance(member, Classifier)]


def _sum(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the sum of mappings from parameters to numbers, key by key."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)
