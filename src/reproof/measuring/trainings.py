"""What trainings leave -> measurements: the error on what was trained on, and Gravity's rounds. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reproof.measuring.measurements import Cells
from reproof.settings.table_words import NO_ATTACK


@dataclass(frozen=True)
class Training:
    """Whose training it was, in the words of measurements.csv."""

    study: str
    dataset: str
    architecture: str
    defense: str
    training: str
    model: str
    seed: int

    @classmethod
    def read(cls, study: str, models: Mapping[str, Mapping[str, Any]], model: str, seed: int) -> Training:
        """Return it from what a study says of its models: model -> dataset, architecture, defense, training."""
        known = {name: models[model][name] for name in ("dataset", "architecture", "defense", "training")}
        return cls(study, **known, model=model, seed=seed)


def train_error(whose: Training, history: Sequence[Mapping[str, Any]]) -> Iterable[Cells]:
    """Yield `train_error`: the share of what was trained on that was wrong, over the last epoch.

    It is counted while the network learns, before each step, on the images that the loss saw: augmented, and
    adversarial ones among them where they were trained on. history: rows of schema job_tables.HISTORY. No row where
    the method guessed no labels.
    """
    last = max(history, key=lambda row: int(row["epoch"]))
    if last["train_accuracy"] is not None:
        yield _row(whose, "train_error", 1 - last["train_accuracy"])


def rounds(whose: Training, log: Sequence[Mapping[str, Any]]) -> Iterable[Cells]:
    """Yield what Mirzaeian's Gravity says of its rounds (Sec. III-A), each a number of a round.

    log: rows of schema csv_tables.ROUNDS; round 0 is the model that was given. `chosen_round`: the one whose weights
    are the model. `icd_crossing_round`: the last in which the tail's ICD, the mean distance between centroids of
    different classes, is not below the head's; 0 where it is below in all. `icc_peak_round`: the first in which the
    tail's ICC, the sum of the classes' spreads, is largest.
    """
    ordered = sorted(log, key=lambda row: int(row["round"]))
    (chosen,) = (row["round"] for row in ordered if row["chosen"])
    apart = [row["round"] for row in ordered if row["tail_icd_mean"] >= row["head_icd_mean"]]
    yield _row(whose, "chosen_round", chosen)
    yield _row(whose, "icd_crossing_round", max(apart, default=0))
    yield _row(whose, "icc_peak_round", max(ordered, key=lambda row: float(row["tail_icc"]))["round"])


def _row(whose: Training, metric: str, value: float) -> Cells:
    place = {"setting": "white_box", "source": "", "attack": NO_ATTACK, "parameters": ""}
    counts = dict.fromkeys(("correct", "total", "low", "high"))
    return {**asdict(whose), **place, "metric": metric, "value": value, **counts}
