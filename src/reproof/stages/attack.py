"""Make a suite's adversarial images on a source model."""

from __future__ import annotations

from pathlib import Path

import torch

from reproof import artifacts, attack_engine, device, networks, prepared, registry
from reproof.data import to_unit
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

    tensors: dict[str, torch.Tensor] = {"labels": labels}
    notes = {}
    for name, stanza in facts["attacks"].items():
        kind = stanza["kind"]
        module = registry.load("attacks", kind)
        settings = module.Settings(**{key: value for key, value in stanza.items() if key != "kind"})
        count = settings.images or len(labels)
        crafted = attack_engine.craft(
            trainee,
            settings,
            kind,
            images[:count],
            labels[:count],
            clean[:count],
            view=view,
            seed=facts["seed"],
            batch_size=facts["batch_size"],
            device=chosen,
            skip_misclassified=facts["skip_misclassified"],
        )
        for parameters, adversarial in crafted.images.items():
            tensors[f"{name}/{parameters}"] = adversarial
        notes[name] = {
            "seconds": crafted.seconds,
            "unchanged": crafted.unchanged,
            "gradient_zero_share": crafted.gradient_zero_share,
            "images": count,
            "attacked": crafted.attacked,
        }
    run.notes = notes
    artifacts.write_tensors(
        run.wrote(Path(job.outputs["adversarial"])), tensors, {"attacks": facts["attacks"]}
    )
