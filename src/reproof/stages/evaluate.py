"""Show adversarial images to a target model and write what it says, a row per image, attack and parameters."""

from __future__ import annotations

import functools
from pathlib import Path

from reproof import artifacts, device
from reproof.attacking import evaluation
from reproof.data import prepared
from reproof.models import build
from reproof.plan.job import Job
from reproof.provenance import Run


def evaluate(job: Job, run: Run) -> None:
    """Do an evaluate job (plan.jobs.Plan.evaluate)."""
    chosen = device.claim(run)
    facts = job.slice
    data = prepared.read_dataset(run.read(Path(job.inputs["data"][0])))
    defense, trainee = build.load(facts, data.description, run.read(Path(job.inputs["model"][0])))
    trainee.to(chosen)
    read = {
        source: artifacts.read_tensors(run.read(Path(path)))
        for source, path in zip(facts["sources"], job.inputs["adversarial"], strict=True)
    }
    adversarial = {source: tensors for source, (tensors, _) in read.items()}
    judged = evaluation.evaluate(
        trainee.classifier,
        data,
        adversarial,
        facts["attacks"],
        setting=facts["setting"],
        threat=facts["threat"],
        view=facts["view"],
        examples=facts["examples"],
        device=chosen,
        parts={
            source: {
                name: [part for part, _ in note["parts"]]
                for name, note in metadata.get("notes", {}).items()
                if "parts" in note
            }
            for source, (_, metadata) in read.items()
        },
        rule=functools.partial(defense.nearest_prototype, trainee),
    )
    identity = {
        "study": facts["study"],
        "dataset": facts["dataset_key"],
        "architecture": facts["architecture_key"],
        "defense": facts["defense_key"],
        "training": facts["training_key"],
        "model": facts["model"],
        "seed": facts["seed"],
        "threat": facts["threat"],
        "members": facts.get("members", []),
        "notes": {source: metadata.get("notes", {}) for source, (_, metadata) in read.items()},
        "probe": read[facts["model"]][1].get("probe", {}) if facts["model"] in read else {},
    }
    evaluation.write(run.wrote(Path(job.outputs["outcomes"])), judged.rows, identity)
    artifacts.write_tensors(
        run.wrote(Path(job.outputs["examples"])), judged.examples, {"attacks": facts["attacks"]}
    )
