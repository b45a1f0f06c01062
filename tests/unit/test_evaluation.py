from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from reproof import evaluation
from reproof.classifier import Classifier
from reproof.data import DataDescription, Dataset
from reproof.errors import ArtifactError, BudgetError

DESCRIPTION = DataDescription(1, 2, 2, 2, (0.0,), (1.0,))
ATTACKS: dict[str, dict[str, Any]] = {"fgsm": {"kind": "fgsm", "epsilons": [0.1, 0.3]}}


class Brightness(Classifier):
    """Class 1 when the first pixel is above one half."""

    def __init__(self, broken: bool = False):
        super().__init__(DESCRIPTION)
        self.broken = broken
        self.feature_shapes = {"pixels": (4,)}

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = self.normalise(images).flatten(1)
        logits = torch.stack([torch.full_like(pixels[:, 0], 0.5), pixels[:, 0]], 1)
        return logits * (torch.nan if self.broken else 1.0), {"pixels": pixels}


@pytest.fixture
def data() -> Dataset:
    images = torch.zeros(6, 1, 2, 2, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.tensor([0, 110, 120, 140, 250, 255])
    images[:, 0, 1, 1] = torch.arange(6, dtype=torch.uint8) * 7
    labels = torch.tensor([0, 0, 0, 1, 1, 0])
    splits = {
        "train": torch.tensor([]).long(),
        "validation": torch.tensor([]).long(),
        "test": torch.arange(6),
    }
    return Dataset("toy", images, labels, splits, DESCRIPTION)  # type: ignore[arg-type]


def adversarial(data: Dataset, shift: float = 0.1, count: int = 4) -> dict[str, Tensor]:
    clean = data.images.float() / 255
    moved = clean.clone()
    direction = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, 1.0])
    moved[:, 0, 0, 0] = (moved[:, 0, 0, 0] + shift * direction).clamp(0, 1)
    return {
        "labels": data.labels[:count],
        "fgsm/epsilon=0.1": moved[:count],
        "fgsm/epsilon=0.3": clean[:count],
    }


def judge(data: Dataset, images: dict[str, Tensor], model: Classifier | None = None) -> evaluation.Judged:
    return evaluation.evaluate(
        model or Brightness(),
        data,
        {"m": images},
        ATTACKS,
        setting="white_box",
        threat="t",
        view="logits",
        examples=2,
        device=torch.device("cpu"),
    )


def test_outcomes_are_what_the_model_says(data: Dataset) -> None:
    rows = judge(data, adversarial(data)).rows.to_pylist()
    clean = [row for row in rows if row["attack"] == "none"]
    assert [row["clean_prediction"] for row in clean] == [0, 0, 0, 1, 1, 1]
    assert [row["adversarial_prediction"] for row in clean] == [0, 0, 0, 1, 1, 1]
    attacked = [row for row in rows if row["parameters"] == "epsilon=0.1"]
    assert [row["image"] for row in attacked] == [0, 1, 2, 3]
    assert [row["adversarial_prediction"] for row in attacked] == [0, 1, 1, 0]
    assert [row["clean_prediction"] for row in attacked] == [0, 0, 0, 1]
    np.testing.assert_allclose([row["linf"] for row in attacked], 0.1, atol=1e-6)
    np.testing.assert_allclose([row["l2"] for row in attacked], 0.1, atol=1e-6)
    assert {row["l0"] for row in attacked} == {1}
    assert {(row["norm"], row["epsilon"], row["source"], row["kind"], row["view"]) for row in attacked} == {
        ("linf", 0.1, "m", "fgsm", "logits")
    }
    unmoved = [row for row in rows if row["parameters"] == "epsilon=0.3"]
    assert {row["l0"] for row in unmoved} == {0}
    assert len(rows) == 6 + 4 + 4


def test_image_over_its_budget_is_never_counted(data: Dataset) -> None:
    with pytest.raises(BudgetError, match=r"t: fgsm epsilon=0\.1 on m"):
        judge(data, adversarial(data, shift=0.1001))


def test_images_made_from_other_test_images_are_refused(data: Dataset) -> None:
    images = adversarial(data)
    images["labels"] = 1 - images["labels"]
    with pytest.raises(ArtifactError, match="other test images"):
        judge(data, images)


def test_network_that_answers_nan_is_refused(data: Dataset) -> None:
    with pytest.raises(ArtifactError, match="not finite"):
        judge(data, adversarial(data), Brightness(broken=True))


def test_examples_are_the_first_images(data: Dataset) -> None:
    images = adversarial(data)
    examples = judge(data, images).examples
    assert torch.equal(examples["fgsm/epsilon=0.1"], images["fgsm/epsilon=0.1"][:2])
    assert torch.equal(examples["clean"], data.images[:2].float() / 255)
    assert examples["predictions/fgsm/epsilon=0.1"].tolist() == [0, 1]


def test_batches_change_nothing(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = judge(data, adversarial(data)).rows
    monkeypatch.setattr(evaluation, "BATCH", 4)
    assert judge(data, adversarial(data)).rows.equals(whole)


def test_written_outcomes_carry_who_was_attacked(data: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "o.parquet"
    rows = judge(data, adversarial(data)).rows
    evaluation.write(path, rows, {"model": "m", "seed": 0})
    found = pq.read_table(path)
    assert json.loads(found.schema.metadata[b"reproof"]) == {"model": "m", "seed": 0}
    assert found.to_pylist() == rows.to_pylist()


def test_plane_is_that_of_a_principal_component_analysis() -> None:
    torch.manual_seed(0)
    features = torch.randn(50, 7) @ torch.randn(7, 7)
    points = evaluation.Plane.fit(features).project(features)
    expected = PCA(2, svd_solver="full").fit_transform(features.double().numpy())
    signs = np.sign((points * expected).sum(0))
    np.testing.assert_allclose(points, expected * signs, atol=1e-4)


def test_plane_of_one_feature_has_an_empty_second_axis() -> None:
    points = evaluation.Plane.fit(torch.tensor([[1.0], [3.0]])).project(torch.tensor([[3.0]]))
    np.testing.assert_allclose(points, [[1.0, 0.0]], atol=1e-6)
