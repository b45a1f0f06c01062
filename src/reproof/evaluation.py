"""What a target model says of adversarial images: outcomes, a row per image, attack and parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from reproof import artifacts, registry, threat_models
from reproof.classifier import Classifier
from reproof.data import Dataset, to_unit
from reproof.errors import ArtifactError
from reproof.settings import AttackSettings, Point

BATCH = 512
SCHEMA = pa.schema(
    [
        ("image", pa.int32()),
        ("label", pa.int16()),
        ("attack", pa.string()),
        ("kind", pa.string()),
        ("view", pa.string()),
        ("norm", pa.string()),
        ("parameters", pa.string()),
        ("epsilon", pa.float64()),
        ("setting", pa.string()),
        ("threat", pa.string()),
        ("source", pa.string()),
        ("clean_prediction", pa.int16()),
        ("adversarial_prediction", pa.int16()),
        ("linf", pa.float32()),
        ("l2", pa.float32()),
        ("l0", pa.int32()),
        ("clean_x", pa.float32()),
        ("clean_y", pa.float32()),
        ("adversarial_x", pa.float32()),
        ("adversarial_y", pa.float32()),
    ]
)


@dataclass(frozen=True)
class Judged:
    """A threat's outcomes on one target, and a few of its images to look at."""

    rows: pa.Table
    examples: dict[str, Tensor]


@dataclass(frozen=True)
class Plane:
    """The two principal components of a model's clean penultimate features (test split)."""

    centre: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]

    @classmethod
    def fit(cls, features: Tensor) -> Plane:
        """Return the plane of features (N, D); each axis points where its largest entry is positive."""
        points = features.double().numpy()
        centre = points.mean(axis=0)
        _, _, components = np.linalg.svd(points - centre, full_matrices=False)
        axes = np.zeros((2, points.shape[1]))
        axes[: min(2, len(components))] = components[:2]
        strongest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1, keepdims=True), axis=1)
        return cls(centre, axes * np.where(strongest < 0, -1.0, 1.0))

    def project(self, features: Tensor) -> npt.NDArray[np.float32]:
        """Return features (N, D) as points (N, 2)."""
        projected: npt.NDArray[np.float32] = ((features.double().numpy() - self.centre) @ self.axes.T).astype(
            "f4"
        )
        return projected


def look(classifier: Classifier, images: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return predictions (N,) and penultimate features (N, D) in float32, both on the CPU. images: in [0, 1]."""
    predictions, features = [], []
    with torch.inference_mode():
        for first in range(0, len(images), BATCH):
            batch = images[first : first + BATCH]
            logits, named = classifier.logits_and_features(batch.to(device))
            if not logits.isfinite().all():
                raise ArtifactError("the network answers with numbers that are not finite; train it again")
            predictions.append(logits.argmax(1).cpu())
            features.append(named[next(reversed(classifier.feature_shapes))].float().cpu())
    return torch.cat(predictions), torch.cat(features)


def evaluate(
    classifier: Classifier,
    data: Dataset,
    adversarial: Mapping[str, Tensor],
    attacks: Mapping[str, Mapping[str, Any]],
    *,
    setting: str,
    threat: str,
    source: str,
    view: str,
    examples: int,
    device: torch.device,
) -> Judged:
    """Return a target's outcomes: one row per test image without attack, then per attack and parameters.

    adversarial: `{attack}/{parameters}` -> float32 images (n, C, H, W) for the first n test images, and
    `labels`. Every image is measured and held against its budget again (BudgetError), whoever made it.
    """
    classifier.eval()
    stored, labels = data.select("test")
    images = to_unit(stored)
    clean_predictions, clean_features = look(classifier, images, device)
    plane = Plane.fit(clean_features)
    clean_points = plane.project(clean_features)
    if not torch.equal(adversarial["labels"], labels[: len(adversarial["labels"])]):
        raise ArtifactError(
            f"threat {threat}: the adversarial images were made from other test images. Run again."
        )

    def columns(count: int, perturbed: Tensor | None, **same: Any) -> dict[str, Any]:
        predictions, points = clean_predictions[:count], clean_points[:count]
        moved = {norm: np.zeros(count) for norm in ("linf", "l2", "l0")}
        if perturbed is not None:
            predictions, features = look(classifier, perturbed, device)
            points = plane.project(features)
            measured = threat_models.distances(images[:count], perturbed)
            moved = {norm: values.numpy() for norm, values in measured.items()}
        return {
            "image": np.arange(count),
            "label": labels[:count].numpy(),
            **{name: [value] * count for name, value in same.items()},
            "setting": [setting] * count,
            "threat": [threat] * count,
            "clean_prediction": clean_predictions[:count].numpy(),
            "adversarial_prediction": predictions.numpy(),
            **moved,
            "clean_x": clean_points[:count, 0],
            "clean_y": clean_points[:count, 1],
            "adversarial_x": points[:, 0],
            "adversarial_y": points[:, 1],
        }

    blank = {
        "attack": "none",
        "kind": "none",
        "view": "",
        "norm": "",
        "parameters": "",
        "epsilon": None,
        "source": "",
    }
    tables = [_table(columns(len(labels), None, **blank))]
    shown = {
        "clean": images[:examples],
        "labels": labels[:examples],
        "predictions": clean_predictions[:examples],
    }
    for name, stanza, settings, point in _points(attacks):
        perturbed = adversarial[f"{name}/{point.parameters}"]
        count = len(perturbed)
        where = f"{threat}: {name} {point.parameters} on {source}"
        threat_models.check(images[:count], perturbed, settings.norm, point.epsilon, where)
        facts = {
            "attack": name,
            "kind": stanza["kind"],
            "view": view,
            "norm": settings.norm or "",
            "parameters": point.parameters,
            "epsilon": point.epsilon,
            "source": source,
        }
        part = columns(count, perturbed, **facts)
        tables.append(_table(part))
        if examples:
            shown[f"{name}/{point.parameters}"] = perturbed[:examples]
            shown[f"predictions/{name}/{point.parameters}"] = torch.as_tensor(
                part["adversarial_prediction"][:examples].astype("i8")
            )
    return Judged(pa.concat_tables(tables), shown)


def _points(
    attacks: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, Mapping[str, Any], AttackSettings, Point]]:
    for name, stanza in attacks.items():
        cls = registry.settings_class("attacks", stanza["kind"])
        settings = cls.model_validate({key: value for key, value in stanza.items() if key != "kind"})
        assert isinstance(settings, AttackSettings)
        for point in settings.points():
            yield name, stanza, settings, point


def _table(columns: Mapping[str, Any]) -> pa.Table:
    return pa.table(
        {field.name: pa.array(columns[field.name], type=field.type) for field in SCHEMA}, schema=SCHEMA
    )


def write(path: Path, rows: pa.Table, identity: Mapping[str, Any]) -> None:
    """Write outcomes as parquet, with who was attacked (study, dataset, model, ...) in its metadata."""
    with artifacts.writing(path) as temporary:
        pq.write_table(
            rows.replace_schema_metadata({"reproof": json.dumps(identity, sort_keys=True)}),
            temporary,
            compression="zstd",
        )
