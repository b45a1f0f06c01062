"""What assembling ensembles left -> measurements: LSS, where it is largest of a sweep, and the accuracy there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reproof.errors import ArtifactError
from reproof.measuring import intervals
from reproof.measuring.measurements import Cells
from reproof.measuring.outcomes import Bools
from reproof.settings.table_words import BOOSTED, NO_ATTACK

SWEEP = 3
"""Values of a swept setting that make a sweep: of two the larger LSS says which side, and not where."""


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
    clean: Bools | None = field(default=None, compare=False)
    """Which test images the vote gets right without an attack, (N,) and sorted; None where that is not known."""


def mean_margin(rows: Iterable[Mapping[str, Any]]) -> float:
    """Return an ensemble's LSS from the rows of its separation.csv; ArtifactError where it has not just one."""
    found = [row["margin"] for row in rows if (row["first"], row["second"]) == ("mean", "")]
    if len(found) != 1 or found[0] is None:
        raise ArtifactError("separation.csv holds no mean margin")
    return float(found[0])


def separations(ensembles: Sequence[Separated]) -> Iterable[Cells]:
    """Yield `latent_separation` of each ensemble, and `separating_weight` of those that differ in a swept setting.

    `separating_weight` is the value of that setting (ζ of DKD) at which LSS is largest, the smaller of two that are
    equal, of SWEEP values at least. `sweep_accuracy_gain` is how much more accurate the vote is there than at the
    smallest value, on the same images. Both stand at the first of the ensembles that a study lists; neither does where
    LSS is 0 at all of them. A boosted vote has the members of a plain one, and no rows of its own.
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
        least = min(swept, key=lambda one: one.at or 0.0)
        if best.at is None or best.margin <= 0 or len({one.at for one in swept}) < SWEEP:
            continue
        yield _row(swept[0], "separating_weight", best.at)
        if best.clean is not None and least.clean is not None:
            worse = int((least.clean & ~best.clean).sum())
            better = int((best.clean & ~least.clean).sum())
            total = len(best.clean)
            low, high = intervals.paired(worse, better, total)
            gain = _row(swept[0], "sweep_accuracy_gain", (better - worse) / total)
            yield {**gain, "total": total, "low": low, "high": high}


def _row(one: Separated, metric: str, value: float) -> Cells:
    own = ("study", "dataset", "architecture", "defense", "training", "model", "seed")
    place = {"setting": "white_box", "source": "", "attack": NO_ATTACK, "parameters": ""}
    counts = dict.fromkeys(("correct", "total", "low", "high"))
    return {**{name: getattr(one, name) for name in own}, **place, "metric": metric, "value": value, **counts}
