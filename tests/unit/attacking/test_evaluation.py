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

from reproof.attacking import evaluation
from reproof.data.dataset import DataDescription, Dataset
from reproof.errors import ArtifactError, BudgetError
from reproof.models.classifier import REFUSED, Answers, Classifier

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


def judge(
    data: Dataset,
    images: dict[str, Tensor],
    model: Classifier | None = None,
    rule: evaluation.Rule | None = None,
) -> evaluation.Judged:
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
        rule=rule,
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


def test_a_budget_is_a_number_and_keeps_its_print(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ATTACKS, "fgsm", {"kind": "fgsm", "epsilons": ["8/255"]})
    clean = data.images.float() / 255
    judged = judge(data, {"labels": data.labels[:4], "fgsm/epsilon=8/255": clean[:4]})
    attacked = [row for row in judged.rows.to_pylist() if row["attack"] == "fgsm"]
    assert {(row["parameters"], row["epsilon"]) for row in attacked} == {("epsilon=8/255", 8 / 255)}
    assert judged.examples["predictions/fgsm/epsilon=8/255"].tolist() == [0, 0]


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


class Voters(Brightness):
    """Three members: above 0.3, 0.45 and 0.7. They vote; from 0.6 to 0.65 nothing is elected, and nothing answered."""

    def __init__(self, rule: bool = True):
        super().__init__()
        self.rule = rule
        self.looked = 0

    def answers(self, images: Tensor) -> Answers:
        self.looked += 1
        logits, features = self.logits_and_features(images)
        brightness = images[:, 0, 0, 0]
        votes = torch.stack([(brightness > threshold).long() for threshold in (0.3, 0.45, 0.7)], dim=1)
        failed = (brightness > 0.6) & (brightness < 0.65)
        classes = (votes.sum(dim=1) >= 2).long().masked_fill(failed, REFUSED)
        if not self.rule:
            return Answers(classes, features, logits)
        return Answers(classes, features, logits, votes, failed)


def judge_sources(
    data: Dataset, images: dict[str, dict[str, Tensor]], model: Classifier, examples: int = 2
) -> evaluation.Judged:
    return evaluation.evaluate(
        model,
        data,
        images,
        ATTACKS,
        setting="white_box",
        threat="t",
        view="logits",
        examples=examples,
        device=torch.device("cpu"),
    )


def test_votes_failures_and_refusals_are_those_of_the_images_that_were_shown(data: Dataset) -> None:
    images = adversarial(data, shift=0.08, count=6)
    images["fgsm/epsilon=0.3"][3] += 0.06  # 140 / 255 + 0.06, between 0.6 and 0.65
    rows = judge(data, images, Voters()).rows.to_pylist()
    clean = [row for row in rows if row["attack"] == "none"]
    # The pixels are 0, 0.43, 0.47, 0.55, 0.98 and 1.
    assert [row["votes"] for row in clean] == [
        [0, 0, 0],
        [1, 0, 0],
        [1, 1, 0],
        [1, 1, 0],
        [1, 1, 1],
        [1, 1, 1],
    ]
    assert [row["failed"] for row in clean] == [False] * 6
    moved = [row for row in rows if row["parameters"] == "epsilon=0.1"]
    # Moved by 0.08 to 0.08, 0.51, 0.55, 0.47, 0.90 and 1.
    assert [row["votes"] for row in moved] == [
        [0, 0, 0],
        [1, 1, 0],
        [1, 1, 0],
        [1, 1, 0],
        [1, 1, 1],
        [1, 1, 1],
    ]
    assert [row["adversarial_prediction"] for row in moved] == [0, 1, 1, 1, 1, 1]
    assert [row["clean_prediction"] for row in moved] == [0, 0, 1, 1, 1, 1]
    (failed,) = [row for row in rows if row["failed"]]
    assert (failed["image"], failed["parameters"], failed["votes"]) == (3, "epsilon=0.3", [1, 1, 0])
    assert (failed["clean_prediction"], failed["adversarial_prediction"]) == (1, REFUSED)


def test_an_image_that_is_refused_clean_is_so_in_every_row_of_it(data: Dataset) -> None:
    data.images[3, 0, 0, 0] = 160
    rows = judge(data, adversarial(data), Voters()).rows.to_pylist()
    assert {row["clean_prediction"] for row in rows if row["image"] == 3} == {REFUSED}
    (clean,) = [row for row in rows if row["image"] == 3 and row["attack"] == "none"]
    assert (clean["adversarial_prediction"], clean["failed"], clean["votes"]) == (REFUSED, True, [1, 1, 0])


def test_a_refusal_without_a_vote_has_no_votes(data: Dataset) -> None:
    data.images[3, 0, 0, 0] = 160
    rows = judge(data, adversarial(data), Voters(rule=False)).rows.to_pylist()
    assert {(row["votes"], row["failed"]) for row in rows} == {(None, None)}
    assert REFUSED in {row["adversarial_prediction"] for row in rows if row["attack"] == "none"}


