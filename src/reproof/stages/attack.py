"""Make a suite's adversarial images on a source model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from reproof import artifacts, attack_engine, device, networks, prepared, registry
from reproof.aggregation import aggregate
from reproof.classifier import Classifier
from reproof.data import to_unit
from reproof.ensembles import Ensemble
from reproof.errors import StudyError
from reproof.plan import Job
from reproof.provenance import Run


def attack(job: Job, run: Run) -> None:
    """Do an attack job (plan.Plan.attack)."""
    chosen = device.choose(run.threads)
    run.device = device.words(chosen)
    facts = job.slice
    data = prepared.read_dataset(run.read(Path(job.inputs["data"][0])))
    defense, trainee = networks.load(facts, data.description, run.read(Path(job.inputs["model"][0])))
    trainee.to(chosen)
    view = None if facts["view"] == "logits" else defense.views(trainee)[facts["view"]]
    available = len(data.splits["test"])
    if facts["images"] > available:
        raise StudyError(
            f"suites.{facts['suite']}.images: asks for {facts['images']} test images, and {facts['dataset']} has "
            f"{available}; lower it, or give the data set more test images"
        )
    stored, labels = data.select("test", facts["images"])
    images = to_unit(stored)
    clean = attack_engine.predict(trainee, images, facts["batch_size"], chosen).argmax(1)

    aggregated = facts.get("aggregated", False)
    tensors: dict[str, torch.Tensor] = {"labels": labels}
    notes = {}
    for name, stanza in facts["attacks"].items():
        kind = stanza["kind"]
        module = registry.load("attacks", kind)
        settings = module.Settings(**{key: value for key, value in stanza.items() if key != "kind"})
        count = settings.images or len(labels)
        victims = _members(trainee.classifier) if aggregated else [trainee]
        made = [
            attack_engine.craft(
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
            for victim in victims
        ]
        for point in settings.points():
            found = [crafted.images[point.parameters] for crafted in made]
            tensors[f"{name}/{point.parameters}"] = (
                aggregate(images[:count], found, settings.norm, point.epsilon) if aggregated else found[0]
            )
        shares = [crafted.gradient_zero_share for crafted in made]
        notes[name] = {
            "seconds": _sum(crafted.seconds for crafted in made),
            "unchanged": _sum(crafted.unchanged for crafted in made),
            "gradient_zero_share": max((share for share in shares if share is not None), default=None),
            "images": count,
            "attacked": sum(crafted.attacked for crafted in made),
        }
    run.notes = notes
    artifacts.write_tensors(
        run.wrote(Path(job.outputs["adversarial"])), tensors, {"attacks": facts["attacks"]}
    )


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
