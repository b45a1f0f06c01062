"""What a target model says of adversarial images: outcomes, a row per image, attack and parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from reproof import artifacts, registry
from reproof.attacking import threat_model
from reproof.batch_size import in_batches
from reproof.data.dataset import Dataset, to_unit
from reproof.errors import ArtifactError
from reproof.models.classifier import Classifier
from reproof.settings.attack import AttackSettings, Point
from reproof.settings.table_words import NO_ATTACK

BATCH = 512
Rule = Callable[[dict[str, Tensor]], Tensor | None]
"""Features, as a classifier names them -> classes (N,); None of a method that has no such rule."""
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
        ("votes", pa.list_(pa.int16())),
        ("failed", pa.bool_()),
        ("fooling_set", pa.bool_()),
        ("nearest_prototype", pa.int16()),
        ("part", pa.string()),
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

UNATTACKED = {
    "attack": NO_ATTACK, "kind": NO_ATTACK, "view": "", "norm": "", "parameters": "", "epsilon": None, "source": "",
}  # fmt: skip


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


@dataclass(frozen=True)
class Predictions:
    """What a model says of images, on the CPU."""

    classes: Tensor
    """int64 (N,); REFUSED where it answers with none."""
    features: Tensor
    """float32 (N, D): the features that feed its last layer."""
    votes: Tensor | None
    """int64 (N, M): the classes of an ensemble's members."""
    failed: Tensor | None
    """bool (N,): the vote found no majority."""
    nearest_prototype: Tensor | None
    """int64 (N,): the class that the method's other rule decides for (Defense.nearest_prototype)."""

    def first(self, count: int) -> Predictions:
        """Return the same of the first so many images."""
        optional = (self.votes, self.failed, self.nearest_prototype)
        votes, failed, nearest = (None if part is None else part[:count] for part in optional)
        return Predictions(self.classes[:count], self.features[:count], votes, failed, nearest)


def predict(
    classifier: Classifier, images: Tensor, device: torch.device, rule: Rule | None = None
) -> Predictions:
    """Return what a classifier says of images (N, C, H, W) in [0, 1], and what the method's other rule does."""
    if not len(images):
        raise ValueError("there are no images to look at")

    def look(shown: Tensor) -> dict[str, Tensor | None]:
        answers = classifier.answers(shown)
        if not answers.logits.isfinite().all():
            raise ArtifactError("the network answers with numbers that are not finite; train it again")
        found = {
            "classes": answers.classes,
            "features": answers.features[next(reversed(classifier.feature_shapes))].float(),
            "votes": answers.votes,
            "failed": answers.failed,
            "nearest_prototype": None if rule is None else rule(answers.features),
        }
        return {name: None if part is None else part.cpu() for name, part in found.items()}

    with torch.inference_mode():
        parts = in_batches(look, images, BATCH, device, "evaluation")

    def joined(name: str) -> Tensor | None:
        told = [part for one in parts if (part := one[name]) is not None]
        return torch.cat(told) if told else None

    classes, features = joined("classes"), joined("features")
    assert classes is not None
    assert features is not None
    return Predictions(classes, features, joined("votes"), joined("failed"), joined("nearest_prototype"))


