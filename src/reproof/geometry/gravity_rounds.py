"""The rounds of Adaptive-Gravity (Mirzaeian 2022): what each reached, and which of them may still be chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from reproof.geometry import latent_space
from reproof.models.defense import Row

LAYERS = ("head", "tail")

COLUMNS = (
    "round",
    "epoch",
    "gamma",
    "accuracy",
    *(f"{layer}_{metric}" for layer in LAYERS for metric in ("icc", "icd_min", "icd_mean", "icd_max")),
    "passed",
    "pareto",
    "pgd_accuracy",
    "chosen",
)
_WHOLE = ("round", "epoch", "passed", "pareto", "chosen")
_ICD = {"smallest": "icd_min", "mean": "icd_mean", "largest": "icd_max"}

Weights = dict[str, Tensor]
"""A module's parameters and buffers, on the CPU."""


@dataclass(frozen=True)
class Student:
    """A model between two rounds: the masses of its layers, and its accuracy."""

    masses: tuple[latent_space.Masses, latent_space.Masses]
    accuracy: float


class Rounds:
    """The rounds so far, from 0, and the weights of those that may still be chosen."""

    def __init__(
        self,
        *,
        threshold: float,
        separation: Literal["smallest", "mean", "largest"],
        fixed: int | None,
        centroids_per_class: int,
    ):
        """threshold: least accuracy of a round that can be chosen. separation: which distance between classes is the
        ICD. fixed: the round that is kept, whatever it reaches; None chooses one.
        """
        self.threshold, self.icd, self.fixed = threshold, _ICD[separation], fixed
        self.centroids_per_class = centroids_per_class
        self.rows: list[Row] = []
        self.held: dict[int, Weights] = {}
        self._paths: dict[str, list[Tensor]] = {layer: [] for layer in LAYERS}

    def record(self, student: Student, epoch: int, gamma: float | None, trainee: nn.Module) -> None:
        """Note a round that has ended, and hold its weights as long as it may be the chosen one."""
        number = len(self.rows)
        row: Row = dict.fromkeys(COLUMNS)
        row |= {"round": number, "epoch": epoch, "accuracy": student.accuracy, "gamma": gamma}
        for layer, mass in zip(LAYERS, student.masses, strict=True):
            smallest, mean, largest = latent_space.divergence(mass).tolist()
            row[f"{layer}_icc"] = latent_space.convergence(mass)
            row |= {f"{layer}_icd_min": smallest, f"{layer}_icd_mean": mean, f"{layer}_icd_max": largest}
            self._paths[layer].append(mass.centroids.float().cpu())
        row |= {"passed": int(student.accuracy >= self.threshold), "pareto": 0, "chosen": 0}
        self.rows.append(row)
        wanted = self.front() if self.fixed is None else {self.fixed}
        self.held = {kept: weights for kept, weights in self.held.items() if kept in wanted}
        if number in wanted:
            self.held[number] = copy_weights(trainee)

    def front(self) -> set[int]:
        """Return the rounds on the Pareto front of those that can be chosen.

        Products of head and tail stand for the normalised ones: a common factor changes no dominance, and so a
        round that has left the front never comes back.
        """
        rounds = self.rows[1:]
        able = [row for row in rounds if row["passed"]]
        if not able:
            best = max((row["accuracy"] for row in rounds), default=0.0)
            able = [row for row in rounds if row["accuracy"] == best]
        points = [
            (row[f"head_{self.icd}"] * row[f"tail_{self.icd}"], row["head_icc"] * row["tail_icc"])
            for row in able
        ]
        return {able[index]["round"] for index in pareto_front(points)}

    def state(self) -> Weights:
        """Return the rounds, their centroids, and the weights that are held."""
        state: Weights = {}
        if self.rows:
            rows = [[math.nan if row[name] is None else row[name] for name in COLUMNS] for row in self.rows]
            state["rows"] = torch.tensor(rows, dtype=torch.float64)
            state |= {f"path.{layer}": torch.stack(path) for layer, path in self._paths.items()}
        for number, weights in self.held.items():
            state |= {f"held.{number}.{name}": value for name, value in weights.items()}
        return state

    def restore(self, state: Weights) -> None:
        """Take back what `state` returned, into rounds that have just been made."""
        for name, value in state.items():
            kind, _, rest = name.partition(".")
            if kind == "path":
                self._paths[rest] = list(value)
            elif kind == "held":
                number, _, rest = rest.partition(".")
                self.held.setdefault(int(number), {})[rest] = value
            else:
                self.rows = [_row(values) for values in value.tolist()]

    def log(self) -> dict[str, list[Row]]:
        """Return `rounds`, and `centroids` in the plane of each layer's principal components."""
        centroids: list[Row] = []
        for layer, path in self._paths.items():
            if not path:
                continue
            plane = latent_space.principal_plane(torch.cat(path)).tolist()
            for index, (x, y) in enumerate(plane):
                number, position = divmod(index, len(path[0]))
                label = position // self.centroids_per_class
                centroids.append({"round": number, "layer": layer, "class": label, "x": x, "y": y})
        return {"rounds": [dict(row) for row in self.rows], "centroids": centroids}


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of points (gain, cost) than which no other has a larger gain and a smaller cost, one
    of the two being enough where the other is equal.
    """
    front = []
    for index, (gain, cost) in enumerate(points):
        beaten = any(
            other >= gain and price <= cost and (other > gain or price < cost) for other, price in points
        )
        if not beaten:
            front.append(index)
    return front


def copy_weights(module: nn.Module) -> Weights:
    """Return copies of a module's parameters and buffers."""
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}


def _row(values: Sequence[float]) -> Row:
    row: Row = {}
    for name, value in zip(COLUMNS, values, strict=True):
        row[name] = None if math.isnan(value) else int(value) if name in _WHOLE else value
    return row
