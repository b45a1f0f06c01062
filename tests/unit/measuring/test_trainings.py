"""What trainings leave, counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from reproof.measuring import trainings
from reproof.measuring.measurements import measure, summarise
from reproof.measuring.trainings import Training

WHOSE = Training("tiny", "mnist", "lenet", "adaptive_gravity", "clean", "gravity", 3)


def epoch(number: int, accuracy: float | None) -> dict[str, Any]:
    return {"epoch": number, "loss": 1.0, "train_accuracy": accuracy, "validation_accuracy": 0.1}


def rows_of(head_icd: str, tail_icd: str, tail_icc: str, chosen: int) -> list[dict[str, Any]]:
    """Return rounds, their order turned round; of ICD only the mean counts."""
    columns = zip(*(map(float, text.split()) for text in (head_icd, tail_icd, tail_icc)), strict=True)
    rows = [
        {
            "round": number,
            "chosen": int(number == chosen),
            "head_icd_mean": head,
            "tail_icd_mean": tail,
            "head_icd_min": 0.0,
            "tail_icd_min": float(number),
            "head_icd_max": float(number),
            "tail_icd_max": 0.0,
            "tail_icc": spread,
            "head_icc": float(number),
        }
        for number, (head, tail, spread) in enumerate(columns)
    ]
    return rows[::-1]


def values(found: Any) -> dict[str, float]:
    return {cells["metric"]: cells["value"] for cells in found}


def test_the_error_in_training_is_the_last_epoch_s() -> None:
    history = [epoch(10, 0.75), epoch(9, 0.25), epoch(1, 0.5)]
    (cells,) = trainings.train_error(WHOSE, history)
    assert (cells["metric"], cells["value"]) == ("train_error", 0.25)
    assert (cells["model"], cells["seed"], cells["setting"], cells["attack"]) == (
        "gravity",
        3,
        "white_box",
        "none",
    )


def test_a_method_that_guessed_no_labels_has_no_error_in_training() -> None:
    assert not list(trainings.train_error(WHOSE, [epoch(1, 0.5), epoch(2, None)]))


@pytest.mark.parametrize(
    ("head_icd", "tail_icd", "crossing"),
    [
        ("1 2 3 4 5", "2 3 4 3 4", 2),  # below from round 3 on
        (
            "1 2 3 4 5",
            "2 1 3 3 6",
            4,
        ),  # equal in 2, below in 3, above again at the end: not below after the last
        ("1 2 3 4 5", "0 1 2 3 4", 0),  # below in all
        ("1 2 3 4 5", "1 0 0 0 0", 0),  # not below in the model that was given
    ],
)
def test_the_crossing_is_the_last_round_in_which_the_tail_s_mean_distance_is_no_smaller(
    head_icd: str, tail_icd: str, crossing: int
) -> None:
    found = values(trainings.rounds(WHOSE, rows_of(head_icd, tail_icd, "1 1 1 1 1", 1)))
    assert found["icd_crossing_round"] == crossing


def test_the_peak_is_the_first_of_the_tail_s_largest_spreads_and_the_chosen_round_the_log_s() -> None:
    found = values(trainings.rounds(WHOSE, rows_of("1 1 1 1 1", "1 1 1 1 1", "3 5 9 9 4", 4)))
    assert found == {"chosen_round": 4, "icd_crossing_round": 4, "icc_peak_round": 2}


def test_they_stand_in_the_tables_of_measurements_and_of_seeds() -> None:
    log = rows_of("1 1 1", "2 2 0", "3 5 9", 2)
    others = [
        *trainings.rounds(WHOSE, log),
        *trainings.rounds(Training("tiny", "mnist", "lenet", "adaptive_gravity", "clean", "gravity", 4), log),
        *trainings.train_error(WHOSE, [epoch(1, 0.75)]),
    ]
    measurements = measure([], others)
    assert len(measurements) == 7
    summary = summarise(measurements).set_index("metric")
    assert summary.loc["chosen_round", ["seeds", "value"]].tolist() == [2, 2.0]
    assert summary.loc["icd_crossing_round", ["seeds", "value"]].tolist() == [2, 1.0]
    assert summary.loc["train_error", ["seeds", "value"]].tolist() == [1, 0.25]


def test_whose_it_was_is_read_from_what_the_study_says_of_its_models() -> None:
    told = {"dataset": "mnist", "architecture": "lenet", "defense": "adaptive_gravity", "training": "clean"}
    models = {"gravity": {**told, "classes": 10}, "other": {**told, "defense": "undefended"}}
    assert Training.read("tiny", models, "gravity", 3) == WHOSE