class _Target:
    """A model that images are shown to, and what it says of the clean test images."""

    def __init__(self, classifier: Classifier, data: Dataset, device: torch.device, rule: Rule | None):
        self.classifier = classifier.eval()
        self.device = device
        self.rule = rule
        stored, self.labels = data.select("test")
        self.images = to_unit(stored)
        self.clean = predict(classifier, self.images, device, rule)
        self.plane = Plane.fit(self.clean.features)
        self.clean_points = self.plane.project(self.clean.features)

    def columns(self, perturbed: Tensor | None, count: int, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return outcomes by column of the first so many images. facts: what is the same in all rows.

        perturbed: what is shown in place of the clean ones; None for those themselves.
        """
        said, points = self.clean.first(count), self.clean_points[:count]
        moved = {norm: np.zeros(count) for norm in ("linf", "l2", "l0")}
        if perturbed is not None:
            said = predict(self.classifier, perturbed, self.device, self.rule)
            points = self.plane.project(said.features)
            measured = threat_model.distances(self.images[:count], perturbed)
            moved = {norm: values.numpy() for norm, values in measured.items()}
        return {
            "image": np.arange(count),
            "label": self.labels[:count].numpy(),
            **{name: [value] * count for name, value in facts.items()},
            "votes": [None] * count if said.votes is None else said.votes.tolist(),
            "failed": [None] * count if said.failed is None else said.failed.tolist(),
            "fooling_set": [None] * count,
            "part": [None] * count,
            "nearest_prototype": (
                [None] * count if said.nearest_prototype is None else said.nearest_prototype.tolist()
            ),
            "clean_prediction": self.clean.classes[:count].numpy(),
            "adversarial_prediction": said.classes.numpy(),
            **moved,
            "clean_x": self.clean_points[:count, 0],
            "clean_y": self.clean_points[:count, 1],
            "adversarial_x": points[:, 0],
            "adversarial_y": points[:, 1],
        }


def evaluate(
    classifier: Classifier,
    data: Dataset,
    adversarial: Mapping[str, Mapping[str, Tensor]],
    attacks: Mapping[str, Mapping[str, Any]],
    *,
    setting: str,
    threat: str,
    view: str,
    examples: int,
    device: torch.device,
    rule: Rule | None = None,
    parts: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
) -> Judged:
    """Return a target's outcomes: one row per test image without attack, then per source, attack and parameters.

    adversarial: source -> `{attack}/{parameters}` -> float32 images (n, C, H, W) for the first n test images, and
    `labels`; under `fooled/{attack}/{parameters}`, of attacks that ask for it, which of them fool all the networks
    they were made on, bool (n,); under `taken/{attack}/{parameters}`, of composed attacks, the number of the part that
    took each, int16 (n,), -1 where none did. Every image is measured and held against its budget again (BudgetError),
    whoever made it. Examples to look at are those of the first source. rule: features to classes (N,), another rule by
    which the method can decide; None of a method without one. parts: source -> attack -> the names of its parts.
    """
    target = _Target(classifier, data, device, rule)
    images, labels = target.images, target.labels
    same = {"setting": setting, "threat": threat}
    tables = [_table(target.columns(None, len(labels), {**UNATTACKED, **same}))]
    shown = {
        "clean": images[:examples],
        "labels": labels[:examples],
        "predictions": target.clean.classes[:examples],
    }
    for position, (source, made) in enumerate(adversarial.items()):
        if not torch.equal(made["labels"], labels[: len(made["labels"])]):
            raise ArtifactError(
                f"threat {threat}: the adversarial images were made from other test images. Run again."
            )
        for name, kind, settings, point in _points(attacks):
            perturbed, norm = made[f"{name}/{point.parameters}"], settings.budget_norm
            where = f"{threat}: {name} {point.parameters} on {source}"
            threat_model.check(images[: len(perturbed)], perturbed, norm, point.epsilon, where)
            facts = {
                "attack": name,
                "kind": kind,
                "view": view,
                "norm": norm or "",
                "parameters": point.parameters,
                "epsilon": point.epsilon,
                "source": source,
                **same,
            }
            part = target.columns(perturbed, len(perturbed), facts)
            names = (parts or {}).get(source, {}).get(name, ())
            tables.append(_table(part | _of_the_attack(settings, made, f"{name}/{point.parameters}", names)))
            if examples and position == 0:
                said = part["adversarial_prediction"][:examples].astype("i8")
                shown[f"{name}/{point.parameters}"] = perturbed[:examples]
                shown[f"predictions/{name}/{point.parameters}"] = torch.as_tensor(said)
    return Judged(pa.concat_tables(tables), shown)


def _of_the_attack(
    settings: AttackSettings, made: Mapping[str, Tensor], point: str, parts: Sequence[str]
) -> dict[str, Any]:
    """Return the columns that only such attacks have: which images fool all sources, which part took which image."""
    found: dict[str, Any] = {}
    if settings.fooling_set:
        found["fooling_set"] = made[f"fooled/{point}"].tolist()
    if settings.composed:
        by = made[f"taken/{point}"].tolist()
        found["part"] = [parts[number] if number >= 0 else None for number in by]
    return found


def _points(
    attacks: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, str, AttackSettings, Point]]:
    """Yield each attack's name and kind, its settings, and each of its points."""
    for name, entry in attacks.items():
        cls = registry.settings_class("attacks", entry["kind"])
        settings = cls.model_validate({key: value for key, value in entry.items() if key != "kind"})
        assert isinstance(settings, AttackSettings)
        for point in settings.points():
            yield name, entry["kind"], settings, point


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