def test_the_other_rule_is_asked_of_the_images_that_were_shown(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its class is 1 where the first pixel is 0.44 or more; of 0, 0.43, 0.47, 0.55, 0.98, 1 without an attack."""

    def rule(features: dict[str, Tensor]) -> Tensor:
        return (features["pixels"][:, 0] >= 0.44).long()

    monkeypatch.setattr(evaluation, "BATCH", 4)
    rows = judge(data, adversarial(data), rule=rule).rows.to_pylist()
    clean = [row["nearest_prototype"] for row in rows if row["attack"] == "none"]
    moved = [row["nearest_prototype"] for row in rows if row["parameters"] == "epsilon=0.1"]
    assert (clean, moved) == ([0, 0, 1, 1, 1, 1], [0, 1, 1, 1])  # moved by 0.1 to 0.1, 0.53, 0.57, 0.45
    assert [row["clean_prediction"] for row in rows[:6]] == [0, 0, 0, 1, 1, 1], "the model's own, as before"


def test_a_method_without_another_rule_leaves_its_column_empty(data: Dataset) -> None:
    for rule in (None, lambda features: None):
        rows = judge(data, adversarial(data), rule=rule).rows
        assert rows.column("nearest_prototype").null_count == len(rows)


def test_one_network_casts_no_votes(data: Dataset) -> None:
    rows = judge(data, adversarial(data)).rows
    assert rows.column("votes").null_count == rows.column("failed").null_count == len(rows)


def test_what_is_judged_is_the_answer_and_not_the_logits(data: Dataset) -> None:
    """At 0.47 the logits say 0, and two of three members 1."""
    rows = judge(data, adversarial(data), Voters()).rows.to_pylist()
    (grey,) = [row for row in rows if row["attack"] == "none" and row["image"] == 2]
    assert (grey["votes"], grey["clean_prediction"], grey["adversarial_prediction"]) == ([1, 1, 0], 1, 1)
    (grey,) = [row for row in judge(data, adversarial(data)).rows.to_pylist()[:6] if row["image"] == 2]
    assert (grey["clean_prediction"], grey["adversarial_prediction"]) == (0, 0)


def test_votes_survive_batches_and_the_file(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = judge(data, adversarial(data), Voters()).rows
    monkeypatch.setattr(evaluation, "BATCH", 4)
    again = judge(data, adversarial(data), Voters()).rows
    assert again.equals(whole)
    path = tmp_path / "o.parquet"
    evaluation.write(path, again, {"model": "m"})
    assert pq.read_table(path).column("votes").to_pylist() == whole.column("votes").to_pylist()
    assert pq.read_table(path).column("failed").to_pylist() == whole.column("failed").to_pylist()


def test_each_source_has_rows_of_its_own(data: Dataset) -> None:
    images = {"one": adversarial(data), "two": adversarial(data, shift=0.02, count=2)}
    model = Voters()
    judged = judge_sources(data, images, model)
    rows = judged.rows.to_pylist()
    assert [row["source"] for row in rows] == [""] * 6 + ["one"] * 8 + ["two"] * 4, "one clean row per image"
    near = [row for row in rows if row["source"] == "two" and row["parameters"] == "epsilon=0.1"]
    np.testing.assert_allclose([row["linf"] for row in near], 0.02, atol=1e-6)
    assert [row["image"] for row in near] == [0, 1]
    assert model.looked == 1 + 2 + 2


def test_examples_are_those_of_the_first_source(data: Dataset) -> None:
    images = {"one": adversarial(data), "two": adversarial(data, shift=0.02)}
    examples = judge_sources(data, images, Brightness()).examples
    assert torch.equal(examples["fgsm/epsilon=0.1"], images["one"]["fgsm/epsilon=0.1"][:2])
    swapped = {name: images[name] for name in ("two", "one")}
    examples = judge_sources(data, swapped, Brightness()).examples
    assert torch.equal(examples["fgsm/epsilon=0.1"], images["two"]["fgsm/epsilon=0.1"][:2])
    assert set(judge_sources(data, images, Brightness(), examples=0).examples) == {
        "clean",
        "labels",
        "predictions",
    }


def test_every_source_is_held_to_its_budget_and_to_the_test_images(data: Dataset) -> None:
    with pytest.raises(BudgetError, match=r"t: fgsm epsilon=0\.1 on two"):
        judge_sources(data, {"one": adversarial(data), "two": adversarial(data, shift=0.2)}, Brightness())
    other = adversarial(data)
    other["labels"] = 1 - other["labels"]
    with pytest.raises(ArtifactError, match="other test images"):
        judge_sources(data, {"one": adversarial(data), "two": other}, Brightness())


def test_examples_of_a_refused_image_say_so(data: Dataset) -> None:
    data.images[1, 0, 0, 0] = 160
    examples = judge(data, adversarial(data), Voters()).examples
    assert examples["predictions"].tolist() == [0, REFUSED]
    assert examples["predictions/fgsm/epsilon=0.3"].tolist() == [0, REFUSED]


def test_there_is_nothing_to_say_of_no_images() -> None:
    with pytest.raises(ValueError, match="no images"):
        evaluation.predict(Brightness(), torch.zeros(0, 1, 2, 2), torch.device("cpu"))
