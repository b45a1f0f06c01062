"""What assembling ensembles leaves, counted by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reproof.errors import ArtifactError
from reproof.geometry import latent_separation
from reproof.measuring.measurements import measure, summarise
from reproof.measuring.separations import Separated, mean_margin, separations
from reproof.plan.jobs import Plan
from reproof.study import reader
from tests.ours import needs

ROOT = Path(__file__).parents[3]
DIVERSE = Separated(
    "s", "mnist", "dkd_mnist", "diverse_ensemble", "clean", "diverse", 0, "zeta", 0.9, margin=2.5
)


def ensemble(model: str, at: float | None, margin: float, **changes: Any) -> Separated:
    return dataclasses.replace(DIVERSE, **{"model": model, "at": at, "margin": margin, **changes})


def found(*ensembles: Separated) -> dict[tuple[str, str, int], float]:
    rows = list(separations(ensembles))
    return {(row["metric"], row["model"], row["seed"]): row["value"] for row in rows}


def test_a_sweep_has_the_separation_of_each_and_the_weight_where_it_is_largest() -> None:
    rows = list(separations([DIVERSE, ensemble("low", 0.1, 1.0), ensemble("middle", 0.5, 4.0)]))
    assert [(row["metric"], row["model"], row["value"]) for row in rows] == [
        ("latent_separation", "diverse", 2.5),
        ("latent_separation", "low", 1.0),
        ("latent_separation", "middle", 4.0),
        ("separating_weight", "diverse", 0.5),  # at the first that the study lists
    ]
    place = ("white_box", "", "none", "", None, None)
    names = ("setting", "source", "attack", "parameters", "total", "low")
    assert {tuple(row[name] for name in names) for row in rows} == {place}
    assert {(row["study"], row["dataset"], row["architecture"], row["training"]) for row in rows} == {
        ("s", "mnist", "dkd_mnist", "clean")
    }


def test_of_two_equal_ones_the_smaller_weight_counts() -> None:
    sweep = [DIVERSE, ensemble("b", 0.7, 4.0), ensemble("a", 0.3, 4.0)]
    assert found(*sweep)["separating_weight", "diverse", 0] == 0.3


@pytest.mark.parametrize(
    "other",
    [
        ensemble("other", 0.9, 9.0),  # the same weight: no sweep
        ensemble("other", 0.1, 9.0, dataset="cifar10"),
        ensemble("other", 0.1, 9.0, seed=1),
        ensemble("other", 0.1, 9.0, architecture="lenet"),
        ensemble("other", 0.1, 9.0, training="fgsm"),
        ensemble("other", None, 9.0, defense="independent_ensemble", swept=""),
        ensemble("other", 0.1, 9.0, defense="diverse_ensemble[boosted]"),  # its members are another's
    ],
)
def test_what_is_no_sweep_has_no_weight(other: Separated) -> None:
    assert "separating_weight" not in {metric for metric, *_ in found(DIVERSE, other)}


def test_where_nothing_can_be_separated_no_weight_is_best() -> None:
    assert found(ensemble("a", 0.1, 0.0), ensemble("b", 0.9, 0.0)) == {
        ("latent_separation", "a", 0): 0.0,
        ("latent_separation", "b", 0): 0.0,
    }


def right(text: str) -> np.ndarray:
    return np.array([letter == "1" for letter in text])


def test_the_gain_in_accuracy_is_counted_from_the_smallest_weight_to_the_separating_one() -> None:
    """Of ten images two become right and one wrong: 0.1, of (2.5 - 1.5) / 12 by Agresti and Min, ± 1.96 √(4 − 1 / 12) / 12."""
    sweep = [
        dataclasses.replace(DIVERSE, clean=right("0000000000")),
        ensemble("low", 0.1, 1.0, clean=right("1111110000")),
        ensemble("middle", 0.5, 4.0, clean=right("1111101100")),
    ]
    (gain,) = [row for row in separations(sweep) if row["metric"] == "sweep_accuracy_gain"]
    assert (gain["model"], gain["total"], gain["value"]) == ("diverse", 10, pytest.approx(0.1))
    assert (gain["low"], gain["high"]) == pytest.approx((1 / 12 - 0.32324, 1 / 12 + 0.32324), abs=1e-4)
    falling = [one if one.model != "middle" else dataclasses.replace(one, margin=0.5) for one in sweep]
    (loss,) = [row for row in separations(falling) if row["metric"] == "sweep_accuracy_gain"]
    assert loss["value"] == pytest.approx(-0.6), "at 0.9, where none is right"


def test_without_outcomes_no_gain_is_counted() -> None:
    sweep = [DIVERSE, ensemble("low", 0.1, 1.0, clean=right("11")), ensemble("middle", 0.5, 1.5)]
    assert {metric for metric, *_ in found(*sweep)} == {"latent_separation", "separating_weight"}


def test_two_values_are_no_sweep() -> None:
    """The larger of two would reproduce whichever of them the paper names."""
    sweep = [DIVERSE, ensemble("low", 0.1, 1.0), ensemble("low_too", 0.1, 1.1)]
    assert {metric for metric, *_ in found(*sweep)} == {"latent_separation"}


def test_a_boosted_vote_has_no_separation_of_its_own() -> None:
    assert found(dataclasses.replace(DIVERSE, defense="diverse_ensemble[boosted]")) == {}


def test_seeds_are_pooled_as_other_measurements_are() -> None:
    rows = separations([DIVERSE, dataclasses.replace(DIVERSE, seed=1, margin=3.5)])
    summary = summarise(measure([], rows))
    assert summary[["metric", "seeds", "value"]].to_numpy().tolist() == [["latent_separation", 2, 3.0]]


def test_the_mean_is_the_one_over_members_of_equation_6() -> None:
    """On a line, {0, 1}, {3} and {3.5}: 2 from the others, inseparable (between 1 and 3.5), and 0.5 away."""
    latents = {"a": np.array([[0.0], [1.0]]), "b": np.array([[3.0]]), "c": np.array([[3.5]])}
    rows = [
        {"first": "a", "second": "b", "margin": 2.0},
        {"first": "a", "second": "all others", "margin": 2.0},
    ]
    rows.append({"first": "mean", "second": "", "margin": latent_separation.total(latents).margin})
    assert mean_margin(rows) == pytest.approx(2.5 / 3)


@pytest.mark.parametrize("count", [0, 2])
def test_a_table_has_one_mean(count: int) -> None:
    with pytest.raises(ArtifactError, match="no mean margin"):
        mean_margin([{"first": "mean", "second": "", "margin": 1.0}] * count)


@needs(
    "defenses/independent_ensemble",
    "defenses/distilled_ensemble",
    "defenses/diverse_ensemble",
    "architectures/dkd_mnist",
)
def test_a_study_says_whose_separation_each_file_is() -> None:
    study = reader.load([ROOT / "studies/digits_zeta.yaml"])
    job = Plan(study).tabulate()
    said = {one["model"]: one for one in job.slice["separations"]}
    files = dict(zip(said, job.inputs["separations"], strict=True))
    assert set(said) == {name for name, model in study.models.items() if model.members}
    assert {name for name, path in files.items() if f"/{name}/" in path} == set(said)
    assert (said["diverse_03"]["swept"], said["diverse_03"]["at"]) == ("zeta", 0.3)
    assert (said["independent"]["swept"], said["independent"]["at"]) == ("", None)
    assert {one["defense"] for one in said.values()} == {
        "independent_ensemble",
        "distilled_ensemble",
        "diverse_ensemble",
    }
    assert Separated(**said["diverse_03"], margin=1.0).dataset == "digits"
