"""Two attacks compared on the images that both attacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reproof.diagnostics.trials import Results, named, trial_of
from reproof.measuring.intervals import mcnemar_one_sided, paired
from reproof.measuring.outcomes import Bools, Integers

ALPHA = 0.05
"""How often chance alone may raise a sanity check of an honest model."""
MARGIN = 0.05
"""How much more a stronger attack may find before the weaker counts as too weak, as a share of the images."""


@dataclass(frozen=True)
class Side:
    """One of the two attacks that are compared, or several of which the strongest counts on each image."""

    name: str
    """The row of measurements.csv; empty where it stands for several."""
    words: str
    plural: bool
    robust: Mapping[int, tuple[Integers, Bools]]
    """Seed -> images, sorted, and which of them are classified correctly clean and under the attack."""
    or_refused: bool = False
    """Whether an image that is refused under the attack withstands it, too: only wrong and accepted ones do not."""


@dataclass(frozen=True)
class Comparison:
    """Two attacks on the same images; robust accuracy under `first` should be no higher than under `second`."""

    first: Side
    second: Side
    only_first: int
    only_second: int
    first_correct: int
    second_correct: int
    total: int

    @property
    def p_value(self) -> float:
        """Return the exact one-sided probability of so many images that only the first leaves (McNemar)."""
        return mcnemar_one_sided(self.only_first, self.only_second)

    @property
    def excess(self) -> float:
        """Return how much more the first leaves, as a share of the images."""
        return (self.first_correct - self.second_correct) / self.total

    def least_excess(self, comparisons: int) -> float:
        """Return the one-sided lower bound of the excess at level ALPHA, corrected for so many comparisons."""
        level = 1 - 2 * ALPHA / comparisons
        return paired(self.only_second, self.only_first, self.total, level)[0]

    def is_weaker(self, comparisons: int) -> bool:
        """Tell whether the first leaves more than chance explains, corrected for so many comparisons."""
        return self.p_value * comparisons < ALPHA

    def is_far_weaker(self, comparisons: int) -> bool:
        """Tell whether the first leaves MARGIN more, and chance does not explain it."""
        return self.least_excess(comparisons) > MARGIN


def side_of(results: Results, *, or_refused: bool = False) -> Side:
    """Return which images stand under one attack, for each seed. or_refused: those that it makes refused, too."""
    first = trial_of(results)
    robust = {
        one.seed: (
            trial.images,
            one.clean_on(trial.images) & (trial.correct | (trial.refused & or_refused)),
        )
        for trial, one in results
    }
    return Side(first.name, named(first), False, robust, or_refused)


def may_refuse(results: Results) -> bool:
    """Tell whether the model ever answers with no class: then an attack can fail to be accepted, too."""
    return any(one.clean_refused is not None for _, one in results)


def side_of_all(several: Sequence[Results], words: str, *, or_refused: bool = False) -> Side:
    """Return which images stand under all of some attacks, on the images that all of those made with a seed share."""
    return together([side_of(results, or_refused=or_refused) for results in several], words)


def together(sides: Sequence[Side], words: str) -> Side:
    """Return which images stand on each of some sides, on the images that all of those made with a seed share."""
    robust = {}
    for seed in sorted({seed for side in sides for seed in side.robust}):
        parts = [side.robust[seed] for side in sides if seed in side.robust]
        images, left = parts[0]
        for others, stands in parts[1:]:
            shared = np.intersect1d(images, others, assume_unique=True)
            left = left[np.searchsorted(images, shared)] & stands[np.searchsorted(others, shared)]
            images = shared
        robust[seed] = (images, left)
    return Side("", words, True, robust, any(side.or_refused for side in sides))


def count_robust(side: Side) -> tuple[int, int]:
    """Return how many images stand over all seeds, and of how many."""
    parts = [stands for _, stands in side.robust.values()]
    return sum(int(part.sum()) for part in parts), sum(map(len, parts))


def compare(first: Side, second: Side) -> list[Comparison]:
    """Return the two attacks' comparison over the seeds and images that both have, if there are any.

    An image counts where it is classified correctly clean and under the attack.
    """
    left, right = [], []
    for seed in sorted(set(first.robust) & set(second.robust)):
        images, stands = first.robust[seed]
        others, stand = second.robust[seed]
        shared = np.intersect1d(images, others, assume_unique=True)
        left.append(stands[np.searchsorted(images, shared)])
        right.append(stand[np.searchsorted(others, shared)])
    if not left or not sum(map(len, left)):
        return []
    one_stands: Bools = np.concatenate(left)
    other_stands: Bools = np.concatenate(right)
    return [
        Comparison(
            first,
            second,
            only_first=int((one_stands & ~other_stands).sum()),
            only_second=int((other_stands & ~one_stands).sum()),
            first_correct=int(one_stands.sum()),
            second_correct=int(other_stands.sum()),
            total=len(one_stands),
        )
    ]
