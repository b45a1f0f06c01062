"""What assembling ensembles left -> measurements: LSS, and where it is largest of a sweep. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reproof.errors import ArtifactError
from reproof.measuring.measurements import Cells
from reproof.settings.table_words import BOOSTED, NO_ATTACK


@dataclass(frozen=True)
class Separated:
    """An ensemble with one seed, in the words of measurements.csv, and what its members' latent spaces are like."""

    study: str
    dataset: str
    architecture: str
    defense: str
    training: str
    model: str
    seed: int
    swept: str
    """The setting of its members that the paper sweeps, such as ζ; empty where there is none."""
    at: float | None
    """That setting's value."""
    margin: float
    """LSS (Mirzaeian, DKD, Eq. 6), at least 0, in the features' units; 0 where the spaces cannot be separated."""


def mean_margin(rows: Iterable[Mapping[str, Any]]) -> float:
    """Return an ensemble's LSS from the rows of its separation.csv; ArtifactError where it has not just one."""
    found = [row["margin"] for row in rows if (row["first"], row["second"]) == ("mean", "")]
    if len(found) != 1 or found[0] is None:
        raise ArtifactError("separation.csv holds no mean margin")
    return float(found[0])


def separations(ensembles: Sequence[Separated]) -> Iterable[Cells]:
    """Yield `latent_separation` of each ensemble, and `separating_weight` of those that differ in a swept setting.

    `separating_weight` is the value of that setting (ζ of DKD) at which LSS is largest, the smaller of two that are
    equal; it stands at the first of the ensembles that a study lists. None where LSS is 0 at all of them. A boosted
    vote has the members of a plain one, and no rows of its own.
    """
    sweeps: dict[tuple[Any, ...], list[Separated]] = defaultdict(list)
    for one in ensembles:
        if one.defense.endswith(BOOSTED):
            continue
        yield _row(one, "latent_separation", one.margin)
        if one.swept and one.at is not None:
            kind = (one.dataset, one.architecture, one.defense, one.training, one.swept, one.seed)
            sweeps[kind].append(one)
    for swept in sweeps.values():
        best = min(swept, key=lambda one: (-one.margin, one.at))
        if len({one.at for one in swept}) > 1 and best.margin > 0 and best.at is not None:
            yield _row(swept[0], "separating_weight", best.at)


def _row(one: Separated, metric: str, value: float) -> Cells:
    own = ("study", "dataset", "architecture", "defense", "training", "model", "seed")
    place = {"setting": "white_box", "source": "", "attack": NO_ATTACK, "parameters": ""}
    counts = dict.fromkeys(("correct", "total", "low", "high"))
    return {**{name: getattr(one, name) for name in own}, **place, "metric": metric, "value": value, **counts}
