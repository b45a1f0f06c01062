"""Put an ensemble together from its trained members, and measure how far apart their latent spaces lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reproof import artifacts, device
from reproof.attacking import evaluation
from reproof.data import prepared
from reproof.data.dataset import to_unit
from reproof.errors import StudyError
from reproof.geometry import latent_separation
from reproof.job_tables import SEPARATION
from reproof.models import build
from reproof.models.voting import Ensemble
from reproof.plan.job import Job
from reproof.provenance import Run


def assemble(job: Job, run: Run) -> None:
    """Do an assemble job (plan.jobs.Plan.assemble)."""
    chosen = device.claim(run)
    data = prepared.read_dataset(run.read(Path(job.inputs["data"][0])))
    _, trainee = build.build(job.slice, data.description, seed=0)
    ensemble = trainee.classifier
    if not isinstance(ensemble, Ensemble):
        raise TypeError(f"{job.slice['defense']['kind']} joins networks to something else than an Ensemble")
    images = to_unit(data.select("test")[0])
    latents = {}
    for place, name, network, path in zip(
        ensemble.members, job.slice["members"], job.slice["networks"], job.inputs["members"], strict=True
    ):
        _, member = build.load(network, data.description, run.read(Path(path)))
        try:
            place.load_state_dict(member.classifier.state_dict())
        except RuntimeError as error:
            raise StudyError(
                f"models.{job.slice['model']}.members: the defense of {name} changes its network, and a member is a "
                f"plain network of the architecture; name another model ({str(error).splitlines()[0]})"
            ) from error
        member.to(chosen)
        latents[name] = evaluation.predict(member.classifier, images, chosen).features.double().numpy()
    artifacts.write_tensors(
        run.wrote(Path(job.outputs["model"])), trainee.state_dict(), {"network": job.slice}
    )
    artifacts.write_text(
        run.wrote(Path(job.outputs["separation"])), SEPARATION.text_of_rows(_separations(latents))
    )
    run.notes = {"parameters": sum(parameter.numel() for parameter in ensemble.parameters())}


def _separations(latents: Mapping[str, NDArray[np.float64]]) -> list[dict[str, Any]]:
    """Return Eq. 5 for each pair of members, then each member against all others, then their mean (Eq. 6)."""
    total = latent_separation.total(latents)
    rows: list[dict[str, Any]] = [
        {key: row[key] for key in ("first", "second", "margin", "separable")}
        for row in latent_separation.pairwise(latents)
    ]
    for name, found in total.members.items():
        rows.append(
            {"first": name, "second": "all others", "margin": found.margin, "separable": found.separable}
        )
    rows.append({"first": "mean", "second": "", "margin": total.margin, "separable": total.separable})
    return rows
