"""Make a suite's adversarial images on a source: a model, or several together."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reproof import artifacts, device, registry
from reproof.attacking import engine, judge, probes, psnr_search
from reproof.attacking.aggregation import aggregate
from reproof.attacking.source_networks import SourceNetworks, fooled, members_of
from reproof.data import prepared
from reproof.data.dataset import to_unit
from reproof.errors import StudyError
from reproof.models import build
from reproof.models.classifier import Classifier
from reproof.models.voting import Ensemble
from reproof.plan.job import Job
from reproof.provenance import Run


def attack(job: Job, run: Run) -> None:
    """Do an attack job (plan.Plan.attack)."""
    chosen = device.choose(run.threads)
    run.device = device.words(chosen)
    facts = job.slice
    data = prepared.read_dataset(run.read(Path(job.inputs["data"][0])))
    loaded = [
        build.load(network, data.description, run.read(Path(path)))
        for network, path in zip(facts.get("together", [facts]), job.inputs["model"], strict=True)
    ]
    defense, source = loaded[0]
    together = len(loaded) > 1
    trainee = SourceNetworks([one for _, one in loaded]) if together else source
    trainee.to(chosen)
    view = None if facts["view"] == "logits" else defense.attack_losses(source)[facts["view"]]
    available = len(data.splits["test"])
    if facts["images"] > available:
        raise StudyError(
            f"suites.{facts['suite']}.images: asks for {facts['images']} test images, and {facts['dataset']} has "
            f"{available}; lower it, or give the data set more test images"
        )
    stored, labels = data.select("test", facts["images"])
    images = to_unit(stored)
    clean = judge.predict(trainee, images, facts["batch_size"], chosen).argmax(1)

    def classes_by_source(shown: torch.Tensor) -> list[torch.Tensor]:
        parts = members_of(trainee)
        return [judge.predict(one, shown, facts["batch_size"], chosen).argmax(1) for one in parts]

    aggregated = facts.get("aggregated", False)
    tensors: dict[str, torch.Tensor] = {"labels": labels}
    notes: dict[str, dict[str, Any]] = {}
    for name, stanza in facts["attacks"].items():
        kind = stanza["kind"]
        module = registry.load("attacks", kind)
        settings = module.Settings(**{key: value for key, value in stanza.items() if key != "kind"})
        count = settings.images or len(labels)
        victims: list[nn.Module] = [*_members(source.classifier)] if aggregated else [trainee]
        made = []
        budgets: dict[str, psnr_search.Found] = {}
        for victim in victims:
            craft = functools.partial(
                engine.craft,
                victim,
                settings,
                kind,
                images[:count],
                labels[:count],
                clean[:count],
                view=view,
                seed=facts["seed"],
                batch_size=facts["batch_size"],
                device=chosen,
                skip_misclassified=facts["skip_misclassified"] and not aggregated,
            )
            crafted, budgets = psnr_search.craft_all(settings, craft, images[:count], name)
            made.append(crafted)
        for point in settings.points():
            found = [crafted.images[point.parameters] for crafted in made]
            tensors[f"{name}/{point.parameters}"] = (
                aggregate(images[:count], found, settings.norm, point.epsilon) if aggregated else found[0]
            )
        if settings.fooling_set:
            before = classes_by_source(images[:count])
            for point in settings.points():
                after = classes_by_source(tensors[f"{name}/{point.parameters}"])
                tensors[f"fooled/{name}/{point.parameters}"] = fooled(
                    before, after, labels[:count], settings.clean_correct
                )
        shares = [crafted.gradient_zero_share for crafted in made]
        notes[name] = {
            "seconds": _sum(crafted.seconds for crafted in made),
            "unchanged": _sum(crafted.unchanged for crafted in made),
            "gradient_zero_share": max((share for share in shares if share is not None), default=None),
            "images": count,
            "attacked": sum(crafted.attacked for crafted in made),
            **({"budgets": {point: asdict(found) for point, found in budgets.items()}} if budgets else {}),
        }
    run.notes = notes
    metadata = {"attacks": facts["attacks"], "notes": {name: _lasting(note) for name, note in notes.items()}}
    if view is None and not (aggregated or together):
        metadata["probe"] = probes.probe(
            trainee, images, labels, seed=facts["seed"], batch_size=facts["batch_size"], device=chosen
        )
    artifacts.write_tensors(run.wrote(Path(job.outputs["adversarial"])), tensors, metadata)


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
